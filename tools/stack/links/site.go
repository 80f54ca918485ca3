package links

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	device = "wan"
	// mtu is that of most links between homes.
	mtu = 1500
	// queue is how many packets the device holds for the network to read, so that a busy machine loses none that no link was to lose.
	queue = 20_000
	// congestion is the control that every kernel has. What the host prefers may, as BBR does, take the delay of a link for a property
	// of its machine for many seconds after it has changed.
	congestion = "reno"
)

// Site is a namespace of the network. Its loopback is its own.
type Site struct {
	Name string
	// Address is where the other sites reach it.
	Address netip.Addr

	number    int
	namespace *os.File
	tun       *os.File
	inbox     *inbox
}

// newSite makes a namespace with its loopback and the device up.
func newSite(name string, number int) (_ *Site, err error) {
	s := &Site{Name: name, Address: netip.AddrFrom4([4]byte{10, 77, 0, byte(number)}), number: number, inbox: newInbox()}
	err = within(func() error { return unix.Unshare(unix.CLONE_NEWNET) }, func() error {
		var err error
		if s.namespace, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		if s.tun, err = openTUN(); err != nil {
			return err
		}
		return errors.Join(configure(s.Address), os.WriteFile("/proc/sys/net/ipv4/tcp_congestion_control", []byte(congestion), 0))
	})
	if err != nil {
		s.close()
		return nil, fmt.Errorf("site %s: %w", name, err)
	}
	return s, nil
}

func (s *Site) close() {
	for _, f := range []*os.File{s.tun, s.namespace} {
		if f != nil {
			f.Close()
		}
	}
}

// within enters a namespace, runs f and returns to where the caller was.
func within(enter, f func() error) error {
	result := make(chan error)
	go func() {
		result <- func() error {
			// A thread that cannot return is not given back: it ends with its goroutine.
			runtime.LockOSThread()
			home, err := os.Open("/proc/thread-self/ns/net")
			if err != nil {
				return err
			}
			defer home.Close()
			if err := enter(); err != nil {
				return fmt.Errorf("enter a network namespace, which needs root: %w", err)
			}
			err = f()
			if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
				return fmt.Errorf("leave a network namespace: %w", back)
			}
			runtime.UnlockOSThread()
			return err
		}()
	}()
	return <-result
}

// Do runs f in the site: the sockets that it makes itself, not through another goroutine, and the processes that it starts belong
// to the site.
func (s *Site) Do(f func() error) error {
	return within(func() error { return unix.Setns(int(s.namespace.Fd()), unix.CLONE_NEWNET) }, f)
}

// Start starts a process in the site. The kernel kills it when this process dies.
func (s *Site) Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	// It is the thread's death that counts, but the runtime keeps its threads.
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	return s.Do(cmd.Start)
}

// DialContext connects from the site to an IP address and port.
func (s *Site) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	if _, err := netip.ParseAddrPort(address); err != nil {
		return nil, err // A name would be looked up by another goroutine, elsewhere.
	}
	err = s.Do(func() error {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen listens in the site on an IP address and port.
func (s *Site) Listen(ctx context.Context, address string) (l net.Listener, err error) {
	err = s.Do(func() error {
		l, err = new(net.ListenConfig).Listen(ctx, "tcp4", address)
		return err
	})
	return l, err
}

// ListenPacket receives datagrams in the site on an IP address and port.
func (s *Site) ListenPacket(ctx context.Context, address string) (c net.PacketConn, err error) {
	err = s.Do(func() error {
		c, err = new(net.ListenConfig).ListenPacket(ctx, "udp4", address)
		return err
	})
	return c, err
}

// openTUN makes the device in the namespace of the thread. It goes when it is closed.
func openTUN() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(device)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		_ = unix.Close(fd) // the first error says more
		return nil, fmt.Errorf("make a TUN device: %w", err)
	}
	return os.NewFile(uintptr(fd), "/dev/net/tun"), nil
}

// configure gives the device its address and a route to all sites, and brings it and the loopback up.
func configure(address netip.Addr) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // it was for questions only
	ask := func(name string, request uint, set func(*unix.Ifreq) error) error {
		r, err := unix.NewIfreq(name)
		if err == nil {
			err = set(r)
		}
		if err == nil {
			err = unix.IoctlIfreq(fd, request, r)
		}
		if err != nil {
			return fmt.Errorf("configure the device %s: %w", name, err)
		}
		return nil
	}
	up := func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }
	for _, step := range []struct {
		name    string
		request uint
		set     func(*unix.Ifreq) error
	}{
		{"lo", unix.SIOCSIFFLAGS, up},
		{device, unix.SIOCSIFMTU, func(r *unix.Ifreq) error { r.SetUint32(mtu); return nil }},
		{device, unix.SIOCSIFTXQLEN, func(r *unix.Ifreq) error { r.SetUint32(queue); return nil }},
		{device, unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(address.AsSlice()) }},
		{device, unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr([]byte{255, 255, 255, 0}) }},
		{device, unix.SIOCSIFFLAGS, up},
	} {
		if err := ask(step.name, step.request, step.set); err != nil {
			return err
		}
	}
	return nil
}
