package pebble

import (
	"context"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/metatest"
)

func TestEverythingIsThereWhenItIsOpenedAgain(t *testing.T) {
	ctx := context.Background()
	c := clock.NewManual(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	cfg := config(nil, c)
	cfg.Dir = t.TempDir() // on a real file system once
	s, err := Open(cfg)
	require.NoError(t, err)
	random, subject := metatest.NewRandom(11, c), metatest.NewSubject(s)
	for range 800 {
		_, err := random.Next().Run(ctx, subject)
		require.NoError(t, err)
	}
	want, err := metatest.Dump(ctx, s)
	require.NoError(t, err)
	info, err := s.Info(ctx)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close(), "twice is no error")
	_, err = s.Object(ctx, uuid.New(), "k")
	require.True(t, errors.Is(err, errors.Unavailable))
	_, err = s.PutObject(ctx, meta.Put{Key: "k"})
	require.True(t, errors.Is(err, errors.Unavailable))

	s, err = Open(cfg)
	require.NoError(t, err)
	got, err := metatest.Dump(ctx, s)
	require.NoError(t, err)
	require.Equal(t, want, got)
	again, err := s.Info(ctx)
	require.NoError(t, err)
	require.Equal(t, info, again)
	require.NoError(t, s.Close())
}

func TestAWriteWinsAfterARestartWithAClockThatIsBehind(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	c := clock.NewManual(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	bucket := uuid.New()
	var last meta.Version
	for restart := range 3 {
		s, err := Open(config(fs, c))
		require.NoError(t, err)
		if restart == 0 {
			require.NoError(t, s.CreateBucket(ctx, meta.Bucket{ID: bucket, Name: "b"}))
		}
		v, err := s.PutObject(ctx, meta.Put{Bucket: bucket, Key: "k", Size: 1, Inline: []byte{byte(restart)}})
		require.NoError(t, err)
		require.Greater(t, v.Timestamp, last.Timestamp)
		last = v
		o, err := s.Object(ctx, bucket, "k")
		require.NoError(t, err)
		require.Equal(t, []byte{byte(restart)}, o.Inline)
		require.NoError(t, s.Close())
		c.Advance(-24 * time.Hour)
	}
}

func TestABatchLargerThanTheMemoryOfTheDatabaseIsWhole(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewCrashableMem()
	cfg := config(fs, clock.System{})
	cfg.MemTable = 1 << 20
	s, err := Open(cfg)
	require.NoError(t, err)
	ref := meta.UploadRef{Bucket: uuid.New(), Key: "k", ID: uuid.New()}
	require.NoError(t, s.CreateBucket(ctx, meta.Bucket{ID: ref.Bucket, Name: "b"}))
	require.NoError(t, s.BeginUpload(ctx, meta.Upload{UploadRef: ref}))
	chunks := make([]meta.Chunk, 50_000)
	for i := range chunks {
		chunks[i] = meta.Chunk{Offset: uint64(i) << 20, Length: 1 << 20}
	}
	require.NoError(t, s.AddChunks(ctx, ref, ref.ID, chunks))
	again, err := Open(config(fs.CrashClone(vfs.CrashCloneCfg{}), clock.System{}))
	require.NoError(t, err)
	for _, store := range []*Store{s, again} {
		got, err := store.Chunks(ctx, ref.ID, 0, len(chunks)+1)
		require.NoError(t, err)
		require.Equal(t, chunks, got)
		require.NoError(t, store.AbortUpload(ctx, ref))
		garbage, _, err := store.ListGarbage(ctx, meta.ListGarbage{Limit: 2})
		require.NoError(t, err)
		require.Len(t, garbage, 1)
		require.NoError(t, store.DropGarbage(ctx, garbage[0].ID))
		got, err = store.Chunks(ctx, ref.ID, 0, 1)
		require.NoError(t, err)
		require.Empty(t, got)
		require.NoError(t, store.Close())
	}
}
