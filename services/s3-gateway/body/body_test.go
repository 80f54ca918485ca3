package body_test

import (
	"bytes"
	"context"
	"io"
	"math/rand"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	chunkmemory "deuxfleurs.fr/garage/pkg/chunk/memory"
	"deuxfleurs.fr/garage/pkg/chunker"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	metamemory "deuxfleurs.fr/garage/pkg/meta/memory"
	"deuxfleurs.fr/garage/services/s3-gateway/body"
)

const size = chunker.MinSize

type fixture struct {
	*testing.T
	store  *body.Store
	meta   *watched
	chunks *chunkmemory.Store
	pool   *buffer.Pool
	clock  *clock.Manual
	bucket uuid.UUID
}

// watched counts some calls.
type watched struct {
	meta.Store
	mu       sync.Mutex
	progress int
	batches  []int
	kick     chan struct{}
}

func (w *watched) Progress(ctx context.Context, r meta.UploadRef) error {
	w.mu.Lock()
	w.progress++
	w.mu.Unlock()
	defer func() { w.kick <- struct{}{} }()
	return w.Store.Progress(ctx, r)
}

func (w *watched) AddChunks(ctx context.Context, r meta.UploadRef, attempt uuid.UUID, rows []meta.Chunk) error {
	w.mu.Lock()
	w.batches = append(w.batches, len(rows))
	w.mu.Unlock()
	return w.Store.AddChunks(ctx, r, attempt, rows)
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{T: t, clock: clock.NewManual(time.Unix(1_800_000_000, 0)), chunks: chunkmemory.New(uuid.New()), pool: buffer.NewPool(32<<20, clock.System{}), bucket: uuid.New()}
	store, err := metamemory.New(f.clock, clock.SystemRandom)
	require.NoError(t, err)
	f.meta = &watched{Store: store, kick: make(chan struct{}, 100)}
	require.NoError(t, store.CreateBucket(t.Context(), meta.Bucket{ID: f.bucket, Name: "photos", Created: f.clock.Now()}))
	cut, err := chunker.Fixed(size)
	require.NoError(t, err)
	f.store = body.New(body.Config{Chunker: cut, Window: 3 * size, ReadAhead: 3 * size, Batch: 4}, body.Deps{
		Meta: f.meta, Chunks: f.chunks, Pool: f.pool, Clock: f.clock, Random: clock.SystemRandom,
	})
	return f
}

// seen is what stages saw.
type seen struct{ bytes.Buffer }

func (s *seen) See(b *buffer.Buffer) { _, _ = b.WriteTo(s) }

func (f *fixture) single(key string) body.Target {
	t, err := f.store.Single(meta.Upload{UploadRef: meta.UploadRef{Bucket: f.bucket, Key: key}})
	require.NoError(f, err)
	return t
}

func (f *fixture) commit(key string, a *body.Attempt) meta.Object {
	f.Helper()
	_, err := f.meta.PutObject(f.Context(), meta.Put{Bucket: f.bucket, Key: key, Upload: a.ID, Size: a.Size, Inline: a.Inline, First: a.First, Chunks: a.Rows})
	require.NoError(f, err)
	o, err := f.meta.Object(f.Context(), f.bucket, key)
	require.NoError(f, err)
	return o
}

func (f *fixture) write(key string, p []byte) meta.Object {
	f.Helper()
	a, err := f.store.Write(f.Context(), f.single(key), bytes.NewReader(p), int64(len(p)), &seen{}, nil)
	require.NoError(f, err)
	return f.commit(key, a)
}

func (f *fixture) read(o meta.Object, from, to int64) []byte {
	f.Helper()
	r := f.store.Open(f.Context(), &o, from, to)
	defer r.Close()
	require.NoError(f, r.First())
	var out bytes.Buffer
	_, err := r.WriteTo(&out)
	require.NoError(f, err)
	return out.Bytes()
}

