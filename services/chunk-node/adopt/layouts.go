package adopt

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"strconv"
	"sync"

	"deuxfleurs.fr/garage/pkg/datafolder"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
)

// Layouts are those that the node has adopted, and the requests under way with each. It is safe for concurrent use.
type Layouts struct {
	path string

	adopting sync.Mutex // held while a newer one is written

	mu      sync.Mutex
	current *layout.Active // nil: none yet
	number  uint64         // of current; 0: none yet
	changed chan struct{}
	under   map[uint64]int // requests under way, by the number that the node had adopted when it let them in
	ended   chan struct{}  // closed when the last one of a number has ended
}

// Open reads what was adopted before, from a file of the data folder; that there is none is no error. Kinds: Corrupted, Internal.
func Open(path string) (*Layouts, error) {
	l := &Layouts{path: path, changed: make(chan struct{}), under: make(map[uint64]int), ended: make(chan struct{})}
	content, err := os.ReadFile(path)
	switch {
	case errors.IsTarget(err, fs.ErrNotExist):
		return l, nil
	case err != nil:
		return nil, errors.Wrap(errors.Internal, err, "reading the layouts that the node has adopted")
	}
	current, err := layout.ParseActive(content)
	if err != nil {
		return nil, errors.Annotate(err, "the layouts that the node has adopted: remove %s, and the node adopts what others tell it", path)
	}
	l.current, l.number = current, current.Number()
	return l, nil
}

// Current are the layouts that the node has adopted last; nil before the first.
func (l *Layouts) Current() *layout.Active {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current
}

// Changed is closed when others are adopted.
func (l *Layouts) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// Adopt makes layouts those of the node, if they are newer than its own: when it returns nil, these or newer ones are
// on disk. Kinds: Conflict if other layouts have the same number; Internal if they cannot be written.
func (l *Layouts) Adopt(a *layout.Active) error {
	l.adopting.Lock()
	defer l.adopting.Unlock()
	current := l.Current()
	if !a.Newer(current) {
		return same(a, current)
	}
	content, err := a.MarshalBinary()
	if err != nil {
		return errors.Wrap(errors.Internal, err, "encoding layout %d", a.Number())
	}
	if err := datafolder.WriteFile(l.path, content, 0o600); err != nil {
		return errors.Wrap(errors.Internal, err, "keeping layout %d, which is to be adopted", a.Number())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current, l.number = a, a.Number()
	close(l.changed)
	l.changed = make(chan struct{})
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
func (l *Layouts) Enter(number uint64) (adopted uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if number != 0 && number != l.number {
		return 0, layout.Differs(l.number)
	}
	l.under[l.number]++
	return l.number, nil
}

// Leave says that a request which was let in has ended.
func (l *Layouts) Leave(adopted uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.under[adopted]--; l.under[adopted] > 0 {
		return
	}
	delete(l.under, adopted)
	if adopted != l.number { // nobody waits for those that come now
		close(l.ended)
		l.ended = make(chan struct{})
	}
}

// Compare fails with layout.Differs if a request of that number would not be let in.
func (l *Layouts) Compare(number uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if number != 0 && number != l.number {
		return layout.Differs(l.number)
	}
	return nil
}

// Settled returns once the node has adopted layout number, or a newer one, and no request is under way that was let in
// before that. Kinds: Canceled, Deadline.
func (l *Layouts) Settled(ctx context.Context, number uint64) error {
	for {
		wait := l.unsettled(number)
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
func (l *Layouts) unsettled(number uint64) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.number < number {
		return l.changed
	}
	for n := range l.under {
		if n < number {
			return l.ended
		}
	}
	return nil
}
