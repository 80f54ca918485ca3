package links

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"
)

// sites is how many a network can have: as many as its addresses.
const sites = 250

// Network is a set of sites and the links between them.
type Network struct {
	seed uint64
	stop context.CancelFunc
	ctx  context.Context
	wg   sync.WaitGroup

	mu         sync.Mutex
	sites      []*Site
	directions map[[2]int]*direction
	errs       []error
}

// New makes a network without sites, whose links are as good as they can be until [Network.Join] says otherwise.
func New(seed uint64) *Network {
	ctx, stop := context.WithCancel(context.Background())
	return &Network{seed: seed, ctx: ctx, stop: stop, directions: map[[2]int]*direction{}}
}

// Site makes another site. It needs root and /dev/net/tun.
func (n *Network) Site(name string) (*Site, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.sites) == sites {
		return nil, fmt.Errorf("site %s: a network has at most %d", name, sites)
	}
	s, err := newSite(name, len(n.sites)+1)
	if err != nil {
		return nil, err
	}
	n.sites = append(n.sites, s)
	n.wg.Go(func() { n.ended(s, s.inbox.deliver(n.ctx, s.tun)) })
	n.wg.Go(func() { n.ended(s, n.carry(s)) })
	return s, nil
}

func (n *Network) ended(s *Site, err error) {
	if err == nil || errors.Is(err, fs.ErrClosed) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.errs = append(n.errs, fmt.Errorf("the device of site %s: %w", s.Name, err))
}

// carry takes each packet that leaves the site to where it is to go, until the device is closed.
func (n *Network) carry(from *Site) error {
	buffer := make([]byte, mtu)
	for {
		size, err := from.tun.Read(buffer)
		if err != nil {
			return err
		}
		data := buffer[:size]
		if size < 20 || data[0]>>4 != 4 || [3]byte(data[16:19]) != [3]byte{10, 77, 0} {
			continue // Not IPv4, or to nobody here: the kernel looks for routers and groups.
		}
		to := int(data[19])
		d, site := n.direction(from.number, to)
		if site == nil || site == from {
			continue
		}
		if due, delivered := d.take(time.Now(), size); delivered && !site.inbox.add(due, append([]byte{}, data...)) {
			d.lose(size)
		}
	}
}

// direction returns the link between two numbers, and the site that has the second; nil if there is none.
func (n *Network) direction(from, to int) (*direction, *Site) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if to < 1 || to > len(n.sites) {
		return nil, nil
	}
	d := n.directions[[2]int{from, to}]
	if d == nil {
		d = newDirection(n.seed, from, to)
		n.directions[[2]int{from, to}] = d
	}
	return d, n.sites[to-1]
}

// Direct sets the link from one site to another, for packets from now on.
func (n *Network) Direct(from, to *Site, l Link) {
	d, _ := n.direction(from.number, to.number)
	d.set(l)
}

// Join sets the link between two sites, alike in both directions.
func (n *Network) Join(a, b *Site, l Link) {
	n.Direct(a, b, l)
	n.Direct(b, a, l)
}

// JoinAll sets the links between all sites.
func (n *Network) JoinAll(l Link) {
	n.mu.Lock()
	all := append([]*Site{}, n.sites...)
	n.mu.Unlock()
	for i, a := range all {
		for _, b := range all[:i] {
			n.Join(a, b, l)
		}
	}
}

// Isolate sets the links between one site and all others.
func (n *Network) Isolate(s *Site, l Link) {
	n.mu.Lock()
	all := append([]*Site{}, n.sites...)
	n.mu.Unlock()
	for _, other := range all {
		if other != s {
			n.Join(s, other, l)
		}
	}
}

// Traffic returns what went from one site to another.
func (n *Network) Traffic(from, to *Site) Traffic {
	d, _ := n.direction(from.number, to.number)
	return d.counted()
}

// Close removes the devices, and the namespaces that no process is in; it ends no process. The error is what went wrong on the way.
func (n *Network) Close() error {
	n.stop()
	n.mu.Lock()
	for _, s := range n.sites {
		s.close()
	}
	n.mu.Unlock()
	n.wg.Wait()
	return errors.Join(n.errs...)
}