func random(n int) []byte {
	p := make([]byte, n)
	rand.New(rand.NewSource(int64(n))).Read(p)
	return p
}

func TestABodyOfUnknownLengthIsStoredAsOneOfKnownLength(t *testing.T) {
	f := newFixture(t)
	for _, n := range []int{0, 1, 4096, 4097, size - 1, size, size + 1, 9*size + 1} {
		p := random(n)
		var stages seen
		a, err := f.store.Write(t.Context(), f.single("k"), bytes.NewReader(p), -1, &stages, nil)
		require.NoError(t, err)
		require.EqualValues(t, n, a.Size)
		require.Equal(t, n > 0 && n <= 4096, a.Inline != nil, "%d bytes", n)
		require.True(t, bytes.Equal(p, stages.Bytes()), "the stages see the body in order")
		require.True(t, bytes.Equal(p, f.read(f.commit("k", a), 0, int64(n))))
	}
	require.Zero(t, f.pool.Used())
}

// multipart makes an object of parts with the given sizes.
func (f *fixture) multipart(key string, sizes ...int) (meta.Object, []byte) {
	ctx := f.Context()
	ref := meta.UploadRef{Bucket: f.bucket, Key: key, ID: uuid.New()}
	require.NoError(f, f.meta.BeginUpload(ctx, meta.Upload{UploadRef: ref, Multipart: true}))
	var parts []meta.Part
	var all []byte
	for i, n := range sizes {
		target, err := f.store.Part(ref, i+1)
		require.NoError(f, err)
		p := random(n)
		a, err := f.store.Write(ctx, target, bytes.NewReader(p), int64(n), &seen{}, nil)
		require.NoError(f, err)
		part, err := f.meta.FinishPart(ctx, ref, meta.Part{Number: i + 1, Attempt: a.ID, Size: a.Size, ETag: "e", First: a.First}, a.Rows)
		require.NoError(f, err)
		parts, all = append(parts, part), append(all, p...)
	}
	_, err := f.meta.CompleteUpload(ctx, meta.Complete{UploadRef: ref, Parts: parts, ETag: "e-3"})
	require.NoError(f, err)
	o, err := f.meta.Object(ctx, f.bucket, key)
	require.NoError(f, err)
	return o, all
}

func TestEveryRangeOfAnObjectOfPartsIsRead(t *testing.T) {
	f := newFixture(t)
	o, all := f.multipart("m", 2*size+5, 10, 3*size, 1)
	edges := []int{0, 1, size, 2 * size, 2*size + 4, 2*size + 5, 2*size + 15, 2*size + 16, 3*size + 15, len(all) - 2, len(all) - 1, len(all)}
	for _, from := range edges {
		for _, to := range edges {
			if from < to {
				require.True(t, bytes.Equal(all[from:to], f.read(o, int64(from), int64(to))), "[%d:%d]", from, to)
			}
		}
	}
	require.Zero(t, f.pool.Used())
}

func TestACopyOfARangeUsesTheChunksThatItHoldsWhole(t *testing.T) {
	f := newFixture(t)
	o, all := f.multipart("m", 2*size+5, 3*size)
	status := func() int64 {
		st, err := f.chunks.Status(t.Context())
		require.NoError(t, err)
		return st.Chunks
	}
	for _, r := range []struct{ from, to, more int }{
		{0, len(all), 0}, {0, 2 * size, 0}, {2*size + 5, len(all), 0}, {1, len(all), 1}, {0, len(all) - 1, 1}, {10, 20, 1}, {size - 1, size + 1, 2},
	} {
		before := status()
		a, err := f.store.Copy(t.Context(), f.single("c"), &o, int64(r.from), int64(r.to), nil)
		require.NoError(t, err)
		require.LessOrEqual(t, status()-before, int64(r.more), "chunks added for [%d:%d]", r.from, r.to)
		require.True(t, bytes.Equal(all[r.from:r.to], f.read(f.commit("c", a), 0, int64(r.to-r.from))))

		var stages seen
		a, err = f.store.Copy(t.Context(), f.single("d"), &o, int64(r.from), int64(r.to), &stages)
		require.NoError(t, err)
		require.True(t, bytes.Equal(all[r.from:r.to], stages.Bytes()))
		require.True(t, bytes.Equal(all[r.from:r.to], f.read(f.commit("d", a), 0, int64(r.to-r.from))))
	}
}

