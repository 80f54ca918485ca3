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
	// unheard is when a migration gives up that gets no answer from the standalone, the last try takes renewalTime. What it has begun to write in the
	// cluster then ends within patience, before another migration can have the hold: it never writes over what that one brought.
	unheard     = 15 * time.Second
	renewalTime = 5 * time.Second
	// heartbeat is the time between two heartbeats in the cluster, and unbeaten when a migration gives up that cannot put one. What it has begun to
	// write then ends within patience, before a copy may be opened (unfinished.HeartbeatLife).
	heartbeat = 10 * time.Second
	unbeaten  = 2 * time.Minute
)

// moment is when something began that is to happen again and again, and went well.
type moment struct{ last atomic.Pointer[time.Time] }

func (m *moment) set(t time.Time) { m.last.Store(&t) }

// over reports whether it was too long ago, or never.
func (m *moment) over(c clock.Clock, limit time.Duration) bool {
	last := m.last.Load()
	return last == nil || clock.Since(*last, c.Now()) > limit
}

// hold is what a migration has at the standalone, where no other is under way and writes may be held back, and in the cluster, where nobody
// opens its copies.
type hold struct {
	id          uuid.UUID
	peer        metadatav1.MigrationSourceServiceClient
	heard, beat moment // of the standalone, and the heartbeat

	mu sync.Mutex // of one heartbeat
	// check says in the cluster that a migration is at work, and looks whether it may go on; nil: it writes nothing that clients could see.
	check func(ctx context.Context, at time.Time) error
}

// sure refuses when the last word was too long ago: another migration may have the hold, or have it before a write is over, or somebody may
// have opened a copy. It is asked right before each write, as a machine that sleeps wakes up anywhere.
func (h *hold) sure(c clock.Clock) error {
	switch {
	case h.heard.over(c, unheard):
		return errors.Newf(errors.Unavailable, "the standalone did not answer for more than %v: nothing is written until it does", unheard)
	case h.beat.over(c, unbeaten):
		return errors.Newf(errors.Unavailable, "the cluster's metadata did not answer for more than %v: nothing is written until it does", unbeaten)
	}
	return nil
}

// take begins the hold at the standalone.
func (h *hold) take(ctx context.Context, c clock.Clock) error {
	asked := c.Now()
	err := h.ask(ctx, &metadatav1.HoldRequest{})
	if err == nil {
		h.heard.set(asked)
	}
	return err
}

// renew goes on with the hold and, once writes are held back, with that too. Kinds: Conflict if it is lost.
func (h *hold) renew(ctx context.Context, c clock.Clock) error {
	ctx, cancel := context.WithTimeout(ctx, renewalTime)
	defer cancel()
	asked := c.Now()
	err := h.ask(ctx, &metadatav1.HoldRequest{Renew: true})
	if err == nil {
		h.heard.set(asked)
	}
	return err
}

// freeze has writes held back from now on, and waits for those under way.
func (h *hold) freeze(ctx context.Context) error {
	return h.ask(ctx, &metadatav1.HoldRequest{Renew: true, Freeze: true})
}

// release ends the hold: the standalone goes on by itself, unless it has left.
func (h *hold) release(ctx context.Context) error {
	_, err := h.peer.Hold(ctx, &metadatav1.HoldRequest{Migration: h.id[:]})
	return err
}

func (h *hold) ask(ctx context.Context, r *metadatav1.HoldRequest) error {
	r.Migration, r.Lease = h.id[:], lease.Milliseconds()
	_, err := h.peer.Hold(ctx, r)
	return err
}

// putHeartbeat puts the next heartbeat. Kinds: Conflict if the migration cannot go on: somebody is opening a copy, or may have opened one, as the
// last heartbeat was too long ago.
func (h *hold) putHeartbeat(ctx context.Context, c clock.Clock) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.check == nil {
		return nil
	}
	asked := c.Now()
	if err := once(ctx, func(ctx context.Context) error { return h.check(ctx, asked) }); err != nil {
		return err
	}
	if h.beat.last.Load() != nil && h.beat.over(c, unbeaten) {
		return errors.Newf(errors.Conflict, "the cluster's metadata did not answer for more than %v: run the same command again", unbeaten)
	}
	h.beat.set(asked)
	return nil
}

