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

func closed() error {
	return errors.Newf(errors.Unavailable, "the metadata is closed: the program is stopping")
}

// enter begins a call. Kinds: Unavailable when the store is closed.
func (g *gate) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return closed()
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

// close lets no more calls in, closes stop and waits for those under way; it reports whether it was the first to do so.
func (g *gate) close(stop chan struct{}) bool {
	g.mu.Lock()
	first := !g.closed
	g.closed = true
	if first {
		close(stop)
	}
	if first && g.calls == 0 {
		close(g.idle)
	}
	g.mu.Unlock()
	<-g.idle
	return first
}
