package move

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// skew is by how much the clock of the metadata service that fails is ahead.
const skew = time.Minute

// late is a database that fails one write of objects, and does something about it when nobody expects it any more. As in the
// database that counts, nothing has an effect on what has a later timestamp.
type late struct {
	meta.Store
	failAt int
	kind   errors.Kind
	taken  bool // the write takes effect, and is taken back late; else it takes effect late

	mu      sync.Mutex
	notes   map[uuid.UUID]bool // buckets whose writes do not count
	writes  int
	deleted map[string]clock.Timestamp
	ends    func() // what the database does late
}

func (s *late) CreateBucket(ctx context.Context, b meta.Bucket) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes[b.ID] = strings.HasPrefix(b.Name, ".")
	return s.Store.CreateBucket(ctx, b)
}

// write does a write of keys of a bucket.
func (s *late) write(bucket uuid.UUID, do func() error, ends func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.notes[bucket] {
		return do()
	}
	if s.writes++; s.writes != s.failAt {
		return do()
	}
	if s.taken {
		if err := do(); err != nil {
			return err
		}
	}
	s.ends = ends
	return errors.Newf(s.kind, "the database does not answer")
}

func (s *late) stamp(written clock.Timestamp) clock.Timestamp {
	if written == 0 {
		return clock.TimestampOf(time.Now().Add(skew))
	}
	return written
}

// put has a version come late, or, if it was taken back, go late.
func (s *late) put(bucket uuid.UUID, key string, v *meta.Version, stamp clock.Timestamp) func() {
	return func() {
		ctx := context.Background()
		o, err := s.Store.Object(ctx, bucket, key)
		switch {
		case s.taken && err == nil && o.Version == *v:
			_, _ = s.Store.DeleteObjects(ctx, bucket, []meta.Delete{{Key: key}})
		case !s.taken && s.deleted[key] < stamp && (err != nil || o.Timestamp < stamp):
			_, _ = s.Store.PutObject(ctx, meta.Put{Bucket: bucket, Key: key, Inline: []byte("late"), Size: 4, Written: stamp})
		}
	}
}

func (s *late) PutObject(ctx context.Context, p meta.Put) (v meta.Version, err error) {
	err = s.write(p.Bucket, func() error { v, err = s.Store.PutObject(ctx, p); return err }, s.put(p.Bucket, p.Key, &v, s.stamp(p.Written)))
	return v, err
}

func (s *late) CompleteUpload(ctx context.Context, c meta.Complete) (v meta.Version, err error) {
	err = s.write(c.Bucket, func() error { v, err = s.Store.CompleteUpload(ctx, c); return err }, s.put(c.Bucket, c.Key, &v, s.stamp(c.Written)))
	return v, err
}

func (s *late) DeleteObjects(ctx context.Context, bucket uuid.UUID, deletes []meta.Delete) (r []meta.DeleteResult, err error) {
	stamps := make(map[string]clock.Timestamp)
	for _, d := range deletes {
		if o, err := s.Object(ctx, bucket, d.Key); err == nil {
			stamps[d.Key] = max(o.Timestamp+1, s.stamp(0))
		}
	}
	err = s.write(bucket, func() error {
		r, err = s.Store.DeleteObjects(ctx, bucket, deletes)
		for key, stamp := range stamps {
			s.deleted[key] = stamp
		}
		return err
	}, func() {
		for key, stamp := range stamps {
			if o, err := s.Store.Object(context.Background(), bucket, key); err == nil && o.Timestamp < stamp && !s.taken {
				_, _ = s.Store.DeleteObjects(context.Background(), bucket, []meta.Delete{{Key: key}})
			}
		}
	})
	return r, err
}

func TestAWriteThatTakesEffectOrIsTakenBackAfterTheMigrationChangesNothing(t *testing.T) {
	for _, kind := range []errors.Kind{errors.Canceled, errors.Unavailable} { // the call fails, or it tries again
		for _, taken := range []bool{false, true} {
			for _, then := range []string{"stays", "deleted", "overwritten"} {
				t.Run(fmt.Sprintf("%v, taken back %v, %s", kind, taken, then), func(t *testing.T) {
					t.Parallel() // they wait for tries
					n := 1
					for failsLate(t, n, kind, taken, then) {
						n++
					}
					require.Greater(t, n, 4, "the writes are counted")
				})
			}
		}
	}
}

// failsLate has the write with a number fail, and says whether there was one.
func failsLate(t *testing.T, n int, kind errors.Kind, taken bool, then string) bool {
	s := &late{failAt: n, kind: kind, taken: taken, notes: map[uuid.UUID]bool{}, deleted: map[string]clock.Timestamp{}}
	m := newMigrationInto(t, func(to meta.Store) meta.Store { s.Store = to; return s })
	deleteThere := func(key string) {
		_, err := m.from.meta.DeleteObjects(t.Context(), m.bucket.ID, []meta.Delete{{Key: key}})
		require.NoError(t, err)
	}
	change := func() {
		for _, key := range []string{"inline", "chunks", "parts", "gone"} {
			switch then {
			case "deleted":
				deleteThere(key)
			case "overwritten":
				m.from.put(m.bucket.ID, key, "new "+key)
			}
		}
	}
	m.from.put(m.bucket.ID, "gone", "soon") // it is deleted in the cut-over
	m.atFreeze = func() {
		deleteThere("gone")
		if kind == errors.Unavailable {
			change()
		}
	}
	_, result, err := m.run()
	if err != nil {
		require.Nil(t, m.gate.gate.Moved())
		change()
		_, result, err = m.run()
	}
	require.NoError(t, err)
	require.True(t, result.GetMoved())
	if s.ends == nil {
		return false
	}
	s.ends()
	m.same("write %d", n)
	buckets, err := m.to.meta.ListBuckets(t.Context(), meta.ListBuckets{Limit: 10})
	require.NoError(t, err)
	require.Len(t, buckets.Buckets, 1, "no note is left")
	return true
}
