package cluster

import (
	"context"
	"time"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/quorum"
)

// othersAtOnce is how many nodes that do not own a chunk are asked for it at the same time.
const othersAtOnce = 4

// Get implements chunk.Store: it returns the bytes of the first owner that has
// them, whole. Kind NotFound, like Corrupted, needs the answer of every node of the layouts in force, any of which may have stood in
// for an owner; while one does not answer, the kind is Unavailable.
func (s *Store) Get(ctx context.Context, h chunk.Hash) (*buffer.Buffer, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.end()
	return s.read(ctx, h)
}

// read is a Get without a slot of its own.
func (s *Store) read(ctx context.Context, h chunk.Hash) (*buffer.Buffer, error) {
	g := s.newGet(ctx, h)
	defer g.op.finish()
	cause := g.untilAnswer(ctx)
	if g.answer == quorum.Found {
		return g.data, nil
	}
	if newer := g.s.newest(g.errs, g.peer); newer != nil {
		return nil, newer
	}
	if left := len(s.peers) - len(g.nodes); left > 0 && g.answer != quorum.Unavailable {
		return nil, errors.E(errors.Unavailable, errors.Chunk, h.String(), "no node that answers has a good copy, and %d that may have stood in do not answer%s",
			left, s.reasons(nil, g.errs, g.peer))
	}
	switch g.answer {
	case quorum.NotFound:
		return nil, errors.E(errors.NotFound, errors.Chunk, h.String(), "none of %d nodes has it", len(g.nodes))
	case quorum.Corrupted:
		return nil, errors.E(errors.Corrupted, errors.Chunk, h.String(), "there are only bad copies%s", s.reasons(nil, g.errs, g.peer))
	}
	return nil, errors.E(kindOfFailure(cause, g.errs, 1, 0), errors.Chunk, h.String(), "no node brought it%s", s.reasons(cause, g.errs, g.peer))
}

// get is a Get under way. It belongs to its caller's goroutine.
type get struct {
	s        *Store
	hash     chunk.Hash
	nodes    []int // places in peers: owners of all layouts in the order to ask them, then all others that are alive
	op       *operation
	machine  *quorum.Read
	errs     []error
	answered bool
	answer   quorum.Result
	data     *buffer.Buffer
	hedge    int // the node that was asked last though others were still asked; 0: none
}

func (s *Store) newGet(ctx context.Context, h chunk.Hash) *get {
	owners := s.holders(h)
	g := &get{s: s, hash: h, nodes: make([]int, 0, len(s.peers))}
	for _, o := range owners {
		g.nodes = append(g.nodes, int(o))
	}
	now := s.clock.Now()
	quorum.Order(g.nodes, func(n int) (bool, time.Duration) { return s.peers[n].rank(now) })
	c := quorum.ReadConfig{
		Owners: len(owners), Hedge: make([]time.Duration, len(owners)),
		Width: othersAtOnce, Retries: s.settings.Retries, Backoff: s.settings.Backoff,
	}
	for i, n := range g.nodes {
		c.Hedge[i] = s.peers[n].hedge()
	}
	for n, p := range s.peers {
		if !isOwner(owners, n) && !p.avoid() {
			g.nodes = append(g.nodes, n)
		}
	}
	c.Others = len(g.nodes) - len(owners)
	g.machine = quorum.NewRead(c)
	g.op = s.operation(ctx, len(g.nodes))
	g.errs = make([]error, len(g.nodes))
	return g
}

func isOwner(owners []uint16, node int) bool {
	for _, o := range owners {
		if int(o) == node {
			return true
		}
	}
	return false
}

// untilAnswer runs the read until it is answered. The error is why it was stopped, if it was.
func (g *get) untilAnswer(ctx context.Context) error {
	now := g.s.clock.Now()
	deadline := now.Add(g.s.settings.ReadTimeout)
	g.perform(g.machine.Start(now))
	for !g.answered {
		until := deadline
		if wake, ok := g.machine.Wake(); ok && wake.Before(until) {
			until = wake
		}
		r, e := g.op.wait(ctx, until)
		now = g.s.clock.Now()
		switch {
		case e == replied:
			g.replied(r, now)
		case e == timePassed && now.Before(deadline):
			g.perform(g.machine.Tick(now))
		default:
			g.perform(g.machine.Stop(now))
			return stopped(ctx, e, g.s.settings.ReadTimeout)
		}
	}
	return nil
}

func (g *get) peer(node int) *peer { return g.s.peers[g.nodes[node]] }

// perform carries out what the machine asks for.
func (g *get) perform(actions []quorum.Action) {
	for _, a := range actions {
		switch a.Do {
		case quorum.Ask:
			if a.Node > 0 {
				g.s.counts.second.Add(1)
				if g.op.busy() {
					g.s.counts.hedged.Add(1)
					g.hedge = a.Node
				}
			}
			g.op.start(a.Node, g.peer(a.Node), 0, 0, g.fetch)
		case quorum.Cancel:
			g.op.giveUp(a.Node, g.answer == quorum.Found)
		case quorum.Repair:
			g.s.repair(g.hash, g.data, g.peer(a.Node))
		case quorum.Answer:
			g.answered, g.answer = true, a.Result
		}
	}
}

// fetch gets the bytes from a node and makes sure of them.
func (g *get) fetch(ctx context.Context, p *peer) result {
	data, err := p.node.Get(ctx, g.hash)
	if err == nil && !p.verified {
		if err = chunk.Verify(g.hash, data); err != nil {
			data.Release()
			data = nil
		}
	}
	switch {
	case err == nil:
		return result{outcome: quorum.OK, data: data}
	case errors.Is(err, errors.NotFound) || g.s.newerAt(p, err) != nil:
		return result{outcome: quorum.Missing, err: err}
	case errors.Is(err, errors.Corrupted):
		return result{outcome: quorum.Bad, err: err}
	}
	return result{outcome: quorum.Failed, err: err}
}

// replied tells the machine how a call ended.
func (g *get) replied(r result, now time.Time) {
	if !g.op.current(r) {
		return
	}
	g.s.judgeRead(r.call, r.err)
	g.errs[r.call.subject] = r.err
	switch r.outcome {
	case quorum.OK:
		g.data = r.data
		if g.hedge > 0 && r.call.subject == g.hedge {
			g.s.counts.won.Add(1)
		}
	case quorum.Bad:
		g.s.counts.bad.Add(1)
		g.s.log.Warn("a chunk-node has a bad copy of a chunk", "chunk", g.hash, "node", r.call.peer.id, "error", r.err)
	}
	g.perform(g.machine.Replied(r.call.subject, r.outcome, now))
}

// repair sends good bytes to a node with a bad copy, in a goroutine of its own.
// When there are too many already it does not: the node found the copy bad too
// and asks other owners itself.
func (s *Store) repair(h chunk.Hash, good *buffer.Buffer, p *peer) {
	select {
	case s.repairs <- struct{}{}:
	default:
		return
	}
	if s.add() != nil {
		<-s.repairs
		return
	}
	good.Retain()
	go func() {
		defer s.work.Done()
		defer func() { <-s.repairs }()
		defer good.Release()
		err := s.limited(s.root, s.settings.SideTimeout, func(ctx context.Context) error { return p.node.Repair(ctx, h, good) })
		if err != nil {
			s.log.Warn("a bad copy of a chunk was not repaired: its node is to fetch it itself", "chunk", h, "node", p.id, "error", err)
			return
		}
		s.counts.repaired.Add(1)
		s.log.Info("a bad copy of a chunk was repaired", "chunk", h, "node", p.id)
	}()
}
