package chunktest

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
)

func putIsRead(t *testing.T, s chunk.Store) {
	h, b := Chunk(1, 100_000)
	RequirePut(t, s, h, b, Ref(1))
	got, err := s.Get(ctx(t), h)
	require.NoError(t, err)
	require.Equal(t, b.Bytes(), got.Bytes())
	got.Release()
	RequirePut(t, s, h, b, Ref(1)) // again
	RequireGet(t, s, h, b)
}

func sizes(t *testing.T, s chunk.Store) {
	for i, size := range Sizes {
		h, b := Chunk(int64(i), size)
		RequirePut(t, s, h, b, Ref(i))
		zeros, zeroBuffer := Of(make([]byte, size))
		RequirePut(t, s, zeros, zeroBuffer, Ref(1000+i))
		RequireGet(t, s, h, b)
		RequireGet(t, s, zeros, zeroBuffer)
	}
	for i, size := range Sizes {
		h, b := Chunk(int64(i), size)
		RequireGet(t, s, h, b)
	}
}

func notFound(t *testing.T, s chunk.Store) {
	h, _ := Chunk(1, 10)
	_, err := s.Get(ctx(t), h)
	require.True(t, errors.Is(err, errors.NotFound), "%v", err)
}

func wrongHash(t *testing.T, s chunk.Store) {
	for _, size := range []int{10, 100_000} {
		h, _ := Chunk(1, size)
		_, other := Chunk(2, size)
		_, err := s.Put(ctx(t), h, other, Ref(1))
		require.True(t, errors.Is(err, errors.Invalid), "%v", err)
		_, err = s.Get(ctx(t), h)
		require.True(t, errors.Is(err, errors.NotFound), "%v", err)
	}
}

func badSizes(t *testing.T, s chunk.Store) {
	for _, size := range []int{0, chunk.MaxSize + 1} {
		h, b := Chunk(1, size)
		_, err := s.Put(ctx(t), h, b, Ref(1))
		require.True(t, errors.Is(err, errors.Invalid), "%d bytes: %v", size, err)
	}
}

func referenceNeedsBytes(t *testing.T, s chunk.Store) {
	h, b := Chunk(1, 50_000)
	requirePutRef(t, s, h, Ref(1), chunk.SendData)
	_, err := s.Get(ctx(t), h)
	require.True(t, errors.Is(err, errors.NotFound), "%v", err)
	RequirePut(t, s, h, b, Ref(1))
	requirePutRef(t, s, h, Ref(2), chunk.Stored)
	requirePutRef(t, s, h, Ref(2), chunk.Stored)
}

func referenceKeeps(t *testing.T, s chunk.Store) {
	for i, size := range []int{10, 100_000} {
		h, b := Chunk(1, size)
		RequirePut(t, s, h, b, Ref(10*i+1))
		requirePutRef(t, s, h, Ref(10*i+2), chunk.Stored)
		require.NoError(t, s.Delete(ctx(t), h, Ref(10*i+1)))
		RequireGet(t, s, h, b)
		requirePutRef(t, s, h, Ref(10*i+3), chunk.Stored)
	}
}

func tombstone(t *testing.T, s chunk.Store) {
	h, b := Chunk(1, 50_000)
	RequirePut(t, s, h, b, Ref(1))
	require.NoError(t, s.Delete(ctx(t), h, Ref(1)))
	require.NoError(t, s.Delete(ctx(t), h, Ref(1)))
	requirePutRef(t, s, h, Ref(1), chunk.Gone)
	outcome, err := s.Put(ctx(t), h, b, Ref(1))
	require.NoError(t, err)
	require.Equal(t, chunk.Gone, outcome)
	RequirePut(t, s, h, b, Ref(2))
	require.NoError(t, s.Delete(ctx(t), h, Ref(1)))
	RequireGet(t, s, h, b)
	requirePutRef(t, s, h, Ref(1), chunk.Gone)
}

func tombstoneFirst(t *testing.T, s chunk.Store) {
	h, b := Chunk(1, 50_000)
	require.NoError(t, s.Delete(ctx(t), h, Ref(1)))
	outcome, err := s.Put(ctx(t), h, b, Ref(1))
	require.NoError(t, err)
	require.Equal(t, chunk.Gone, outcome)
	_, err = s.Get(ctx(t), h)
	require.True(t, errors.Is(err, errors.NotFound), "nothing is stored with a reference that is gone: %v", err)
	other, b2 := Chunk(2, 50_000)
	RequirePut(t, s, other, b2, Ref(1))
	RequirePut(t, s, h, b, Ref(3))
	RequireGet(t, s, h, b)
}

func set(t *testing.T, s chunk.Store) {
	h, b := Chunk(1, 50_000)
	for range 3 {
		RequirePut(t, s, h, b, Ref(1))
	}
	requirePutRef(t, s, h, Ref(2), chunk.Stored)
	for range 3 {
		require.NoError(t, s.Delete(ctx(t), h, Ref(1)))
	}
	RequireGet(t, s, h, b)
	requirePutRef(t, s, h, Ref(2), chunk.Stored)
}

func offsets(t *testing.T, s chunk.Store) {
	h, b := Of(make([]byte, 70_000))
	ref := Ref(1)
	for i := range 10 {
		ref.Offset = uint64(i) * 70_000
		RequirePut(t, s, h, b, ref)
	}
	for i := range 9 {
		ref.Offset = uint64(i) * 70_000
		require.NoError(t, s.Delete(ctx(t), h, ref))
	}
	RequireGet(t, s, h, b)
	ref.Offset = 9 * 70_000
	requirePutRef(t, s, h, ref, chunk.Stored)
}

func endedContext(t *testing.T, s chunk.Store) {
	h, b := Chunk(1, 50_000)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := s.Put(ended, h, b, Ref(1))
	require.True(t, errors.Is(err, errors.Canceled), "%v", err)
	_, err = s.Get(ended, h)
	require.True(t, errors.Is(err, errors.Canceled), "%v", err)
	_, err = s.PutRef(ended, h, Ref(1))
	require.True(t, errors.Is(err, errors.Canceled), "%v", err)
	require.True(t, errors.Is(s.Delete(ended, h, Ref(1)), errors.Canceled))
	_, err = s.Get(ctx(t), h)
	require.True(t, errors.Is(err, errors.NotFound), "%v", err)
	RequirePut(t, s, h, b, Ref(1))
}

func buffers(t *testing.T, s chunk.Store) {
	for i, size := range []int{10, 100_000} {
		h, b := Chunk(int64(i), size)
		want := fmt.Sprintf("%x", b.Bytes())
		released := false
		pooled := buffer.FromSegments(b.Segments(), func() { released = true })
		RequirePut(t, s, h, pooled, Ref(i))
		require.False(t, released)
		require.Equal(t, want, fmt.Sprintf("%x", pooled.Bytes()), "the bytes were not changed")
		first, err := s.Get(ctx(t), h)
		require.NoError(t, err)
		second, err := s.Get(ctx(t), h)
		require.NoError(t, err)
		first.Release()
		require.NoError(t, chunk.Verify(h, second), "one reader's release does not disturb another")
		second.Release()
		pooled.Release()
	}
}
