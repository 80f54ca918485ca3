//go:build stack

package cql

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/gocql/gocql"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
)

// lostAnswer is what a node says that does not know what became of a transaction.
type lostAnswer struct{}

func (lostAnswer) Code() int       { return gocql.ErrCodeWriteTimeout }
func (lostAnswer) Message() string { return "received only 1 responses" }
func (lostAnswer) Error() string   { return "received only 1 responses" }

// loser loses the answer to one of the transactions that run from now on.
type loser struct {
	mu  sync.Mutex
	nth int // of those that come; -1: none
	ran []string
}

func (l *loser) lost(cql string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ran = append(l.ran, cql)
	if len(l.ran)-1 == l.nth {
		return lostAnswer{}
	}
	return nil
}

// A transaction that ran and whose answer was lost is run again, and finds its own work: that is a success.
func TestAnOperationKnowsItsOwnWorkWhenAnAnswerIsLost(t *testing.T) {
	alone(t)
	f := twoServices(t)
	l := &loser{nth: -1}
	f.a.config.lost = l.lost
	there := func(key string, want bool) {
		_, err := f.b.Object(f.ctx, f.bucket, key)
		require.Equal(t, want, err == nil, "%v", err)
	}
	onlyIfNew := meta.Condition{IfNoneMatch: []string{"*"}}
	for name, operation := range map[string]func(key string) (do func() error, check func()){
		"making a bucket": func(key string) (func() error, func()) {
			b := meta.Bucket{ID: uuid.New(), Name: key, Owner: "key:GK"}
			return func() error { return f.a.CreateBucket(f.ctx, b) }, func() {
				found, err := f.b.Bucket(f.ctx, key)
				require.NoError(t, err)
				require.Equal(t, b.ID, found.ID)
			}
		},
		"deleting a bucket": func(key string) (func() error, func()) {
			b := meta.Bucket{ID: uuid.New(), Name: key, Owner: "key:GK"}
			require.NoError(t, f.b.CreateBucket(f.ctx, b))
			return func() error { return f.a.DeleteBucket(f.ctx, b.ID) }, func() {
				_, err := f.b.Bucket(f.ctx, key)
				require.True(t, errors.Is(err, errors.NotFound), "%v", err)
			}
		},
		"aborting parts": func(key string) (func() error, func()) {
			r := f.begin(key, true)
			return func() error { return f.a.AbortUpload(f.ctx, r) }, func() { there(key, false) }
		},
		"aborting": func(key string) (func() error, func()) {
			r := f.begin(key, false)
			return func() error { return f.a.AbortUpload(f.ctx, r) }, func() { there(key, false) }
		},
		"completing": func(key string) (func() error, func()) {
			r := f.begin(key, true)
			p := f.part(f.b, r, 1)
			return func() error {
				_, err := f.a.CompleteUpload(f.ctx, meta.Complete{UploadRef: r, Parts: []meta.Part{p}})
				return err
			}, func() { there(key, true) }
		},
		"completing if new": func(key string) (func() error, func()) {
			r := f.begin(key, true)
			p := f.part(f.b, r, 1)
			return func() error {
				_, err := f.a.CompleteUpload(f.ctx, meta.Complete{UploadRef: r, Parts: []meta.Part{p}, Condition: onlyIfNew})
				return err
			}, func() { there(key, true) }
		},
		"storing if new": func(key string) (func() error, func()) {
			r := f.begin(key, false)
			return func() error {
				_, err := f.a.PutObject(f.ctx, meta.Put{Bucket: r.Bucket, Key: r.Key, Upload: r.ID, Size: 10, ETag: "e", First: chunksOf(1)[0], Chunks: chunksOf(1), Condition: onlyIfNew})
				return err
			}, func() { there(key, true) }
		},
		"making a key": func(key string) (func() error, func()) {
			k := meta.Key{AccessKey: key, Secret: "secret of " + key}
			return func() error { return f.a.CreateKey(f.ctx, k) }, func() {
				_, err := f.b.Key(f.ctx, key)
				require.NoError(t, err)
			}
		},
		"deleting a key": func(key string) (func() error, func()) {
			require.NoError(t, f.b.CreateKey(f.ctx, meta.Key{AccessKey: key, Secret: "s"}))
			return func() error { return f.a.DeleteKey(f.ctx, key) }, func() {
				_, err := f.b.Key(f.ctx, key)
				require.True(t, errors.Is(err, errors.NotFound), "%v", err)
			}
		},
		"granting": func(key string) (func() error, func()) {
			b := meta.Bucket{ID: uuid.New(), Name: key, Owner: "key:GK"}
			require.NoError(t, f.b.CreateBucket(f.ctx, b))
			g := meta.Grant{Grantee: "person:" + key, Rights: identity.Read}
			return func() error { return f.a.SetGrant(f.ctx, b.ID, g) }, func() {
				found, err := f.b.Bucket(f.ctx, key)
				require.NoError(t, err)
				require.True(t, slices.Contains(found.Grants, g))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for nth := 0; ; nth++ {
				do, check := operation(fmt.Sprintf("%x-%d", name, nth))
				l.mu.Lock()
				l.nth, l.ran = nth, nil
				l.mu.Unlock()
				err := do()
				l.mu.Lock()
				ran := slices.Clone(l.ran)
				l.nth = -1
				l.mu.Unlock()
				if len(ran) <= nth {
					require.NoError(t, err)
					require.Positive(t, nth, "there was no transaction")
					return
				}
				require.NoError(t, err, "the answer to %s was lost", ran[nth])
				check()
			}
		})
	}
}
