package pebble

import (
	"context"

	cockroach "github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// txn is one write: what it reads, it reads under locks; what it writes, becomes
// visible and durable together.
type txn struct {
	s      *Store
	batch  *cockroach.Batch
	bucket *bucket    // whose usage changes, or nil
	usage  meta.Usage // the difference
	keys   []int      // the locks of keys that it holds until it is applied
	unlock []func()
	made   bool  // garbage
	err    error // of the batch; the first
}

// begin starts a write, if there is room for it. The caller ends it with commit, or abandon.
func (s *Store) begin(ctx context.Context, e effect) (*txn, error) {
	if err := s.Problem(); err != nil {
		return nil, err
	}
	if err := s.gate.enter(ctx); err != nil {
		return nil, err
	}
	if err := s.admit(ctx, e); err != nil {
		s.gate.leave()
		return nil, err
	}
	return &txn{s: s, batch: s.db.NewBatch()}, nil
}

// hold takes a lock until the batch is applied.
func (t *txn) hold(unlock func()) { t.unlock = append(t.unlock, unlock) }

func (t *txn) release() {
	for i := len(t.unlock) - 1; i >= 0; i-- {
		t.unlock[i]()
	}
	t.unlock = nil
}

// enter takes the bucket's lock, shared; it reports whether the bucket exists.
func (t *txn) enter(id uuid.UUID) bool {
	b := t.s.find(id)
	if b == nil {
		return false
	}
	b.RLock()
	t.hold(b.RUnlock)
	t.bucket = b
	return !b.deleted
}

// lock takes the locks of keys, by their rows in tableListed.
func (t *txn) lock(rows ...[]byte) {
	held, unlock := t.s.keys.lockAll(rows)
	t.keys = held
	t.hold(unlock)
}

func (t *txn) note(err error) {
	if t.err == nil {
		t.err = err
	}
}

func (t *txn) set(key, value []byte)       { t.note(t.batch.Set(key, value, nil)) }
func (t *txn) delete(key []byte)           { t.note(t.batch.Delete(key, nil)) }
func (t *txn) deleteRange(from, to []byte) { t.note(t.batch.DeleteRange(from, to, nil)) }

// put writes a record.
func (t *txn) put(key []byte, m proto.Message) {
	size := proto.Size(m)
	op := t.batch.SetDeferred(len(key), size)
	copy(op.Key, key)
	value, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(op.Value[:0], m)
	if err == nil && len(value) != size {
		err = errors.Newf(errors.Internal, "a record has %d bytes and was said to have %d", len(value), size)
	}
	t.note(err)
	t.note(op.Finish())
}

// decided ends a write that changes nothing and answers err. What it saw may not be durable
// yet, so it waits for a sync first.
func (t *txn) decided(err error) error {
	t.batch.Reset()
	t.bucket, t.usage, t.made = nil, meta.Usage{}, false
	if failure := t.commit(); failure != nil {
		return failure
	}
	return err
}

// abandon ends a write that failed.
func (t *txn) abandon(err error) error {
	defer t.s.gate.leave()
	t.release()
	return errors.Join(err, t.batch.Close())
}

// commit applies the batch, gives the locks back and waits until it, and
// everything that was applied before, is durable.
func (t *txn) commit() error {
	if t.usage != (meta.Usage{}) {
		id := t.bucket.record.Load().ID
		t.note(t.batch.Merge(row(tableUsage, id[:]), appendUsage(nil, t.usage), nil))
	}
	if t.batch.Empty() {
		t.note(t.batch.LogData(nil, nil))
	}
	if t.err != nil {
		return t.abandon(errors.Wrap(errors.Internal, t.err, "writing metadata"))
	}
	defer t.s.gate.leave()
	t.s.room.writing(t.batch)
	var err error
	if t.s.sync.Sync {
		var w *syncing
		if t.batch.Count() > 0 { // what only waits for others must not be waited for
			w = t.s.unsynced.begin(t.keys)
		}
		err = t.s.db.ApplyNoSyncWait(t.batch, t.s.sync)
		t.applied(err)
		if err == nil {
			err = t.batch.SyncWait()
		}
		if w != nil {
			t.s.unsynced.end(t.keys, w, err)
		}
	} else {
		err = t.s.db.Apply(t.batch, t.s.sync)
		t.applied(err)
	}
	if err != nil {
		return t.s.fail(err)
	}
	if t.made {
		t.s.garbage()
	}
	return t.batch.Close()
}

// applied counts what the batch changed and lets the next writers in.
func (t *txn) applied(err error) {
	if err == nil && t.bucket != nil {
		t.bucket.usage.add(t.usage)
	}
	t.release()
}

// barrier waits until everything that was applied is durable, also where writes do not.
func (s *Store) barrier(ctx context.Context) error {
	t, err := s.begin(ctx, frees)
	if err != nil {
		return err
	}
	if !s.sync.Sync {
		if err := s.db.LogData(nil, cockroach.Sync); err != nil {
			return t.abandon(s.fail(err))
		}
	}
	return t.commit()
}

// get reads a row; nil if there is none.
func (s *Store) get(key []byte) ([]byte, error) {
	value, closer, err := s.db.Get(key)
	if errors.IsTarget(err, cockroach.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, errors.Wrap(errors.Internal, err, "reading metadata")
	}
	value = append(make([]byte, 0, len(value)), value...)
	return value, closer.Close()
}

// read reads a record and reports whether it is there.
func (s *Store) read(key []byte, m proto.Message) (bool, error) {
	value, closer, err := s.db.Get(key)
	if errors.IsTarget(err, cockroach.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, errors.Wrap(errors.Internal, err, "reading metadata")
	}
	defer closer.Close()
	return true, unmarshal(value, m)
}

// has reports whether a row is there.
func (s *Store) has(key []byte) (bool, error) {
	_, closer, err := s.db.Get(key)
	if errors.IsTarget(err, cockroach.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, errors.Wrap(errors.Internal, err, "reading metadata")
	}
	return true, closer.Close()
}

func unmarshal(value []byte, m proto.Message) error {
	return errors.Wrap(errors.Corrupted, proto.Unmarshal(value, m), "a record of the metadata is damaged")
}

// scan calls f for each row that begins with prefix, from the key from on (nil:
// the first), until it returns false. Key and value are valid during the call.
func (s *Store) scan(prefix, from []byte, f func(key, value []byte) (bool, error)) error {
	it, err := s.db.NewIter(&cockroach.IterOptions{LowerBound: prefix, UpperBound: end(prefix)})
	if err != nil {
		return errors.Wrap(errors.Internal, err, "reading metadata")
	}
	var problem error
	if from == nil {
		from = prefix
	}
	for it.SeekGE(from); it.Valid() && problem == nil; it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			problem = err
			break
		}
		more, err := f(it.Key(), value)
		if problem = err; !more {
			break
		}
	}
	if err := it.Close(); err != nil && problem == nil {
		problem = errors.Wrap(errors.Internal, err, "reading metadata")
	}
	return problem
}
