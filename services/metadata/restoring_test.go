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
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// restored is a store to restore into, which fails where a test says.
type restored struct {
	meta.Store
	begin, grant error
}

func (r *restored) BeginUpload(ctx context.Context, u meta.Upload) error {
	if r.begin != nil {
		return r.begin
	}
	return r.Store.BeginUpload(ctx, u)
}

func (r *restored) SetGrant(ctx context.Context, bucket uuid.UUID, g meta.Grant) error {
	if r.grant != nil && g.Grantee == identity.Group("second") {
		return r.grant
	}
	return r.Store.SetGrant(ctx, bucket, g)
}

func TestAStoreThatIsRestoredInPartServesNobodyAndReplacesNoSnapshot(t *testing.T) {
	ctx, folder := t.Context(), t.TempDir()
	d := Deps{Folder: folder, ClusterID: uuid.New(), Chunks: chunkmemory.New(uuid.New()), Clock: clock.System{}, Random: clock.SystemRandom, Logger: slog.New(slog.DiscardHandler)}
	c := DefaultConfig()
	c.Snapshot.Keep, c.Snapshot.Interval = 1, time.Nanosecond // always due
	open := func() *Service {
		s, err := New(c, d)
		require.NoError(t, err)
		return s
	}
	s := open()
	bucket := meta.Bucket{ID: uuid.New(), Name: "photos"}
	require.NoError(t, s.store.CreateBucket(ctx, bucket))
	require.NoError(t, s.store.CreateKey(ctx, meta.Key{AccessKey: "GK1", Secret: "s"}))
	for _, name := range []string{"first", "second"} {
		require.NoError(t, s.store.SetGrant(ctx, bucket.ID, meta.Grant{Grantee: identity.Group(name), Rights: identity.Read}))
	}
	ref := meta.UploadRef{Bucket: bucket.ID, Key: "k", ID: uuid.New()}
	require.NoError(t, s.store.BeginUpload(ctx, meta.Upload{UploadRef: ref}))
	body := buffer.FromBytes([]byte("body"))
	row := meta.Chunk{Length: 4, Hash: chunk.HashOf(body)}
	_, err := d.Chunks.Put(ctx, row.Hash, body, chunk.Ref{Attempt: ref.ID})
	require.NoError(t, err)
	_, err = s.store.PutObject(ctx, meta.Put{Bucket: bucket.ID, Key: "k", Upload: ref.ID, Size: 4, First: row, Chunks: []meta.Chunk{row}})
	require.NoError(t, err)
	require.NoError(t, s.snapshots.takeDue(ctx))
	kept, err := s.snapshots.files()
	require.NoError(t, err)
	require.Len(t, kept, 1)
	require.NoError(t, s.Close())
	require.NoError(t, os.RemoveAll(filepath.Join(folder, "metadata")))

	s = open()
	restore := func(fails restored) error {
		fails.Store = s.store
		server := &snapshotServer{snapshots: s.snapshots, into: s.store}
		return server.with(ctx, &metadatav1.SnapshotSource{Name: kept[0]}, func(in io.Reader) error {
			_, err := s.snapshots.restore(ctx, &fails, in, nil, nil)
			return err
		})
	}
	broken := errors.Newf(errors.Internal, "broken off by the test")
	for _, fails := range []restored{{begin: broken}, {grant: broken}, {grant: broken}} {
		require.ErrorContains(t, restore(fails), "broken off by the test")
		for range 2 { // before and after a crash
			_, byName := s.store.Bucket(ctx, "photos")
			_, byGrant := s.store.ListBuckets(ctx, meta.ListBuckets{Grantees: []string{identity.Group("first")}, Limit: 1})
			_, byKey := s.store.Key(ctx, "GK0")
			_, why := s.store.Attempts(ctx, meta.FindAttempts{IDs: []uuid.UUID{ref.ID}, Everywhere: true})
			_, taken := s.snapshots.take(ctx, nil)
			for _, err := range []error{byName, byGrant, byKey, why, taken, s.snapshots.takeDue(ctx), s.store.CreateBucket(ctx, meta.Bucket{ID: uuid.New(), Name: "other"}),
				s.store.DeleteBucket(ctx, bucket.ID), s.store.SetGrant(ctx, bucket.ID, meta.Grant{Grantee: identity.Group("x"), Rights: identity.Read})} {
				require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
				require.ErrorContains(t, err, "being restored")
			}
			left, err := s.snapshots.files()
			require.NoError(t, err)
			require.Equal(t, kept, left)
			require.NoError(t, s.Close())
			s = open()
		}
	}
	require.NoError(t, restore(restored{}))
	for range 2 {
		b, err := s.store.Bucket(ctx, "photos")
		require.NoError(t, err)
		require.Len(t, b.Grants, 2)
		o, err := s.store.Object(ctx, bucket.ID, "k")
		require.NoError(t, err)
		found, err := s.store.Attempts(ctx, meta.FindAttempts{IDs: o.Attempts(), Everywhere: true})
		require.NoError(t, err)
		require.Equal(t, meta.AttemptComplete, found[0].State)
		require.NoError(t, s.snapshots.takeDue(ctx))
		require.NoError(t, s.Close())
		s = open()
	}
	require.NoError(t, s.Close())
}

func TestABrokenRestoreIsGoneOnWithTheSameSnapshotOnly(t *testing.T) {
	ctx := t.Context()
	s, err := New(DefaultConfig(), Deps{Folder: t.TempDir(), ClusterID: uuid.New(), Chunks: chunkmemory.New(uuid.New()), Clock: clock.System{}, Random: clock.SystemRandom, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.NoError(t, s.store.CreateBucket(ctx, meta.Bucket{ID: uuid.New(), Name: "photos"}))
	taken, err := s.snapshots.take(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, s.snapshots.marks.SetRestoring(ctx, time.UnixMicro(taken.GetTaken()-1)))
	server := &snapshotServer{snapshots: s.snapshots, into: s.store}
	restore := func(in io.Reader) error {
		_, err := s.snapshots.restore(ctx, s.store, in, nil, nil)
		return err
	}
	err = server.with(ctx, &metadatav1.SnapshotSource{Name: taken.GetName()}, restore)
	require.True(t, errors.Is(err, errors.Conflict), "%v", err)
	require.NoError(t, s.snapshots.marks.SetRestoring(ctx, time.UnixMicro(taken.GetTaken())))
	require.NoError(t, server.with(ctx, &metadatav1.SnapshotSource{Name: taken.GetName()}, restore))
	_, err = s.store.Bucket(ctx, "photos")
	require.NoError(t, err)
}
