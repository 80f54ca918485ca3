package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/deploy/sites"
)

// How long is read before anything moves. The first reads, which open connections, do not count.
const (
	warmUp   = time.Second
	readTime = 10 * time.Second
)

// replace puts a new node in the place of the one of the first site.
func (h *healing) replace(ctx context.Context) error {
	leaving, err := h.ids(ctx, adminv1.NodeState_NODE_STATE_HEALTHY)
	if err != nil {
		return err
	}
	added, err := h.enter(ctx, "a node replaced", 1, leaving[sites.Zone(0)])
	if err == nil {
		h.nodes[0] = added[0]
	}
	return err
}

// grow gives half of everything to a new node at each site.
func (h *healing) grow(ctx context.Context) error {
	members, err := h.ids(ctx, adminv1.NodeState_NODE_STATE_HEALTHY)
	if err != nil {
		return err
	}
	for _, ids := range members {
		h.older = append(h.older, ids...)
	}
	h.added, err = h.enter(ctx, "a node added at each site", len(h.Sites), nil)
	return err
}

// enter lets new nodes into the layout, one at each of the first sites, and others out of it, at the rate that is the default, and says what readers
// notice.
func (h *healing) enter(ctx context.Context, what string, count int, leaving []string) ([]*deploy.Process, error) {
	began := time.Now()
	still, err := h.read(ctx, func(ctx context.Context) error {
		ctx, stop := context.WithTimeout(ctx, warmUp+readTime)
		defer stop()
		<-ctx.Done()
		return nil
	})
	if err != nil {
		return nil, err
	}
	quiet := still.during(began.Add(warmUp), readTime)
	var added []*deploy.Process
	for site := range count {
		p, err := h.AddNode(ctx, site)
		if err != nil {
			return nil, err
		}
		added = append(added, p)
	}
	err = sites.Until(ctx, "the new nodes are in the layout to come", func() error {
		known, err := h.ids(ctx, adminv1.NodeState_NODE_STATE_NEW)
		if err == nil && len(known) < count {
			err = fmt.Errorf("%d of %d are known", len(known), count)
		}
		for _, ids := range known {
			for _, id := range ids {
				if _, failed := h.CLI(ctx, "layout", "assign", id); failed != nil {
					err = failed
				}
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := h.remove(ctx, leaving); err != nil {
		return nil, err
	}
	var c change
	meanwhile, err := h.read(ctx, func(ctx context.Context) error {
		c, err = h.change(ctx, h.nodes, added)
		return err
	})
	if err != nil {
		return nil, err
	}
	busy := meanwhile.during(c.began, c.moving)
	fmt.Printf("%s, at the default rate: %v\n", what, c)
	fmt.Printf("  GET of 1 MiB while it moves: p50 %v, before %v; p99 %v, before %v (%.1f times)\n", ms(busy.quantile(0.5)), ms(quiet.quantile(0.5)),
		ms(busy.quantile(0.99)), ms(quiet.quantile(0.99)), float64(busy.quantile(0.99))/float64(quiet.quantile(0.99)))
	return added, nil
}

func ms(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

// ids are the nodes in a state, by zone.
func (h *healing) ids(ctx context.Context, state adminv1.NodeState) (map[string][]string, error) {
	status, err := h.Status(ctx)
	if err != nil {
		return nil, err
	}
	found := make(map[string][]string)
	for _, n := range status.GetNodes() {
		if n.GetState() == state {
			found[n.GetZone()] = append(found[n.GetZone()], n.GetId())
		}
	}
	return found, nil
}

// remove stages that nodes leave the layout.
func (h *healing) remove(ctx context.Context, ids []string) error {
	for _, id := range ids {
		if _, err := h.CLI(ctx, "layout", "remove", id); err != nil {
			return err
		}
	}
	return nil
}

// drain takes everything from the nodes that were there before the last came, as fast as it goes.
func (h *healing) drain(ctx context.Context) error {
	if err := h.command(ctx, chunknodev1.Task_TASK_REBALANCE); err != nil {
		return err
	}
	if err := h.remove(ctx, h.older); err != nil {
		return err
	}
	c, err := h.change(ctx, h.nodes, h.added)
	if err != nil {
		return err
	}
	h.nodes = h.added
	source, target := c.source.Seconds()/gib(c.moved), c.target.Seconds()/gib(c.moved)
	fmt.Printf("change of the layout as fast as it goes: %v\n", c)
	fmt.Printf("  CPUs/GiB: source %.2f (%.1f plain copies), target %.2f (%.1f)\n", source, source/h.plain, target, target/h.plain)
	return nil
}

// change is what a change of the layout took.
type change struct {
	sent, moved    int64         // bytes that were sent, and that had to be
	source, target time.Duration // processor time
	began          time.Time
	moving, took   time.Duration // until the last chunk was sent, and until the older layout was retired
}

func (c change) String() string {
	return fmt.Sprintf("%d MiB sent, %d MiB is the least (%.3f), in %.1f s, %.1f MB/s in all; the older layout retired after %.1f s",
		c.sent/mib, c.moved/mib, float64(c.sent)/float64(c.moved), c.moving.Seconds(), float64(c.sent)/c.moving.Seconds()/1e6, c.took.Seconds())
}

func gib(bytes int64) float64 { return float64(bytes) / (1 << 30) }

// change applies what is staged and waits until it is done.
func (h *healing) change(ctx context.Context, from, to []*deploy.Process) (c change, err error) {
	before, err := h.Status(ctx)
	if err != nil {
		return c, err
	}
	heldBefore, err := held(to)
	if err != nil {
		return c, err
	}
	source, err := spent(from)
	if err != nil {
		return c, err
	}
	target, err := spent(to)
	if err != nil {
		return c, err
	}
	c.began = time.Now()
	if _, err := h.CLI(ctx, "layout", "apply"); err != nil {
		return c, err
	}
	next := before.GetLayout() + 1
	err = h.wait(ctx, "the old layout is retired", func(s *adminv1.GetStatusResponse) error {
		if n := sent(s, next); n > c.sent {
			c.sent, c.moving = n, time.Since(c.began)
		}
		if s.GetLayout() != next || s.GetOldestLayout() != next {
			return fmt.Errorf("layouts %d to %d are in force", s.GetOldestLayout(), s.GetLayout())
		}
		return nil
	})
	if err != nil {
		return c, err
	}
	c.took = time.Since(c.began)
	heldAfter, err := held(to)
	if err != nil {
		return c, err
	}
	c.moved = heldAfter - heldBefore
	if c.source, err = source(); err != nil {
		return c, err
	}
	c.target, err = target()
	return c, err
}

// sent is what the nodes have sent to carry out a layout.
func sent(s *adminv1.GetStatusResponse, layout uint64) (sum int64) {
	_ = tasks(s, chunknodev1.Task_TASK_REBALANCE, func(_ string, t *chunknodev1.TaskStatus) error {
		if t.GetLayout() == layout {
			sum += t.GetBytes()
		}
		return nil
	})
	return sum
}

// held is the bytes that lie in the files of nodes, of which each is an object.
func held(nodes []*deploy.Process) (sum int64, err error) {
	for _, p := range nodes {
		files, err := filepath.Glob(filepath.Join(p.Data, "chunks", "blobs", "???", "*"))
		if err != nil {
			return 0, err
		}
		sum += int64(len(files)) * mib
	}
	return sum, nil
}
