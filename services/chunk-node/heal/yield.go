package heal

import (
	"context"
	"time"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

// longestYield bounds the pause after a chunk while clients read, so that a slow line is not left idle for long.
const longestYield = 300 * time.Millisecond

// turn is taken by the chunk that a task handles while clients read. Each task has its own: none waits for the chunks of another.
type turn chan struct{}

// yield handles a chunk. While clients read, one chunk at a time is handled per task, and a pause of three times as long as that took follows: so a
// task uses the disks and lines of both sides for a quarter of the time, unless a chunk takes longer than a third of longestYield, and no read comes
// upon several chunks of one task at once.
func (e *Engine) yield(ctx context.Context, t turn, handle func() error) error {
	if !e.deps.Busy() {
		return handle()
	}
	select {
	case t <- struct{}{}:
	case <-ctx.Done():
		return errors.Wrap(errors.KindOf(ctx.Err()), ctx.Err(), "waiting to handle a chunk while clients read")
	}
	defer func() { <-t }()
	began := e.deps.Clock.Now()
	if err := handle(); err != nil || !e.deps.Busy() {
		return err
	}
	return clock.Sleep(ctx, e.deps.Clock, min(3*e.deps.Clock.Now().Sub(began), longestYield))
}
