//go:build stack

package cql

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/meta"
)

// chunked commits an object of one chunk through an upload and returns the upload's ID.
func chunked(t *testing.T, s *Store, bucket uuid.UUID, key string) uuid.UUID {
	ctx := context.Background()
	id, err := meta.NewUploadID(s.clock.Now(), clock.SystemRandom)
	require.NoError(t, err)
	require.NoError(t, s.BeginUpload(ctx, meta.Upload{UploadRef: meta.UploadRef{Bucket: bucket, Key: key, ID: id}}))
	c := meta.Chunk{Length: 10}
	_, err = s.PutObject(ctx, meta.Put{Bucket: bucket, Key: key, Upload: id, Size: 10, First: c, Chunks: []meta.Chunk{c}})
	require.NoError(t, err)
	return id
}

func TestWhatReplacedGarbageStaysThoughItIsTakenBackLate(t *testing.T) {
	alone(t)
	ctx := context.Background()
	s := openStore(t, clock.System{})
	bucket := makeBucketIn(t, s)
	old := chunked(t, s, bucket, "k")
	v, err := s.PutObject(ctx, inline(bucket, "k", "new"))
	require.NoError(t, err)
	var listed []uuid.UUID
	for cursor := []byte(nil); ; {
		garbage, next, err := s.ListGarbage(ctx, meta.ListGarbage{Cursor: cursor, Limit: 10, Before: time.Now().Add(time.Minute)})
		require.NoError(t, err)
		for _, g := range garbage {
			listed = append(listed, g.Attempts...)
		}
		if cursor = next; next == nil {
			break
		}
	}
	require.Equal(t, []uuid.UUID{old}, listed)
	b, err := s.shards(ctx, bucket)
	require.NoError(t, err)
	require.NoError(t, s.run(ctx, removal(b.place("k"), v)), "a withdrawal that was long on its way")
	o, err := s.Object(ctx, bucket, "k")
	require.NoError(t, err)
	require.Equal(t, "new", string(o.Inline), "the old one has no chunks any more")
}

// A row that is there though its chunk rows are not, as after a crash between them, or while they are still on their way: what says
// that they are all there may come before them, and a newer version too.
func TestAnObjectIsNeverSeenWithoutItsChunks(t *testing.T) {
	alone(t)
	ctx := context.Background()
	s := openStore(t, clock.System{})
	bucket := makeBucketIn(t, s)
	id, err := meta.NewUploadID(s.clock.Now(), clock.SystemRandom)
	require.NoError(t, err)
	require.NoError(t, s.BeginUpload(ctx, meta.Upload{UploadRef: meta.UploadRef{Bucket: bucket, Key: "k", ID: id}}))
	p := meta.Put{Bucket: bucket, Key: "k", Upload: id, Size: 20, First: chunksOf(1)[0], Chunks: chunksOf(2)}
	r, err := rowOf(p.Object(), id, p.Chunks)
	require.NoError(t, err)
	r.version = meta.Version{Timestamp: s.hybrid.Now(), ID: uuid.New()}
	b, err := s.shards(ctx, bucket)
	require.NoError(t, err)
	for _, write := range []func() error{
		func() error { return s.run(ctx, r.insertion(b.place("k"))) },
		func() error { return s.exec(ctx, sealChunks, id[:], r.size) },
		func() error { return s.writeChunks(ctx, id, p.Chunks[1:]) },
		func() error { _, err := s.PutObject(ctx, inline(bucket, "k", "newer")); return err },
	} {
		require.NoError(t, write())
		for from := range p.Chunks {
			chunks, err := s.Chunks(ctx, id, uint64(from)*10, 10)
			require.NoError(t, err)
			require.Equal(t, p.Chunks[from:], chunks)
		}
	}
}
