package pebble

import (
	"context"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/meta"
)

func TestAWriteIsKnownAgainAfterARestartAndForgottenWhenItIsOld(t *testing.T) {
	ctx := context.Background()
	fs, c := vfs.NewMem(), clock.NewManual(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	s, err := Open(config(fs, c))
	require.NoError(t, err)
	bucket := uuid.New()
	require.NoError(t, s.CreateBucket(ctx, meta.Bucket{ID: bucket, Name: "b"}))
	id, err := meta.NewCommitID(c.Now(), clock.SystemRandom)
	require.NoError(t, err)
	p := meta.Put{Bucket: bucket, Key: "k", Size: 1, Inline: []byte("x"), Commit: meta.Commit{ID: id}}
	v, err := s.PutObject(ctx, p)
	require.NoError(t, err)
	require.NoError(t, s.Close())

	s, err = Open(config(fs, c))
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	p.Commit.Again = true
	_, err = s.DeleteObjects(ctx, bucket, []meta.Delete{{Key: "k"}})
	require.NoError(t, err)
	sweep := func() {
		_, _, err := s.ListGarbage(ctx, meta.ListGarbage{Limit: 1, IdleBefore: c.Now()})
		require.NoError(t, err)
	}
	c.Advance(meta.CommitKept)
	sweep()
	again, err := s.PutObject(ctx, p)
	require.NoError(t, err)
	require.Equal(t, v, again, "it happened before the deletion")
	_, err = s.Object(ctx, bucket, "k")
	require.Error(t, err)

	c.Advance(time.Millisecond)
	sweep()
	_, known, err := s.committed(p.Commit)
	require.NoError(t, err)
	require.False(t, known)
}
