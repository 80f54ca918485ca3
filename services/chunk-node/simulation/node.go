package simulation

import (
	"context"
	"log/slog"
	"time"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/services/chunk-node/heal"
	"deuxfleurs.fr/garage/services/chunk-node/state"
	"deuxfleurs.fr/garage/services/chunk-node/tasks"
)

// rules are those of every node.
var rules = state.Rules{Grace: 2 * time.Minute, Tombstones: state.DefaultTombstones}

// How often nodes do things.
const (
	repairInterval  = 10 * time.Minute
	scrubInterval   = 30 * time.Minute
	collectInterval = 30 * time.Second
	watchInterval   = 5 * time.Second

	longInterval = 3 * time.Minute // between two rounds of the long collection
	longWait     = 4 * time.Minute // for which metadata must not know an attempt
	longTrash    = 10 * time.Minute
)

// node is a chunk-node: its contents outlive its process.
type node struct {
	w        *World
	id       chunk.NodeID
	zone     string
	clock    simulatedClock
	contents *contents

	// Of the process.
	up        bool
	changed   time.Time // when up last changed
	disk      *disk
	engine    *heal.Engine
	runner    *tasks.Runner
	processes []*process
	under     map[uint64]int // requests under way, by the number of the layout with which they were let in
	end       context.CancelFunc
}

// start makes a process that ends with the node's.
func (n *node) start(body func()) {
	living := n.processes[:0]
	for _, p := range n.processes {
		if !p.ended {
			living = append(living, p)
		}
	}
	n.processes = append(living, n.w.scheduler.start(body))
}

// boot starts the program.
func (n *node) boot() {
	n.w.note("node %d starts", n.id[0])
	ctx, end := context.WithCancel(context.Background())
	n.up, n.changed, n.end = true, n.w.now, end
	n.disk, n.engine, n.runner, n.under = openDisk(n), nil, nil, make(map[uint64]int)
	n.start(func() { n.run(ctx) })
}

// crash stops it at whatever it is doing; with power, that of its machine goes too.
func (n *node) crash(power bool) {
	n.w.note("node %d crashes, power cut: %v", n.id[0], power)
	n.up, n.changed = false, n.w.now
	n.end()
	for _, p := range n.processes {
		n.w.kill(p)
	}
	n.processes = nil
	n.disk.interrupt(n.contents)
	if power {
		n.contents.cut(n.w.now, n.w.random.IntN)
	}
}

func (n *node) run(ctx context.Context) {
	logger := slog.New(slog.DiscardHandler)
	engine, err := heal.New(ctx, heal.Config{RepairInterval: repairInterval, ScrubInterval: scrubInterval,
		CollectInterval: longInterval, CollectWait: longWait, Trash: longTrash},
		heal.Deps{ID: n.id, Local: n.disk, Peers: n, Clock: n.clock, Random: n.w.bytes(), Logger: logger, Metadata: metadata{n.w}})
	if err != nil {
		n.w.fail("node %d does not start: %v", n.id[0], err)
		return
	}
	if c := n.contents; (c.fresh || c.before != nil) && !engine.Uncompared() {
		n.w.fail("node %d starts with a disk that was empty, has not compared with all owners since, and does not say so", n.id[0])
	}
	n.contents.fresh = false
	n.engine = engine
	runner, err := tasks.New(ctx, engine.Jobs(), tasks.Deps{Notes: commands{n.disk}, Clock: n.clock, Logger: logger})
	if err != nil {
		n.w.fail("node %d does not start: %v", n.id[0], err)
		return
	}
	n.runner = runner
	if !n.w.Broken.Check {
		n.disk.check()
	}
	for _, task := range []chunk.Task{chunk.Rebalance, chunk.Repair, chunk.Scrub, chunk.LongCollection} {
		n.start(func() {
			for {
				n.w.pause(max(runner.Step(ctx, task), time.Millisecond))
			}
		})
	}
	n.start(func() {
		for {
			n.w.pause(collectInterval)
			n.disk.collect()
		}
	})
	for {
		n.w.pause(n.w.between(0, 2*watchInterval))
		if a := n.w.published(n.id); a != nil && a.Newer(n.layouts()) {
			_ = n.adopt(a) // fails only for what is not newer
		}
	}
}

// layouts are those that the node has adopted.
func (n *node) layouts() *layout.Active { return n.contents.layouts }

func (n *node) number() uint64 {
	if a := n.layouts(); a != nil {
		return a.Number()
	}
	return 0
}

// adopt makes newer layouts the node's, durably.
func (n *node) adopt(a *layout.Active) error {
	n.w.note("node %d adopts layouts %d to %d", n.id[0], a.Oldest(), a.Number())
	n.disk.write(chunk.Hash{}, adopting(a))
	return nil
}

// enter lets a request in that was computed with the adopted layout; leave must follow.
func (n *node) enter(number uint64) (adopted uint64, err error) {
	adopted = n.number()
	if number != 0 && number != adopted && !n.w.Broken.Gate {
		return 0, layout.Differs(adopted)
	}
	n.under[adopted]++
	return adopted, nil
}

func (n *node) leave(adopted uint64) { n.under[adopted]-- }

func (n *node) status(ctx context.Context) (chunk.NodeStatus, error) {
	st, err := n.disk.Status(ctx)
	st.Layout = n.number()
	if n.engine != nil {
		st.Walked = n.engine.Walked()
	}
	return st, err
}

var _ heal.Peers = (*node)(nil)

// Layouts implements heal.Peers.
func (n *node) Layouts() *layout.Active { return n.layouts() }

// Settled implements heal.Peers.
func (n *node) Settled(_ context.Context, number uint64) error {
	for until := n.w.now.Add(time.Minute); n.w.now.Before(until); n.w.pause(50 * time.Millisecond) {
		older := 0
		for at, requests := range n.under {
			if at < number {
				older += requests
			}
		}
		if n.number() >= number && older == 0 || n.w.Broken.Settled {
			return nil
		}
	}
	return errors.Newf(errors.Deadline, "requests of an older layout are under way")
}

// Peer implements heal.Peers.
func (n *node) Peer(id chunk.NodeID) (chunk.Peer, error) {
	return &remote{w: n.w, from: n.id, to: id, layouts: n.layouts()}, nil
}

// Alive implements heal.Peers.
func (n *node) Alive(id chunk.NodeID) bool { return n.w.believed(id) }

// CatchUp implements heal.Peers.
func (n *node) CatchUp(_ context.Context, id chunk.NodeID, err error) error {
	if _, differs := layout.Differing(err); !differs {
		return err
	}
	newer, err := (&remote{w: n.w, from: n.id, to: id, layouts: n.layouts()}).current()
	if err != nil || newer == nil {
		return err
	}
	return n.adopt(newer)
}
