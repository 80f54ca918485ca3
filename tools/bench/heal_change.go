package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
	"deuxfleurs.fr/garage/tools/deploy"
)

// readTime is how long is read before anything moves.
const readTime = 10 * time.Second

// add gives half of everything to new nodes, at the rate that is the default, and says what readers notice.
func (h *healing) add(ctx context.Context) error {
	quiet, err := h.read(ctx, func(ctx context.Context) error {
		ctx, stop := context.WithTimeout(ctx, readTime)
		defer stop()
		<-ctx.Done()
		return nil
	})
	if err != nil {
		return err
	}
	before, err := h.Status(ctx)
	if err != nil {
		return err
	}
	for _, n := range before.GetNodes() {
		h.first = append(h.first, n.GetId())
	}
	old := h.Nodes()
	var added []*deploy.Process
	for site := range h.Sites {
		p, err := h.AddNode(ctx, site)
		if err != nil {
			return err
		}
		added = append(added, p)
	}
	err = h.wait(ctx, "the new nodes are known", func(s *adminv1.GetStatusResponse) error {
		known := 0
		for _, n := range s.GetNodes() {
			if n.GetState() == adminv1.NodeState_NODE_STATE_NEW {
				known++
			}
		}
		if known < len(added) {
			return fmt.Errorf("%d of %d are", known, len(added))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := h.CLI(ctx, "layout", "assign", "--all"); err != nil {
		return err
	}
	var c change
	busy, err := h.read(ctx, func(ctx context.Context) error {
		c, err = h.change(ctx, old, added)
		return err
	})
	if err != nil {
		return err
	}
	fmt.Printf("change of the layout at the default rate: %v, %.1f MB/s from each node\n", c, float64(c.sent)/c.took.Seconds()/1e6/float64(len(old)))
	fmt.Printf("  GET of 1 MiB meanwhile: p50 %v, before %v; p99 %v, before %v (%.1f times)\n", ms(busy.quantile(0.5)), ms(quiet.quantile(0.5)),
		ms(busy.quantile(0.99)), ms(quiet.quantile(0.99)), float64(busy.quantile(0.99))/float64(quiet.quantile(0.99)))
	return nil
}

func ms(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

// drain takes everything from the nodes that were there first, as fast as it goes.
func (h *healing) drain(ctx context.Context) error {
	if err := h.command(ctx, chunknodev1.Task_TASK_REBALANCE); err != nil {
		return err
	}
	all := h.Nodes()
	from, to := all[:len(h.Sites)], all[len(h.Sites):]
	for _, id := range h.first {
		if _, err := h.CLI(ctx, "layout", "remove", id); err != nil {
			return err
		}
	}
	c, err := h.change(ctx, from, to)
	if err != nil {
		return err
	}
	source, target := c.source.Seconds()/gib(c.moved), c.target.Seconds()/gib(c.moved)
	fmt.Printf("change of the layout as fast as it goes: %v\n", c)
	fmt.Printf("  CPUs/GiB: source %.2f (%.1f plain copies), target %.2f (%.1f)\n", source, source/h.plain, target, target/h.plain)
	return nil
}

// change is what a change of the layout took.
type change struct {
	sent, moved    int64 // bytes that were sent, and that had to be
	source, target time.Duration
	took           time.Duration
}

func (c change) String() string {
	return fmt.Sprintf("%d MiB sent, %d MiB is the least (%.3f), in %v", c.sent/mib, c.moved/mib, float64(c.sent)/float64(c.moved), c.took.Round(time.Millisecond))
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
	begin := time.Now()
	if _, err := h.CLI(ctx, "layout", "apply"); err != nil {
		return c, err
	}
	next := before.GetLayout() + 1
	err = h.wait(ctx, "the old layout is retired", func(s *adminv1.GetStatusResponse) error {
		if s.GetLayout() != next || s.GetOldestLayout() != next {
			return fmt.Errorf("layouts %d to %d are in force", s.GetOldestLayout(), s.GetLayout())
		}
		c.sent = sent(s)
		return nil
	})
	if err != nil {
		return c, err
	}
	c.took = time.Since(begin)
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

// sent is what the nodes have sent to hand over in their last run.
func sent(s *adminv1.GetStatusResponse) (sum int64) {
	_ = tasks(s, chunknodev1.Task_TASK_REBALANCE, func(_ string, t *chunknodev1.TaskStatus) error {
		sum += t.GetBytes()
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
