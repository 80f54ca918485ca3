package disk

import (
	"context"
	"sync"
	"time"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

// parallel is how many ops a walk keeps waiting at a writer, so that they share syncs.
const parallel = 64

// walk submits ops from one goroutine's point of view, several at a time.
type walk struct {
	v     *volume
	ctx   context.Context
	slots chan struct{}
	wait  sync.WaitGroup

	mu  sync.Mutex
	err error
}

func (v *volume) walk(ctx context.Context) *walk {
	return &walk{v: v, ctx: ctx, slots: make(chan struct{}, parallel)}
}

func (w *walk) submit(o *op) {
	w.slots <- struct{}{}
	w.wait.Add(1)
	go func() {
		defer func() { <-w.slots; w.wait.Done() }()
		if err := w.v.submit(w.ctx, o); err != nil {
			w.mu.Lock()
			w.err = err
			w.mu.Unlock()
		}
	}()
}

// stop reports whether the walk is to end early.
func (w *walk) stop() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = w.ctx.Err()
	}
	return w.err != nil
}

// finish waits for what was submitted and returns the first problem, or err.
func (w *walk) finish(err error) error {
	w.wait.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		err = w.err
	}
	return err
}

// each calls visit with every key and value of a prefix until it returns false.
func (v *volume) each(prefix []byte, visit func(key, value []byte) bool) error {
	return each(v.db, bounds(prefix), visit)
}

// Collect removes the chunks that have had no reference for the grace period.
// It returns how many were looked at.
func (s *Store) Collect(ctx context.Context) (int, error) {
	return s.onEach(func(v *volume) (int, error) { return v.collect(ctx) })
}

func (s *Store) onEach(do func(*volume) (int, error)) (total int, err error) {
	if err := s.begin(); err != nil {
		return 0, err
	}
	defer s.leave()
	var errs []error
	for _, v := range s.volumes {
		n, err := do(v)
		total += n
		errs = append(errs, errors.Annotate(err, "on the disk %s", v.disk.Path))
	}
	return total, errors.Join(errs...)
}

// onWorking is onEach without the disks that are out of use: nothing can be struck off their queues.
func (s *Store) onWorking(do func(*volume) (int, error)) error {
	_, err := s.onEach(func(v *volume) (int, error) {
		if v.failed() != nil {
			return 0, nil
		}
		return do(v)
	})
	return err
}

func (v *volume) collect(ctx context.Context) (n int, err error) {
	if err := v.failed(); err != nil {
		return 0, err
	}
	w, now := v.walk(ctx), v.o.Clock.Now()
	err = v.each([]byte{keyPending}, func(key, _ []byte) bool {
		since, h := parseTimeKey(key)
		if now.Before(v.o.Rules.Collectable(state.Chunk{Unreferenced: since})) || w.stop() {
			return false
		}
		n++
		w.submit(&op{kind: opCollect, hash: h, since: since})
		return true
	})
	return n, w.finish(err)
}

// Expire forgets tombstones older than the rules say. It returns how many
// tombstones there were.
func (s *Store) Expire(ctx context.Context) (int, error) {
	return s.onEach(func(v *volume) (int, error) { return v.expire(ctx) })
}

// expired reports whether a tombstone with this value may be forgotten: not that of a reference in the trash, or a malformed one.
func (v *volume) expired(value []byte, now time.Time) bool {
	return len(value) == 8 && v.o.Rules.Expired(parseTime(value), now)
}

func (v *volume) expire(ctx context.Context) (n int, err error) {
	if err := v.failed(); err != nil {
		return 0, err
	}
	w, now := v.walk(ctx), v.o.Clock.Now()
	err = v.each([]byte{keyTombstone}, func(key, value []byte) bool {
		n++
		if v.expired(value, now) {
			w.submit(&op{kind: opExpire, hash: chunk.Hash(key[1:]), ref: parseRef(key[1+chunk.HashSize:])})
		}
		return !w.stop()
	})
	return n, w.finish(err)
}

// Unclean reports whether a disk was not closed in order the last time, and
// has not been checked since.
func (s *Store) Unclean() bool {
	for _, v := range s.volumes {
		if v.unclean.Load() {
			return true
		}
	}
	return false
}

// Check compares files and index of the disks that were not closed in order:
// files without entry are adopted, to be collected unless a reference comes,
// or removed if they are not whole; entries without file are noted as lost.
// The store can be used meanwhile. It returns how many files and entries it saw.
func (s *Store) Check(ctx context.Context) (int, error) {
	return s.onEach(func(v *volume) (int, error) {
		if !v.unclean.Load() {
			return 0, nil
		}
		n, err := v.check(ctx)
		if err == nil {
			v.unclean.Store(false)
		}
		return n, err
	})
}

func (v *volume) check(ctx context.Context) (n int, err error) {
	if err := v.failed(); err != nil {
		return 0, err
	}
	w := v.walk(ctx)
	for p := range chunk.Partition(chunk.Partitions) {
		if v.folders[p/64].Load()&(1<<(p%64)) == 0 {
			continue
		}
		if err = v.checkFiles(w, p, &n); err != nil || w.stop() {
			return n, w.finish(err)
		}
	}
	err = v.each([]byte{keyEntry}, func(key, value []byte) bool {
		n++
		h := chunk.Hash(key[1:])
		c, e := parseEntry(value)
		if e == nil && c.Place == state.InFile {
			if ok, e := v.intact(h, c.Copy); e != nil || !ok {
				w.submit(&op{kind: opSuspect, hash: h})
			}
		}
		return !w.stop()
	})
	return n, w.finish(err)
}

// checkFiles hands the files that no entry describes to their writers.
func (v *volume) checkFiles(w *walk, p chunk.Partition, n *int) error {
	names, err := v.fs.List(v.partitionPath(p))
	if err != nil {
		return err
	}
	for _, name := range names {
		h, compressed, ok := parseBlobName(p, name)
		if !ok {
			v.log.Warn("a file that is not Garage's lies among the chunks", "partition", p, "name", name)
			continue
		}
		*n++
		c, err := entryOf(v.db, h)
		if err != nil {
			return err
		}
		if c.Place != state.InFile || c.Compressed != compressed {
			w.submit(&op{kind: opFound, hash: h, compressed: compressed})
		}
	}
	return nil
}
