package pebble

import (
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// Without syncs a power cut may take the last writes back, but not the chunks of what was there before them.
func TestGarbageIsDurableAlsoWithoutSyncs(t *testing.T) {
	fs := vfs.NewCrashableMem()
	c := config(fs, clock.System{})
	c.NoSync = true
	s, err := Open(c)
	require.NoError(t, err)
	bucket, upload := uuid.New(), uuid.New()
	require.NoError(t, s.CreateBucket(t.Context(), meta.Bucket{ID: bucket, Name: "b"}))
	require.NoError(t, s.BeginUpload(t.Context(), meta.Upload{UploadRef: meta.UploadRef{Bucket: bucket, Key: "k", ID: upload}}))
	_, err = s.PutObject(t.Context(), meta.Put{Bucket: bucket, Key: "k", Upload: upload, Size: 1, Chunks: []meta.Chunk{{Length: 1}}})
	require.NoError(t, err)
	require.NoError(t, s.barrier(t.Context()))
	_, err = s.DeleteObjects(t.Context(), bucket, []meta.Delete{{Key: "k"}})
	require.NoError(t, err)
	garbage, _, err := s.ListGarbage(t.Context(), meta.ListGarbage{Limit: 10})
	require.NoError(t, err)
	require.Len(t, garbage, 1)

	c.FS = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0, RNG: rand.New(rand.NewPCG(1, 2))})
	require.NoError(t, s.Close())
	after, err := Open(c)
	require.NoError(t, err)
	_, err = after.Object(t.Context(), bucket, "k")
	require.True(t, errors.IsEntity(err, errors.NotFound, errors.Object), "%v", err)
	garbage, _, err = after.ListGarbage(t.Context(), meta.ListGarbage{Limit: 10})
	require.NoError(t, err)
	require.Len(t, garbage, 1)
	require.NoError(t, after.Close())
}
