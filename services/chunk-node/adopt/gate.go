package adopt

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"sync/atomic"

	"deuxfleurs.fr/garage/pkg/datafolder"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
)

// Gate keeps the layouts that the node has adopted, and the requests under way with each. It is safe for concurrent use.
type Gate struct {
	path string

	adopting sync.Mutex // held while a newer one is written

	current atomic.Pointer[layout.Active] // nil: none yet; changes with mu held

	mu      sync.Mutex
	number  uint64 // of current; 0: none yet
	changed chan struct{}
	under   map[uint64]int // requests under way, by the number that the node had adopted when it let them in
	ended   chan struct{}  // closed when the last one of a number has ended
}

// Open reads what was adopted before, from a file of the data folder; that there is none is no error. Kinds: Corrupted, Internal.
func Open(path string) (*Gate, error) {
	g := &Gate{path: path, changed: make(chan struct{}), under: make(map[uint64]int), ended: make(chan struct{})}
	content, err := os.ReadFile(path)
	switch {
	case errors.IsTarget(err, fs.ErrNotExist):
		return g, nil
	case err != nil:
		return nil, errors.Wrap(errors.Internal, err, "reading the layouts that the node has adopted")
	}
	current, err := layout.ParseActive(content)
	if err != nil {
		return nil, errors.Annotate(err, "the layouts that the node has adopted: remove %s, and the node adopts what others tell it", path)
	}
	g.current.Store(current)
	g.number = current.Number()
	return g, nil
}

// Current are the layouts that the node has adopted last; nil before the first. It takes no lock.
func (g *Gate) Current() *layout.Active { return g.current.Load() }

// Changed is closed when others are adopted.
func (g *Gate) Changed() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changed
}

// Adopt makes layouts those of the node, if they are newer than its own: when it returns nil, these or newer ones are
// on disk. Kinds: Conflict if other layouts have the same number; Internal if they cannot be written.
func (g *Gate) Adopt(a *layout.Active) error {
	g.adopting.Lock()
	defer g.adopting.Unlock()
	current := g.Current()
	if !a.Newer(current) {
		return same(a, current)
	}
	content, err := a.MarshalBinary()
	if err != nil {
		return errors.Wrap(errors.Internal, err, "encoding layout %d", a.Number())
	}
	if err := datafolder.WriteFile(g.path, content, 0o600); err != nil {
		return errors.Wrap(errors.Internal, err, "keeping layout %d, which is to be adopted", a.Number())
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.current.Store(a)
	g.number = a.Number()
	close(g.changed)
	g.changed = make(chan struct{})
	return nil
}

// same fails if layouts with the same numbers are not the same: then the two sides would look for chunks in different places.
func same(a, current *layout.Active) error {
	if a == current || a.Number() != current.Number() {
		return nil
	}
	one, err := a.Current().MarshalBinary()
	if err != nil {
		return err
	}
	other, err := current.Current().MarshalBinary()
	if err != nil || bytes.Equal(one, other) {
		return err
	}
	return errors.E(errors.Conflict, errors.Layout, strconv.FormatUint(a.Number(), 10),
		"the node has adopted another layout with this number: give the one that is to be in force a higher number")
}

// Enter lets a request in that was computed with the layout of that number, or without any if it is 0; Leave with what it
// returns must follow. It fails with layout.Differs.
func (g *Gate) Enter(number uint64) (adopted uint64, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if number != 0 && number != g.number {
		return 0, layout.Differs(g.number)
	}
	g.under[g.number]++
	return g.number, nil
}

// Leave says that a request which was let in has ended.
func (g *Gate) Leave(adopted uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.under[adopted]--; g.under[adopted] > 0 {
		return
	}
	delete(g.under, adopted)
	if adopted != g.number { // nobody waits for those that come now
		close(g.ended)
		g.ended = make(chan struct{})
	}
}

// Compare fails with layout.Differs if a request of that number would not be let in.
func (g *Gate) Compare(number uint64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if number != 0 && number != g.number {
		return layout.Differs(g.number)
	}
	return nil
}

// Settled returns once the node has adopted layout number, or a newer one, and no request is under way that was let in
// before that. Kinds: Canceled, Deadline.
func (g *Gate) Settled(ctx context.Context, number uint64) error {
	for {
		wait := g.unsettled(number)
		if wait == nil {
			return nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return errors.Wrap(errors.KindOf(ctx.Err()), ctx.Err(), "waiting for the requests of layouts before %d", number)
		}
	}
}

// unsettled is what to wait for before looking again, or nil.
func (g *Gate) unsettled(number uint64) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.number < number {
		return g.changed
	}
	for n := range g.under {
		if n < number {
			return g.ended
		}
	}
	return nil
}
