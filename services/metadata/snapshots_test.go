package metadata

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	chunkmemory "deuxfleurs.fr/garage/pkg/chunk/memory"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

func TestDestroyedMetadataIsRestoredFromTheFolderAndFromTheCodeAlone(t *testing.T) {
	ctx := context.Background()
	folder := t.TempDir()
	d := Deps{Folder: folder, ClusterID: uuid.New(), Chunks: chunkmemory.New(uuid.New()), Clock: clock.System{}, Random: clock.SystemRandom, Logger: slog.New(slog.DiscardHandler)}
	c := DefaultConfig()
	c.Snapshot.Keep = 2
	open := func() *Service {
		s, err := New(c, d)
		require.NoError(t, err)
		return s
	}
	s := open()
	require.NoError(t, s.snapshots.takeDue(ctx))
	none, err := s.snapshots.list(ctx)
	require.NoError(t, err)
	require.Empty(t, none, "of nothing no snapshot is taken")

	bucket := meta.Bucket{ID: uuid.New(), Name: "photos"}
	require.NoError(t, s.store.CreateBucket(ctx, bucket))
	ref := meta.UploadRef{Bucket: bucket.ID, Key: "k", ID: uuid.New()}
	require.NoError(t, s.store.BeginUpload(ctx, meta.Upload{UploadRef: ref}))
	body := buffer.FromBytes([]byte("body"))
	row := meta.Chunk{Length: 4, Hash: chunk.HashOf(body)}
	_, err = d.Chunks.Put(ctx, row.Hash, body, chunk.Ref{Attempt: ref.ID})
	require.NoError(t, err)
	_, err = s.store.PutObject(ctx, meta.Put{Bucket: bucket.ID, Key: "k", Upload: ref.ID, Size: 4, ETag: "e", First: row, Chunks: []meta.Chunk{row}})
	require.NoError(t, err)
	want, err := s.store.Object(ctx, bucket.ID, "k")
	require.NoError(t, err)
	require.NoError(t, s.snapshots.takeDue(ctx))
	require.NoError(t, s.snapshots.takeDue(ctx), "the next is not due")
	all, err := s.snapshots.list(ctx)
	require.NoError(t, err)
	require.Len(t, all, 1)
	for range 2 {
		_, err := s.snapshots.take(ctx, nil)
		require.NoError(t, err)
	}
	all, err = s.snapshots.list(ctx)
	require.NoError(t, err)
	require.Len(t, all, 2, "the oldest goes")
	newest := all[1]
	require.True(t, newest.GetInFolder() && newest.GetInChunks())

	for _, from := range []*metadatav1.SnapshotSource{{Name: newest.GetName()}, {Code: newest.GetRecoveryCode()}} {
		require.NoError(t, s.Close())
		require.NoError(t, os.RemoveAll(filepath.Join(folder, "metadata")))
		if from.GetCode() != "" {
			require.NoError(t, os.RemoveAll(filepath.Join(folder, snapshotFolder)))
		}
		s = open()
		server := &snapshotServer{snapshots: s.snapshots, into: s.store}
		restore := func(in io.Reader) error {
			_, err := s.snapshots.restore(ctx, s.store, in, nil, nil)
			return err
		}
		require.NoError(t, server.with(ctx, from, func(in io.Reader) error {
			require.True(t, errors.Is(server.with(ctx, from, restore), errors.Conflict), "one at a time")
			return restore(in)
		}))
		got, err := s.store.Object(ctx, bucket.ID, "k")
		require.NoError(t, err)
		require.Equal(t, want.Timestamp, got.Timestamp)
		require.NotEqual(t, want.Parts[0].Attempt, got.Parts[0].Attempt)
		got.Version, got.Parts = want.Version, want.Parts
		require.Equal(t, want, got)
	}
	_, _, err = s.snapshots.open(ctx, &metadatav1.SnapshotSource{Name: "none"})
	require.True(t, errors.Is(err, errors.NotFound))
	require.NoError(t, s.Close())
}

func TestSnapshotsAreListedByTimeHoweverFarApart(t *testing.T) {
	folder := t.TempDir()
	s, err := New(DefaultConfig(), Deps{Folder: folder, ClusterID: uuid.New(), Chunks: chunkmemory.New(uuid.New()), Clock: clock.System{}, Random: clock.SystemRandom, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.NoError(t, os.MkdirAll(filepath.Join(folder, snapshotFolder), 0o700))
	// 36 minutes are more microseconds than an int of 32 bits holds.
	begin := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	var want []string
	for i, name := range []string{"c", "a", "b"} {
		path, at := filepath.Join(folder, snapshotFolder, name+snapshotSuffix), begin.Add(time.Duration(i)*36*time.Minute)
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		require.NoError(t, os.Chtimes(path, at, at))
		want = append(want, name)
	}
	all, err := s.snapshots.list(t.Context())
	require.NoError(t, err)
	var names []string
	for _, p := range all {
		names = append(names, p.GetName())
	}
	require.Equal(t, want, names)
}
