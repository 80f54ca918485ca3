package pebble

import (
	"context"
	"testing"

	cockroach "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/meta"
)

func TestAStoreOfTheFirstFormatLearnsWhatItsAttemptsBelongTo(t *testing.T) {
	ctx := context.Background()
	c := Config{Dir: "m", FS: vfs.NewMem(), Clock: clock.System{}, Random: clock.SystemRandom}
	s, err := Open(c)
	require.NoError(t, err)
	bucket := uuid.New()
	require.NoError(t, s.CreateBucket(ctx, meta.Bucket{ID: bucket, Name: "b"}))
	var ids []uuid.UUID
	begin := func(key string, multipart bool) meta.UploadRef {
		ref := meta.UploadRef{Bucket: bucket, Key: key, ID: uuid.New()}
		require.NoError(t, s.BeginUpload(ctx, meta.Upload{UploadRef: ref, Multipart: multipart}))
		return ref
	}
	for range 3 { // the last stays, the others are garbage
		ref := begin("k", false)
		_, err = s.PutObject(ctx, meta.Put{Bucket: bucket, Key: "k", Upload: ref.ID, ETag: "e"})
		require.NoError(t, err)
		ids = append(ids, ref.ID)
	}
	ids = append(ids, begin("single", false).ID)
	multi := begin("multi", true)
	for number := 1; number <= 3; number++ {
		attempt := uuid.New()
		require.NoError(t, s.BeginPart(ctx, multi, number, attempt))
		if number != 2 {
			_, err = s.FinishPart(ctx, multi, meta.Part{Number: number, Attempt: attempt, ETag: "e"}, nil)
			require.NoError(t, err)
		}
		ids = append(ids, attempt)
	}
	want, err := s.Attempts(ctx, meta.FindAttempts{IDs: ids})
	require.NoError(t, err)
	for _, a := range want {
		require.NotEqual(t, meta.AttemptUnknown, a.State)
	}
	holders := row(tableHolder)
	require.NoError(t, s.db.DeleteRange(holders, end(holders), cockroach.Sync))
	require.NoError(t, s.db.Set(row(tableStore, []byte("format")), number64(formatWithoutHolders), cockroach.Sync))
	require.NoError(t, s.Close())

	for range 2 {
		s, err = Open(c)
		require.NoError(t, err)
		got, err := s.Attempts(ctx, meta.FindAttempts{IDs: ids})
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.NoError(t, s.Close())
	}
}
