package migrate

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
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
	heard atomic.Pointer[time.Time] // when the last call was sent that was answered
}

// sure refuses when nothing was heard for too long: another migration may have the hold, or have it before a write is over. It is asked
// right before each write, as a machine that sleeps wakes up anywhere.
func (h *hold) sure(c clock.Clock) error {
	if clock.Since(*h.heard.Load(), c.Now()) > unheard {
		return errors.Newf(errors.Unavailable, "the standalone did not answer for more than %v: nothing is written until it does", unheard)
	}
	return nil
}

// take begins the hold.
func (h *hold) take(ctx context.Context, c clock.Clock) error {
	return h.ask(ctx, c, &metadatav1.HoldRequest{})
}

// renew goes on with the hold and, once writes are held back, with that too.
func (h *hold) renew(ctx context.Context, c clock.Clock) error {
	ctx, cancel := context.WithTimeout(ctx, renewalTime)
	defer cancel()
	return h.ask(ctx, c, &metadatav1.HoldRequest{Renew: true})
}

// freeze has writes held back from now on, and waits for those under way.
func (h *hold) freeze(ctx context.Context, c clock.Clock) error {
	return h.ask(ctx, c, &metadatav1.HoldRequest{Renew: true, Freeze: true})
}

// ask asks for the hold, and notes when it was heard of.
func (h *hold) ask(ctx context.Context, c clock.Clock, r *metadatav1.HoldRequest) error {
	asked := c.Now()
	r.Migration, r.Lease = h.id[:], lease.Milliseconds()
	if _, err := h.peer.Hold(ctx, r); err != nil {
		return err
	}
	for {
		last := h.heard.Load()
		if last != nil && last.After(asked) || h.heard.CompareAndSwap(last, &asked) {
			return nil
		}
	}
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
			lost(errors.Annotate(err, "the standalone did not answer for %v; it goes on by itself: run the same command again when it can be reached", unheard))
		}
	}
}

// whileHeld does something while the standalone is held for this migration, and gives it up if the hold is lost.
func (m *migration) whileHeld(ctx context.Context, do func(context.Context, *hold) error) error {
	id, err := clock.NewUUID(m.Random)
	if err != nil {
		return errors.Wrap(errors.Internal, err, "drawing an ID")
	}
	h := &hold{id: id, peer: m.peer}
	if err := once(ctx, func(ctx context.Context) error { return h.take(ctx, m.Clock) }); err != nil {
		return err
	}
	m.hold = h
	held, lost := context.WithCancelCause(ctx)
	var work sync.WaitGroup
	work.Go(func() { h.keep(held, m.Clock, lost) })
	err = do(held, h)
	if cause := context.Cause(held); err != nil && cause != nil && ctx.Err() == nil && !m.left {
		err = errors.Annotate(cause, "the migration has ended (%v)", err)
	}
	lost(nil)
	work.Wait()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if _, e := h.peer.Hold(ending, &metadatav1.HoldRequest{Migration: id[:]}); e != nil {
		m.Logger.Warn("the standalone was not told that the migration has ended; it takes writes again after a while", "lease", lease, "error", e)
	}
	return err
}
