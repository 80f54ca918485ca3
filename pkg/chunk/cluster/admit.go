package cluster

import (
	"context"
	"time"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/quorum"
)

// admit waits until as many owners as the write needs have room for its bytes,
// or there is no use in waiting for them, and says how each stands. So more
// than the links carry waits here, in order, instead of all failing together.
// The write must begin at once, and call admitted when it has.
func (s *Store) admit(ctx context.Context, w *write) (standings []quorum.Standing, admitted func(), err error) {
	owners, n := w.owners, w.size()
	if list, fits := s.standings(owners, n, w.needed, false); fits {
		return list, func() {}, nil
	}
	for _, o := range owners {
		s.peers[o].waiting.Add(1)
		defer s.peers[o].waiting.Add(-1)
	}
	timer := s.clock.NewTimer(s.settings.WriteTimeout)
	defer timer.Stop()
	select {
	case s.turn <- struct{}{}:
	case <-timer.C():
		return nil, nil, s.crowded(w, errors.Newf(errors.Overloaded, "others wait before it"))
	case <-ctx.Done():
		return nil, nil, s.crowded(w, ctx.Err())
	case <-s.root.Done():
		return nil, nil, s.crowded(w, errors.Newf(errors.Unavailable, "the chunk store is shutting down"))
	}
	for {
		if list, fits := s.standings(owners, n, w.needed, true); fits {
			return list, func() { <-s.turn }, nil
		}
		select {
		case <-s.room:
			continue
		case <-timer.C():
			err = errors.Newf(errors.Overloaded, "no room in %v", s.settings.WriteTimeout)
		case <-ctx.Done():
			err = ctx.Err()
		case <-s.root.Done():
			err = errors.Newf(errors.Unavailable, "the chunk store is shutting down")
		}
		<-s.turn
		return nil, nil, s.crowded(w, err)
	}
}

func (s *Store) crowded(w *write, cause error) error {
	kind := errors.Overloaded
	switch k := errors.KindOf(cause); k {
	case errors.Canceled, errors.Unavailable:
		kind = k
	}
	return errors.E(kind, errors.Chunk, w.hash.String(), "%s: its owners are sent as much as they can take already: %v", w.verb, cause)
}

// standings are those of the owners for a write of n bytes to each. They fit
// if enough are ready, or if even the busy ones are not enough, so that those
// that seem away must be tried. Who is not first in line leaves room to those who
// wait already.
func (s *Store) standings(owners []uint16, n int64, needed int, first bool) (list []quorum.Standing, fits bool) {
	list = make([]quorum.Standing, len(owners))
	ready, busy := 0, 0
	for i, o := range owners {
		p := s.peers[o]
		list[i] = p.standing(n)
		if list[i] == quorum.Ready && n > 0 && !first && p.waiting.Load() > 0 {
			list[i] = quorum.Busy
		}
		switch list[i] {
		case quorum.Ready:
			ready++
		case quorum.Busy:
			busy++
		}
	}
	return list, ready >= needed || busy == 0 || n == 0
}

// standing is that of the node for a write of so many bytes.
func (p *peer) standing(bytes int64) quorum.Standing {
	if p.gone() {
		return quorum.Away
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.health.Avoid():
		return quorum.Away
	case !p.window.Fits(bytes):
		return quorum.Busy
	}
	return quorum.Ready
}

// begin counts bytes that are sent to the node.
func (p *peer) begin(bytes int64) {
	if bytes == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.window.Begin(bytes)
}

// sent counts the bytes of a call no more. Called with p.mu held.
func (s *Store) sent(c *call, how func(w *quorum.Window, now time.Time)) {
	if c.bytes == 0 {
		return
	}
	how(c.peer.window, s.clock.Now())
	select {
	case s.room <- struct{}{}: // whoever is first in line looks again
	default:
	}
}
