package migrate

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta/unfinished"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

const (
	// lease is how long the standalone waits for a migration of which it hears nothing, renewal the time between two words.
	lease   = time.Minute
	renewal = 3 * time.Second
	// unheard is when a migration gives up that gets no answer, the last try takes renewalTime. What it has begun to write in the cluster
	// then ends within patience, before another migration can have the hold: it never writes over what that one brought.
	unheard     = 15 * time.Second
	renewalTime = 5 * time.Second
)

// hold is what a migration has at the standalone: no other is under way there, and writes may be held back.
type hold struct {
	id    uuid.UUID
	peer  metadatav1.MigrationSourceServiceClient
	heard atomic.Pointer[time.Time] // when the last renewal began that did all that it should; nil: none

	mu sync.Mutex // of one renewal
	// beat says in the cluster that a migration is at work, and looks whether it may go on; nil: it writes nothing that clients could see.
	beat func(ctx context.Context, at time.Time) error
}

// sure refuses when the last renewal was too long ago: another migration may have the hold, or have it before a write is over, or somebody may
// have opened a copy. It is asked right before each write, as a machine that sleeps wakes up anywhere.
func (h *hold) sure(c clock.Clock) error {
	if last := h.heard.Load(); last == nil || clock.Since(*last, c.Now()) > unheard {
		return errors.Newf(errors.Unavailable, "the standalone, or the cluster's metadata, did not answer for more than %v: nothing is written until they do", unheard)
	}
	return nil
}

// take begins the hold, which is sure when it was renewed for the first time.
func (h *hold) take(ctx context.Context) error {
	return h.ask(ctx, &metadatav1.HoldRequest{})
}

// renew goes on with the hold and, once writes are held back, with that too. Kinds: Conflict if it cannot go on: it is lost, or was not renewed for too
// long, in which a copy may have been opened, or somebody is opening one.
func (h *hold) renew(ctx context.Context, c clock.Clock) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, renewalTime)
	defer cancel()
	asked := c.Now()
	if err := h.ask(ctx, &metadatav1.HoldRequest{Renew: true}); err != nil {
		return err
	}
	if h.beat != nil {
		if err := h.beat(ctx, asked); err != nil {
			return err
		}
	}
	if last := h.heard.Load(); last != nil && clock.Since(*last, c.Now()) > unheard {
		return errors.Newf(errors.Conflict, "nothing was heard of the standalone, or of the cluster's metadata, for more than %v: run the same command again", unheard)
	}
	h.heard.Store(&asked)
	return nil
}

// quiet ends the heartbeats. Nothing is written into copies any more.
func (h *hold) quiet() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.beat = nil
}

// freeze has writes held back from now on, and waits for those under way.
func (h *hold) freeze(ctx context.Context) error {
	return h.ask(ctx, &metadatav1.HoldRequest{Renew: true, Freeze: true})
}

func (h *hold) ask(ctx context.Context, r *metadatav1.HoldRequest) error {
	r.Migration, r.Lease = h.id[:], lease.Milliseconds()
	_, err := h.peer.Hold(ctx, r)
	return err
}

// keep renews the hold until ctx ends, and says when it is lost, or may be.
func (h *hold) keep(ctx context.Context, c clock.Clock, lost func(error)) {
	for clock.Sleep(ctx, c, renewal) == nil {
		err := h.renew(ctx, c)
		switch {
		case err == nil:
		case errors.Is(err, errors.Conflict):
			lost(err)
		case clock.Since(*h.heard.Load(), c.Now()) > unheard:
			lost(errors.Annotate(err, "the standalone, or the cluster's metadata, did not answer for %v; the standalone goes on by itself: run the same command again when both can be reached", unheard))
		}
	}
}

// whileHeld does something while the standalone is held for this migration, and gives it up if the hold is lost, or somebody opens a copy.
func (m *migration) whileHeld(ctx context.Context, standalone uuid.UUID, do func(context.Context, *hold) error) error {
	id, err := clock.NewUUID(m.Random)
	if err != nil {
		return errors.Wrap(errors.Internal, err, "drawing an ID")
	}
	h := &hold{id: id, peer: m.peer, beat: m.beat}
	if err := once(ctx, h.take); err != nil {
		return err
	}
	m.hold = h
	if err = m.openNotes(ctx, standalone, true); err == nil {
		err = m.retrySteps(ctx, func() error { return h.renew(ctx, m.Clock) })
	}
	if err == nil {
		err = m.whileRenewed(ctx, do)
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if m.notes.open {
		if e := m.notes.EndBeat(ending, h.id); e != nil && !errors.IsEntity(e, errors.NotFound, errors.Bucket) {
			m.Logger.Warn("the cluster was not told that the migration has ended; no copy can be opened for a while", "while", unfinished.Fresh, "error", e)
		}
	}
	if _, e := h.peer.Hold(ending, &metadatav1.HoldRequest{Migration: id[:]}); e != nil {
		m.Logger.Warn("the standalone was not told that the migration has ended; it takes writes again after a while", "lease", lease, "error", e)
	}
	return err
}

// whileRenewed does something while the hold is renewed.
func (m *migration) whileRenewed(ctx context.Context, do func(context.Context, *hold) error) error {
	held, lost := context.WithCancelCause(ctx)
	var work sync.WaitGroup
	work.Go(func() { m.hold.keep(held, m.Clock, lost) })
	err := do(held, m.hold)
	if cause := context.Cause(held); err != nil && cause != nil && ctx.Err() == nil && !m.left {
		err = errors.Annotate(cause, "the migration has ended (%v)", err)
	}
	lost(nil)
	work.Wait()
	return err
}

// beat puts the heartbeat, and then looks whether the copies are still nobody's. Kinds: Conflict if one may not be.
func (m *migration) beat(ctx context.Context, at time.Time) error {
	n := m.notes.Notes
	n.Try = nil // the renewal is tried again as a whole
	if err := n.Beat(ctx, m.hold.id, at); err != nil {
		return notesGone(err)
	}
	if err := n.Opening(ctx); err != nil {
		return err
	}
	b := m.working.Load()
	if b == nil {
		return nil
	}
	t, err := m.Store.Bucket(ctx, b.Name)
	if errors.Is(err, errors.NotFound) {
		return nil // it is being made or removed
	}
	if err != nil {
		return err
	}
	if problem := inTheWay(*b, t); problem != "" {
		return refuse([]string{problem})
	}
	return nil
}
