package diagnose

import (
	"context"
	"sync"
	"time"

	"deuxfleurs.fr/garage/pkg/clock"
)

// looking asks a disk something, which may hang. A system call cannot be given up, so that a disk that hangs keeps a goroutine: it is
// the only one, for which later diagnoses wait too.
type looking[T any] struct {
	clock clock.Clock
	look  func() T // touches nothing that others do

	mu   sync.Mutex
	last *attempt[T]
}

// attempt is one look.
type attempt[T any] struct {
	began time.Time
	done  chan struct{} // closed when seen is there
	seen  T
}

// wait returns what is seen, or since when that was waited for when ctx ended.
func (l *looking[T]) wait(ctx context.Context) (seen T, since time.Time, ok bool) {
	a := l.begin()
	select {
	case <-a.done:
		return a.seen, a.began, true
	case <-ctx.Done():
		return seen, a.began, false
	}
}

// begin is the look under way, or a new one.
func (l *looking[T]) begin() *attempt[T] {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last != nil {
		select {
		case <-l.last.done:
		default:
			return l.last
		}
	}
	a := &attempt[T]{began: l.clock.Now(), done: make(chan struct{})}
	l.last = a
	go func() {
		defer close(a.done)
		a.seen = l.look()
	}()
	return a
}
