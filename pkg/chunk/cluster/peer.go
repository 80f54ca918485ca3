package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/quorum"
)

// peer is a node and what is known of its health.
type peer struct {
	id       chunk.NodeID
	zone     string
	node     chunk.Node
	verified bool
	alive    func(chunk.NodeID) bool // nil: always
	waiting  atomic.Int64            // writes that wait for room
	calls    [callResults]atomic.Int64

	mu       sync.Mutex
	health   *quorum.Health
	window   *quorum.Window
	answered time.Time // anything, the last time
	probing  bool      // a goroutine probes it
}

func newPeer(n layout.Node, m Member, s Settings) *peer {
	return &peer{
		id: n.ID, zone: n.Zone, node: m.Node, verified: m.Verified,
		health: quorum.NewHealth(s.Health), window: quorum.NewWindow(s.Window),
	}
}

// How a call to a node ended.
const (
	callOK       = iota
	callRefused  // the node answered with an error
	callFailed   // it did not answer
	callCanceled // it was not needed any more
	callResults
)

// ended counts a call.
func (p *peer) ended(err error) {
	switch {
	case err == nil:
		p.calls[callOK].Add(1)
	case errors.Is(err, errors.Canceled):
		p.calls[callCanceled].Add(1)
	case answered(err):
		p.calls[callRefused].Add(1)
	default:
		p.calls[callFailed].Add(1)
	}
}

// answered reports whether an error is an answer of the node, rather than the lack of one.
func answered(err error) bool {
	switch errors.KindOf(err) {
	case errors.Unavailable, errors.Deadline, errors.Canceled, errors.Internal:
		return false
	}
	return true
}

// judge learns from a call that ended by itself.
func (s *Store) judge(c *call, err error) {
	p := c.peer
	p.mu.Lock()
	defer p.mu.Unlock()
	now := s.clock.Now()
	s.sent(c, func(w *quorum.Window, now time.Time) {
		if err == nil {
			w.End(c.bytes, c.began, now)
		} else {
			w.Fail(c.bytes)
		}
	})
	if err == nil || answered(err) {
		p.answered = now
		p.health.Succeeded()
		return
	}
	p.health.Failed(now)
	s.watch(p)
}

// judgeRead learns from a read that ended by itself.
func (s *Store) judgeRead(c *call, err error) {
	if err != nil {
		s.judge(c, err)
		return
	}
	p := c.peer
	p.mu.Lock()
	defer p.mu.Unlock()
	now := s.clock.Now()
	p.answered = now
	p.health.Answered(now.Sub(c.began), now)
}

// judgeLate learns from a call that was given up. It speaks against the node
// only if it took long and the node has answered nothing else meanwhile.
func (s *Store) judgeLate(c *call, outrun bool) {
	p := c.peer
	p.mu.Lock()
	defer p.mu.Unlock()
	now := s.clock.Now()
	took := now.Sub(c.began)
	s.sent(c, func(w *quorum.Window, now time.Time) {
		if took >= s.settings.Grace {
			w.Late(c.bytes, c.began, now)
		} else {
			w.Fail(c.bytes)
		}
	})
	switch {
	case outrun:
		p.health.Outrun(took, now)
	case took >= s.settings.Grace && p.answered.Before(c.began):
		p.health.Failed(now)
		s.watch(p)
	}
}

// rank is by what reads choose between nodes.
func (p *peer) rank(now time.Time) (avoid bool, latency time.Duration) {
	gone := p.gone()
	p.mu.Lock()
	defer p.mu.Unlock()
	return gone || p.health.Avoid(), p.health.Latency(now)
}

// gone reports whether others say that the node does not answer.
func (p *peer) gone() bool { return p.alive != nil && !p.alive(p.id) }

func (p *peer) hedge() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.health.Hedge()
}

// watch has a node probed while it is to be avoided. Called with p.mu held.
func (s *Store) watch(p *peer) {
	if !p.health.Avoid() || p.probing || s.add() != nil {
		return
	}
	p.probing = true
	s.log.Warn("chunk-node does not answer: it is asked last until it does", "node", p.id, "zone", p.zone)
	go s.probe(p)
}

// probe asks a node for its status, less and less often, until it answers or
// other calls to it succeed.
func (s *Store) probe(p *peer) {
	defer s.work.Done()
	for {
		p.mu.Lock()
		next, avoided := p.health.NextProbe()
		if !avoided {
			p.probing = false
			p.mu.Unlock()
			s.log.Info("chunk-node answers again", "node", p.id, "zone", p.zone)
			return
		}
		p.mu.Unlock()
		if clock.Sleep(s.probes, s.clock, next.Sub(s.clock.Now())) != nil {
			return // the store closes
		}
		err := s.limited(s.probes, s.settings.SideTimeout, func(ctx context.Context) error {
			_, err := p.node.Status(ctx)
			return err
		})
		p.mu.Lock()
		p.health.Probed(err == nil || answered(err), s.clock.Now())
		p.mu.Unlock()
	}
}

// limited runs f and gives it up after d of the store's clock.
func (s *Store) limited(ctx context.Context, d time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	timer := s.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case err := <-ended:
		return err
	case <-timer.C():
		cancel()
		return errors.Wrap(errors.Deadline, <-ended, "no answer in %v", d)
	}
}

// avoid reports whether the node is believed not to answer.
func (p *peer) avoid() bool {
	if p.gone() {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.health.Avoid()
}

// NodeHealth is what the store thinks of a node.
type NodeHealth struct {
	ID      chunk.NodeID
	Zone    string
	Avoided bool          // it failed so often that it is asked last
	Latency time.Duration // expected of a read
	Window  int64         // bytes that may be on their way to it at the same time
	Waiting int64         // writes that wait for room to be sent to it
	Calls   [callResults]int64
}

// Nodes is the health of all nodes of the layouts in force, in the order of their IDs.
func (s *Store) Nodes() []NodeHealth {
	list := make([]NodeHealth, len(s.peers))
	for i, p := range s.peers {
		p.mu.Lock()
		list[i] = NodeHealth{ID: p.id, Zone: p.zone, Avoided: p.health.Avoid(), Latency: p.health.Latency(s.clock.Now()), Window: p.window.Limit(), Waiting: p.waiting.Load()}
		for result := range p.calls {
			list[i].Calls[result] = p.calls[result].Load()
		}
		p.mu.Unlock()
	}
	return list
}