// forgetful answers SendData to references.
type forgetful struct{ chunk.Store }

func (forgetful) PutRef(context.Context, chunk.Hash, chunk.Ref) (chunk.Outcome, error) {
	return chunk.SendData, nil
}

func TestACopySendsTheDataThatTheStoreDoesNotHave(t *testing.T) {
	f := newFixture(t)
	p := random(3*size + 1)
	o := f.write("a", p)
	s := body.New(body.Config{}, body.Deps{Meta: f.meta, Chunks: forgetful{f.chunks}, Pool: f.pool, Clock: f.clock, Random: clock.SystemRandom})
	a, err := s.Copy(t.Context(), f.single("b"), &o, 0, o.Size, nil)
	require.NoError(t, err)
	require.True(t, bytes.Equal(p, f.read(f.commit("b", a), 0, o.Size)))
}

func TestRowsAreRecordedInBatchesAndALongWriteSaysThatItIsAlive(t *testing.T) {
	f := newFixture(t)
	r, w := io.Pipe()
	type result struct {
		a   *body.Attempt
		err error
	}
	done := make(chan result, 1)
	target := f.single("slow")
	go func() {
		a, err := f.store.Write(context.Background(), target, r, 20*size, &seen{}, nil)
		done <- result{a, err}
	}()
	for range 3 { // nothing arrives, and yet it is alive
		require.Eventually(t, func() bool { return f.clock.Timers() > 0 }, 10*time.Second, time.Millisecond)
		f.clock.Advance(body.DefaultProgress)
		<-f.meta.kick
	}
	p := random(20 * size)
	_, err := w.Write(p)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	got := <-done
	require.NoError(t, got.err)
	recorded := len(got.a.Rows)
	for _, n := range f.meta.batches {
		recorded += n
	}
	require.Equal(t, 20, recorded)
	require.NotEmpty(t, f.meta.batches)
	require.True(t, bytes.Equal(p, f.read(f.commit("slow", got.a), 0, int64(len(p)))))
}

func TestAWriteIntoABucketThatIsGoneFails(t *testing.T) {
	f := newFixture(t)
	target, err := f.store.Single(meta.Upload{UploadRef: meta.UploadRef{Bucket: uuid.New(), Key: "k"}})
	require.NoError(t, err)
	_, err = f.store.Write(t.Context(), target, bytes.NewReader(random(5*size)), 5*size, &seen{}, nil)
	require.True(t, errors.IsEntity(err, errors.NotFound, errors.Bucket), "%v", err)
	require.Zero(t, f.pool.Used())
}

func TestAnObjectWhoseChunksEndEarlyIsNotRead(t *testing.T) {
	f := newFixture(t)
	o := f.write("a", random(3*size))
	o.Size += 10
	o.Parts[0].Size += 10
	r := f.store.Open(t.Context(), &o, 0, o.Size)
	defer r.Close()
	n, err := r.WriteTo(io.Discard)
	require.True(t, errors.Is(err, errors.Corrupted), "%v", err)
	require.LessOrEqual(t, n, int64(3*size))
}

// stuck yields nothing, without ever ending.
type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func TestAReaderThatNeverYieldsAnythingEnds(t *testing.T) {
	f := newFixture(t)
	_, err := f.store.Write(t.Context(), f.single("k"), stuck{}, 10, &seen{}, nil)
	require.ErrorIs(t, err, io.ErrNoProgress)
}
