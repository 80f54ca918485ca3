package pebble

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// What is listed has its references deleted for good, so nothing is while it is not known to be durable.
func TestGarbageThatMayNotBeDurableIsNotListed(t *testing.T) {
	s, err := Open(config(vfs.NewMem(), clock.System{}))
	require.NoError(t, err)
	bucket, upload := uuid.New(), uuid.New()
	require.NoError(t, s.CreateBucket(t.Context(), meta.Bucket{ID: bucket, Name: "b"}))
	ref := meta.UploadRef{Bucket: bucket, Key: "k", ID: upload}
	require.NoError(t, s.BeginUpload(t.Context(), meta.Upload{UploadRef: ref}))
	require.NoError(t, s.AbortUpload(t.Context(), ref))

	_ = s.fail(errors.New("a sync failed"))
	garbage, next, err := s.ListGarbage(t.Context(), meta.ListGarbage{Limit: 10})
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
	require.Empty(t, garbage)
	require.Empty(t, next)
	require.NoError(t, s.Close())
}

// A write that failed to become durable may have been seen already: it is not shown any more, nor is a listing that may have it.
func TestWhatCouldNotBeSyncedIsNotShown(t *testing.T) {
	s, err := Open(config(vfs.NewMem(), clock.System{}))
	require.NoError(t, err)
	bucket := uuid.New()
	require.NoError(t, s.CreateBucket(t.Context(), meta.Bucket{ID: bucket, Name: "b"}))
	_, err = s.PutObject(t.Context(), meta.Put{Bucket: bucket, Key: "k"})
	require.NoError(t, err)

	stripes := []int{s.keys.index(rowOf(tableListed, bucket, "k"))}
	failed := errors.New("a sync failed")
	s.unsynced.end(stripes, s.unsynced.begin(stripes), failed)
	_ = s.fail(failed)
	_, err = s.Object(t.Context(), bucket, "k")
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
	_, err = s.List(t.Context(), meta.List{Bucket: bucket, Limit: 10})
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
	require.NoError(t, s.Close())
}
