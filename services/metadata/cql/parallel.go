package cql

import (
	"context"
	"hash/maphash"
	"sync"

	"deuxfleurs.fr/garage/pkg/errors"
)

// wide bounds the statements that one call runs at the same time.
const wide = 32

// together runs the functions at the same time, as one wait, and returns the first of their errors; an
// error does not stop the others, so that what is in doubt afterwards is as little as can be.
func together(fs ...func() error) error {
	errs := make([]error, len(fs))
	var work sync.WaitGroup
	for i, f := range fs[1:] {
		work.Go(func() { errs[i+1] = f() })
	}
	errs[0] = fs[0]()
	work.Wait()
	return first(errs)
}

// first is the first error that says what is wrong: one that is not the end of a context before one that is.
func first(errs []error) error {
	var found error
	for _, err := range errs {
		if found == nil || err != nil && errors.Is(found, errors.Canceled) {
			found = err
		}
	}
	return found
}

// inParallel calls f for 0 to n−1, at most width at a time. After an error no more are begun.
func inParallel(ctx context.Context, n, width int, f func(ctx context.Context, i int) error) error {
	if n == 1 {
		return f(ctx, 0)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, n)
	slots := make(chan struct{}, min(n, width)+1)
	var work sync.WaitGroup
	for i := range n {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if err := ctx.Err(); err != nil {
			errs[i] = errors.Wrap(errors.KindOf(err), err, "waiting for the metadata database")
			break
		}
		work.Go(func() {
			defer func() { <-slots }()
			if errs[i] = f(ctx, i); errs[i] != nil {
				cancel()
			}
		})
	}
	work.Wait()
	return first(errs)
}

// stripes are locks of which each key has one, that can be waited for until a context ends.
type stripes struct {
	seed  maphash.Seed
	locks []chan struct{}
}

func newStripes(n int) *stripes {
	s := &stripes{seed: maphash.MakeSeed(), locks: make([]chan struct{}, n)}
	for i := range s.locks {
		s.locks[i] = make(chan struct{}, 1)
	}
	return s
}

// lock takes the lock of a key; the function gives it back.
func (s *stripes) lock(ctx context.Context, key []byte) (func(), error) {
	l := s.locks[maphash.Bytes(s.seed, key)%uint64(len(s.locks))]
	select {
	case l <- struct{}{}:
		return func() { <-l }, nil
	case <-ctx.Done():
		return nil, errors.Wrap(errors.KindOf(ctx.Err()), ctx.Err(), "waiting for another writer of the key")
	}
}
