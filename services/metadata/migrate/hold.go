package migrate

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

const (
	// lease is how long the standalone waits for a migration of which it hears nothing, renewal the time between two words.
	lease   = 30 * time.Second
	renewal = 3 * time.Second
)

// hold is what a migration has at the standalone: no other is under way there, and writes may be held back.
type hold struct {
	id   uuid.UUID
	peer metadatav1.MigrationSourceServiceClient

	mu     sync.Mutex
	frozen bool
}

// renew tells the standalone that the migration goes on. first takes the hold.
func (h *hold) renew(ctx context.Context, first bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := call(ctx, func(ctx context.Context) (*metadatav1.HoldResponse, error) {
		return h.peer.Hold(ctx, &metadatav1.HoldRequest{Migration: h.id[:], Lease: lease.Milliseconds(), Freeze: h.frozen, Renew: !first})
	})
	return err
}

// freeze has writes held back.
func (h *hold) freeze(ctx context.Context) error {
	h.mu.Lock()
	h.frozen = true
	h.mu.Unlock()
	return h.renew(ctx, false)
}

// whileHeld does something while the standalone is held for this migration, and gives it up if the hold is lost.
func (m *migration) whileHeld(ctx context.Context, do func(context.Context, *hold) error) error {
	id, err := clock.NewUUID(m.Random)
	if err != nil {
		return errors.Wrap(errors.Internal, err, "drawing an ID")
	}
	h := &hold{id: id, peer: m.peer}
	if err := h.renew(ctx, true); err != nil {
		return err
	}
	held, lost := context.WithCancelCause(ctx)
	var work sync.WaitGroup
	work.Go(func() {
		for clock.Sleep(held, m.Clock, renewal) == nil {
			// What got no answer is asked again: the standalone alone knows how long the hold lasts.
			if err := h.renew(held, false); errors.Is(err, errors.Conflict) {
				lost(err)
			}
		}
	})
	err = do(held, h)
	if cause := context.Cause(held); err != nil && cause != nil && ctx.Err() == nil {
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
