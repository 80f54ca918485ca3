package pebble

import (
	"context"
	"sync"

	"deuxfleurs.fr/garage/pkg/errors"
)

// gate counts the calls under way, so that the database is closed behind the last one.
type gate struct {
	mu     sync.Mutex
	calls  int
	closed bool
	idle   chan struct{} // closed when the gate is closed and no call is under way
}

// enter begins a call. Kinds: Unavailable when the store is closed.
func (g *gate) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return errors.Newf(errors.Unavailable, "the metadata is closed: the program is stopping")
	}
	g.calls++
	return nil
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.calls--; g.calls == 0 && g.closed {
		close(g.idle)
	}
}

// close lets no more calls in and waits for those under way; it reports whether it was the first to do so.
func (g *gate) close() bool {
	g.mu.Lock()
	first := !g.closed
	if g.closed = true; first && g.calls == 0 {
		close(g.idle)
	}
	g.mu.Unlock()
	<-g.idle
	return first
}
