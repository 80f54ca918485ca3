package pebble

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// What a write saw of another write that is not durable yet must be durable before it answers, also
// when it changed nothing itself: else a power cut takes back what it said.
func TestAnAnswerWaitsForWhatItRestsOn(t *testing.T) {
	ctx := context.Background()
	bucket, upload := uuid.New(), uuid.New()
	ref := meta.UploadRef{Bucket: bucket, Key: "k", ID: upload}
	for name, call := range map[string]func(s *Store) error{
		"listing garbage": func(s *Store) error {
			garbage, _, err := s.ListGarbage(ctx, meta.ListGarbage{Limit: 10})
			if len(garbage) != 1 {
				err = errors.Newf(errors.Internal, "%d entries", len(garbage))
			}
			return err
		},
		"deleting what is deleted": func(s *Store) error {
			_, err := s.DeleteObjects(ctx, bucket, []meta.Delete{{Key: "k"}})
			return err
		},
		"reading what is deleted": func(s *Store) error {
			if _, err := s.Object(ctx, bucket, "k"); !errors.Is(err, errors.NotFound) {
				return errors.Newf(errors.Internal, "%v", err)
			}
			return nil
		},
		"listing what is left": func(s *Store) error {
			page, err := s.List(ctx, meta.List{Bucket: bucket, Limit: 10})
			if len(page.Objects) != 0 {
				err = errors.Newf(errors.Internal, "%d objects", len(page.Objects))
			}
			return err
		},
		"listing uploads": func(s *Store) error {
			_, err := s.ListUploads(ctx, meta.ListUploads{Bucket: bucket, Limit: 10})
			return err
		},
		"a condition that fails": func(s *Store) error {
			_, err := s.PutObject(ctx, meta.Put{Bucket: bucket, Key: "k", Condition: meta.Condition{IfMatch: []string{"*"}}})
			if !errors.Is(err, errors.NotFound) {
				return errors.Newf(errors.Internal, "%v", err)
			}
			return nil
		},
		"aborting what ended": func(s *Store) error {
			if err := s.AbortUpload(ctx, ref); !errors.Is(err, errors.NotFound) {
				return errors.Newf(errors.Internal, "%v", err)
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			var held atomic.Pointer[chan struct{}]
			s, err := Open(config(beforeSync(vfs.NewMem(), func() {
				if wait := held.Load(); wait != nil {
					<-*wait
				}
			}), clock.System{}))
			require.NoError(t, err)
			require.NoError(t, s.CreateBucket(ctx, meta.Bucket{ID: bucket, Name: "b"}))
			require.NoError(t, s.BeginUpload(ctx, meta.Upload{UploadRef: ref}))
			_, err = s.PutObject(ctx, meta.Put{Bucket: bucket, Key: "k", Upload: upload, Size: 1, Chunks: []meta.Chunk{{Length: 1}}})
			require.NoError(t, err)

			release := make(chan struct{})
			held.Store(&release)
			deleted, answered := make(chan error, 1), make(chan error, 1)
			go func() {
				_, err := s.DeleteObjects(ctx, bucket, []meta.Delete{{Key: "k"}})
				deleted <- err
			}()
			require.Eventually(t, func() bool {
				_, err := s.object(bucket, "k")
				return errors.Is(err, errors.NotFound)
			}, 30*time.Second, time.Millisecond, "it is applied")
			go func() { answered <- call(s) }()
			select {
			case err := <-answered:
				t.Errorf("it answered before the deletion was durable: %v", err)
			case <-time.After(50 * time.Millisecond): // a wrong store has answered long before
			}
			held.Store(nil)
			close(release)
			require.NoError(t, <-deleted)
			if !t.Failed() {
				require.NoError(t, <-answered)
			}
			require.NoError(t, s.Close())
		})
	}
}

// Calls that wait for the disk and change nothing would otherwise wait for each other, as long as one follows the other.
func TestAListingWaitsForWritesOnly(t *testing.T) {
	ctx := context.Background()
	bucket := uuid.New()
	var held atomic.Pointer[chan struct{}]
	waiting := make(chan struct{}, 1)
	s, err := Open(config(beforeSync(vfs.NewMem(), func() {
		if wait := held.Load(); wait != nil {
			select {
			case waiting <- struct{}{}:
			default:
			}
			<-*wait
		}
	}), clock.System{}))
	require.NoError(t, err)
	require.NoError(t, s.CreateBucket(ctx, meta.Bucket{ID: bucket, Name: "b"}))
	release := make(chan struct{})
	held.Store(&release)
	settled, listed := make(chan error, 1), make(chan error, 1)
	go func() { settled <- s.barrier(ctx) }()
	<-waiting
	go func() {
		_, err := s.List(ctx, meta.List{Bucket: bucket, Limit: 10})
		listed <- err
	}()
	select {
	case err := <-listed:
		require.NoError(t, err)
	case <-time.After(30 * time.Second):
		t.Error("a listing waits though nothing is written")
	}
	held.Store(nil)
	close(release)
	require.NoError(t, <-settled)
	require.NoError(t, s.Close())
}
