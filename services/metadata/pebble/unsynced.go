package pebble

import (
	"context"
	"sync/atomic"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
)

// unsynced knows the writes that are applied, so that reads see them, and not durable yet. A read that rests on one waits
// for it: what it answered must still be so after a crash.
type unsynced struct {
	underWay atomic.Int64 // all of them, and those that failed
	// keys has the last write of the keys that share a lock, until it is durable. Writes are applied under that lock, and the log
	// is synced in the order of their application: when the last one is durable, so are those before it.
	keys []atomic.Pointer[syncing]
}

// syncing is a write on its way to the disk.
type syncing struct {
	done chan struct{}
	err  error // valid when done is closed
}

// begin notes a write that changes something before it is applied; the caller holds the locks of the stripes, and calls end.
func (u *unsynced) begin(stripes []int) *syncing {
	u.underWay.Add(1)
	w := &syncing{done: make(chan struct{})}
	for _, i := range stripes {
		u.keys[i].Store(w)
	}
	return w
}

// end notes that a write is durable, or will never be.
func (u *unsynced) end(stripes []int, w *syncing, err error) {
	w.err = err
	close(w.done)
	if err != nil {
		return // whoever saw it fails, until the store is opened again
	}
	u.underWay.Add(-1)
	for _, i := range stripes {
		u.keys[i].CompareAndSwap(w, nil)
	}
}

// settled waits until what a read saw of a key is durable.
func (s *Store) settled(ctx context.Context, bucket uuid.UUID, key string) error {
	if s.unsynced.underWay.Load() == 0 {
		return nil
	}
	w := s.unsynced.keys[s.keys.index(rowOf(tableListed, bucket, key))].Load()
	if w == nil {
		return nil
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		return errors.Wrap(errors.KindOf(ctx.Err()), ctx.Err(), "waiting until what was read is durable")
	}
	if w.err != nil {
		return s.fail(w.err)
	}
	return nil
}

// allSettled waits until all that a read saw is durable.
func (s *Store) allSettled(ctx context.Context) error {
	if s.unsynced.underWay.Load() == 0 {
		return nil
	}
	return s.barrier(ctx)
}
