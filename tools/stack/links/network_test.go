//go:build stack

package links

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience bounds each wait.
const patience = 30 * time.Second

// pair is two joined sites.
func pair(t *testing.T, l Link) (*Network, *Site, *Site) {
	t.Helper()
	n := New(1)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	a, err := n.Site("a")
	require.NoError(t, err, "this needs root and /dev/net/tun")
	b, err := n.Site("b")
	require.NoError(t, err)
	n.Join(a, b, l)
	return n, a, b
}

// echo answers datagrams at b with themselves, and returns a socket at a and where to send.
func echo(t *testing.T, a, b *Site) (net.PacketConn, net.Addr) {
	t.Helper()
	answering, err := b.ListenPacket(t.Context(), b.Address.String()+":7")
	require.NoError(t, err)
	asking, err := a.ListenPacket(t.Context(), a.Address.String()+":0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 2048)
		for {
			size, from, err := answering.ReadFrom(buffer)
			if err != nil {
				return // closed
			}
			if _, err := answering.WriteTo(buffer[:size], from); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { answering.Close(); asking.Close(); <-done })
	return asking, answering.LocalAddr()
}

// ping sends one datagram and returns how long its answer took; an error if none came in time.
func ping(c net.PacketConn, to net.Addr, number int, within time.Duration) (time.Duration, error) {
	begin := time.Now()
	text := fmt.Sprint(number)
	if _, err := c.WriteTo([]byte(text), to); err != nil {
		return 0, err
	}
	if err := c.SetReadDeadline(begin.Add(within)); err != nil {
		return 0, err
	}
	buffer := make([]byte, 100)
	for {
		size, _, err := c.ReadFrom(buffer)
		if err != nil {
			return 0, err
		}
		if string(buffer[:size]) == text { // not one that came too late for its time
			return time.Since(begin), nil
		}
	}
}

// fastest is the shortest of some round trips, which a busy machine spoils least.
func fastest(t *testing.T, c net.PacketConn, to net.Addr) time.Duration {
	t.Helper()
	var all []time.Duration
	for i := range 10 {
		took, err := ping(c, to, i, patience)
		require.NoError(t, err)
		all = append(all, took)
	}
	return slices.Min(all)
}

func TestARoundTripTakesTheDelayTwice(t *testing.T) {
	t.Parallel()
	n, a, b := pair(t, Link{})
	c, to := echo(t, a, b)
	bare := fastest(t, c, to)
	n.Join(a, b, Link{Delay: 50 * time.Millisecond})
	far := fastest(t, c, to)
	t.Logf("%v without a delay, %v with one of 50 ms", bare, far)
	require.GreaterOrEqual(t, far, 100*time.Millisecond)
	require.Less(t, far-bare, 150*time.Millisecond, "a round trip of 100 ms")
}

func TestLossIsTheShareThatWasAskedFor(t *testing.T) {
	t.Parallel()
	n, a, b := pair(t, Link{})
	c, to := echo(t, a, b)
	n.Direct(a, b, Link{Loss: 0.25})
	buffer := make([]byte, 100)
	const packets, batch = 2000, 50
	came := 0
	for range packets / batch {
		before := n.Traffic(a, b)
		for range batch {
			_, err := c.WriteTo([]byte("x"), to)
			require.NoError(t, err)
		}
		// No more are under way than a socket holds; the network says how many are to come.
		require.Eventually(t, func() bool {
			now := n.Traffic(a, b)
			return now.Packets+now.Lost == before.Packets+before.Lost+batch
		}, patience, time.Millisecond)
		for range n.Traffic(a, b).Packets - before.Packets {
			require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
			_, _, err := c.ReadFrom(buffer)
			require.NoError(t, err)
			came++
		}
	}
	require.InDelta(t, 0.75*packets, came, 0.05*packets)
}

// transfer sends bytes over TCP from a to b and returns how long it took until b has seen the last.
func transfer(t *testing.T, a, b *Site, size int64) time.Duration {
	t.Helper()
	l, err := b.Listen(t.Context(), b.Address.String()+":0")
	require.NoError(t, err)
	defer l.Close()
	received := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			received <- err
			return
		}
		defer conn.Close()
		n, err := io.Copy(io.Discard, conn)
		if err == nil && n != size {
			err = fmt.Errorf("%d bytes came instead of %d", n, size)
		}
		received <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := a.DialContext(ctx, "tcp4", l.Addr().String())
	require.NoError(t, err)
	begin := time.Now()
	_, err = io.CopyN(conn, zeros{}, size)
	require.NoError(t, errors.Join(err, conn.Close()))
	select {
	case err := <-received:
		require.NoError(t, err)
	case <-time.After(patience):
		require.Fail(t, "the transfer does not end")
	}
	return time.Since(begin)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestTCPKeepsToTheRate(t *testing.T) {
	t.Parallel()
	_, a, b := pair(t, Link{Delay: 5 * time.Millisecond, Rate: 1 << 20})
	took := transfer(t, a, b, 2<<20)
	t.Logf("2 MiB at 1 MiB/s took %v", took)
	require.Greater(t, took, 1900*time.Millisecond)
	require.Less(t, took, 8*time.Second, "a quarter of the rate at least")
}

func TestTCPSurvivesALinkThatLosesAndReorders(t *testing.T) {
	t.Parallel()
	n, a, b := pair(t, Link{Delay: 5 * time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.02, Reorder: 0.02})
	transfer(t, a, b, 1<<20)
	require.Positive(t, n.Traffic(a, b).Lost)
	require.Positive(t, n.Traffic(a, b).Reordered)
}

func TestACutStopsEverythingUntilItIsMended(t *testing.T) {
	t.Parallel()
	n, a, b := pair(t, Link{})
	c, to := echo(t, a, b)
	_, err := ping(c, to, 1, patience)
	require.NoError(t, err)
	n.Join(a, b, Link{Cut: true})
	_, err = ping(c, to, 2, 300*time.Millisecond)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	n.Join(a, b, Link{})
	_, err = ping(c, to, 3, patience)
	require.NoError(t, err)
}

func TestSitesAreApart(t *testing.T) {
	t.Parallel()
	n, a, b := pair(t, Link{})
	third, err := n.Site("c")
	require.NoError(t, err)
	n.Isolate(third, Link{Cut: true})
	// The same address of the loopback is another one in each.
	for _, s := range []*Site{a, b} {
		l, err := s.Listen(t.Context(), "127.0.0.1:80")
		require.NoError(t, err)
		defer l.Close()
	}
	c, to := echo(t, a, b)
	_, err = ping(c, to, 1, patience)
	require.NoError(t, err)
	c, to = echo(t, a, third)
	_, err = ping(c, to, 1, 300*time.Millisecond)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

// holderEnv makes the test's program one that holds a network, with a process in it, until it is killed.
const holderEnv = "GARAGE_LINKS_HOLDER"

func TestMain(m *testing.M) {
	if os.Getenv(holderEnv) == "" {
		os.Exit(m.Run())
	}
	fmt.Println(hold())
	select {}
}

// hold says which process runs in which namespace.
func hold() string {
	s, err := New(1).Site("held")
	if err != nil {
		return err.Error()
	}
	cmd := exec.Command("sleep", "1000")
	if err := s.Start(cmd); err != nil {
		return err.Error()
	}
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid))
	return fmt.Sprint(cmd.Process.Pid, " ", namespace, " ", err)
}

func TestNothingIsLeftOfANetworkWhoseOwnerWasKilled(t *testing.T) {
	t.Parallel()
	home, err := os.Readlink("/proc/self/ns/net")
	require.NoError(t, err)
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), holderEnv+"=1")
	out, err := owner.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, owner.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, errors.Join(err, owner.Process.Kill()))
	var pid int
	var namespace, nothing string
	_, err = fmt.Sscan(line, &pid, &namespace, &nothing)
	require.NoError(t, err, line)
	require.Equal(t, "<nil>", nothing, line)
	require.NotEqual(t, home, namespace)
	require.Error(t, owner.Wait(), "it was killed")
	require.Eventually(t, func() bool { return !inNamespace(namespace) }, patience, 10*time.Millisecond)
}

// inNamespace tells whether any process is in the namespace, or that cannot be known.
func inNamespace(namespace string) bool {
	entries, err := os.ReadDir("/proc")
	return err != nil || slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		link, err := os.Readlink("/proc/" + e.Name() + "/ns/net")
		return err == nil && link == namespace
	})
}