// stopHeartbeats is called when nothing is written into copies any more.
func (h *hold) stopHeartbeats() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.check = nil
}

// keepHold renews the hold until ctx ends, and says when it is lost, or may be.
func (h *hold) keepHold(ctx context.Context, c clock.Clock, lost func(error)) {
	for clock.Sleep(ctx, c, renewal) == nil {
		err := h.renew(ctx, c)
		switch {
		case err == nil:
		case errors.Is(err, errors.Conflict):
			lost(err)
		case h.heard.over(c, unheard):
			lost(errors.Annotate(err, "the standalone did not answer for %v, and goes on by itself: run the same command again when it can be reached", unheard))
		}
	}
}

// keepBeating puts heartbeats until ctx ends, and says when the migration cannot go on.
func (h *hold) keepBeating(ctx context.Context, c clock.Clock, lost func(error)) {
	for clock.Sleep(ctx, c, heartbeat) == nil {
		err := h.putHeartbeat(ctx, c)
		switch {
		case err == nil:
		case errors.Is(err, errors.Conflict):
			lost(err)
		case h.beat.over(c, unbeaten):
			lost(errors.Annotate(err, "the cluster's metadata did not answer for %v; the standalone goes on by itself: run the same command again when it does", unbeaten))
		}
	}
}

// whileHeld does something while the standalone is held for this migration, and gives it up if the hold is lost, or somebody opens a copy.
func (m *migration) whileHeld(ctx context.Context, standalone uuid.UUID, do func(context.Context) error) error {
	id, err := clock.NewUUID(m.Random)
	if err != nil {
		return errors.Wrap(errors.Internal, err, "drawing an ID")
	}
	h := &hold{id: id, peer: m.peer, check: m.check}
	if err := once(ctx, func(ctx context.Context) error { return h.take(ctx, m.Clock) }); err != nil {
		return err
	}
	m.hold = h
	defer m.endHold(context.WithoutCancel(ctx))
	return m.while(ctx, h.keepHold, func(ctx context.Context) error {
		if err := m.findNotes(ctx, standalone, true); err != nil {
			return err
		}
		if err := m.retrySteps(ctx, func() error { return h.putHeartbeat(ctx, m.Clock) }); err != nil {
			return err
		}
		return m.while(ctx, h.keepBeating, do)
	})
}

// endHold lets the standalone go first, whose clients may be waiting, and then ends the heartbeats. Each has its own time.
func (m *migration) endHold(ctx context.Context) {
	if err := once(ctx, m.hold.release); err != nil {
		m.Logger.Warn("the standalone was not told that the migration has ended; it takes writes again after a while", "lease", lease, "error", err)
	}
	if !m.notes.exist {
		return
	}
	err := once(ctx, func(ctx context.Context) error { return m.notes.DropHeartbeat(ctx, m.hold.id) })
	if err != nil && !errors.IsEntity(err, errors.NotFound, errors.Bucket) {
		m.Logger.Warn("the cluster was not told that the migration has ended; no copy can be opened for a while", "while", unfinished.HeartbeatLife, "error", err)
	}
}

// while does something while something else is kept going, and ends it when that is lost.
func (m *migration) while(ctx context.Context, keep func(context.Context, clock.Clock, func(error)), do func(context.Context) error) error {
	kept, lost := context.WithCancelCause(ctx)
	var work sync.WaitGroup
	work.Go(func() { keep(kept, m.Clock, lost) })
	err := do(kept)
	if cause := context.Cause(kept); err != nil && cause != nil && ctx.Err() == nil && !m.left {
		err = errors.Annotate(cause, "the migration has ended (%v)", err)
	}
	lost(nil)
	work.Wait()
	return err
}

// check says that the migration is at work, and then looks whether the copies are still nobody's. Kinds: Conflict if one may not be.
func (m *migration) check(ctx context.Context, at time.Time) error {
	n := m.notes.Notes
	n.Try = nil // the heartbeat is tried again as a whole
	if err := n.PutHeartbeat(ctx, m.hold.id, at); err != nil {
		return notesGone(err)
	}
	if err := n.CheckNoOpening(ctx); err != nil {
		return err
	}
	b := m.target.Load()
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
