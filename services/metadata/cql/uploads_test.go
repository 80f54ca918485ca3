//go:build stack

package cql

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/convert"
)

// fixture is two services on one keyspace, with a bucket.
type fixture struct {
	*testing.T
	ctx    context.Context
	a, b   *Store
	bucket uuid.UUID
}

func twoServices(t *testing.T) *fixture {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	f := &fixture{T: t, ctx: ctx, a: openStore(t, clock.System{})}
	f.b = openWith(t, testConfig(t, clock.System{}))
	f.bucket = makeBucketIn(t, f.a)
	return f
}

func (f *fixture) begin(key string, multipart bool) meta.UploadRef {
	f.Helper()
	id, err := meta.NewUploadID(time.Now(), clock.SystemRandom)
	require.NoError(f, err)
	r := meta.UploadRef{Bucket: f.bucket, Key: key, ID: id}
	require.NoError(f, f.a.BeginUpload(f.ctx, meta.Upload{UploadRef: r, Multipart: multipart}))
	return r
}

func chunksOf(n int) (chunks []meta.Chunk) {
	for i := range n {
		chunks = append(chunks, meta.Chunk{Offset: uint64(i) * 10, Length: 10})
	}
	return chunks
}

// put commits a single upload of that many chunks.
func (f *fixture) put(s *Store, r meta.UploadRef, n int) (meta.Version, error) {
	return s.PutObject(f.ctx, meta.Put{Bucket: r.Bucket, Key: r.Key, Upload: r.ID, Size: int64(n) * 10, ETag: r.ID.String(), First: chunksOf(1)[0], Chunks: chunksOf(n)})
}

func (f *fixture) part(s *Store, r meta.UploadRef, number int) meta.Part {
	f.Helper()
	p := meta.Part{Number: number, Attempt: uuid.New(), Size: 20, ETag: fmt.Sprintf("%032x", number)}
	require.NoError(f, s.BeginPart(f.ctx, r, number, p.Attempt))
	p, err := s.FinishPart(f.ctx, r, p, chunksOf(2))
	require.NoError(f, err)
	return p
}

// garbage walks over everything and says which attempts are garbage.
func (f *fixture) garbage(s *Store, q meta.ListGarbage) (attempts map[uuid.UUID]bool, ids [][]byte) {
	f.Helper()
	attempts = make(map[uuid.UUID]bool)
	for q.Limit = 50; ; {
		page, next, err := s.ListGarbage(f.ctx, q)
		require.NoError(f, err)
		for _, g := range page {
			ids = append(ids, g.ID)
			for _, a := range g.Attempts {
				attempts[a] = true
			}
		}
		if q.Cursor = next; next == nil {
			return attempts, ids
		}
	}
}

func (f *fixture) noUpload(err error) {
	f.Helper()
	require.True(f, errors.IsEntity(err, errors.NotFound, errors.Upload), "%v", err)
}

func TestAnUploadGoesOnThroughAnotherService(t *testing.T) {
	alone(t)
	f := twoServices(t)
	r := f.begin("k", false)
	require.NoError(t, f.b.AddChunks(f.ctx, r, r.ID, chunksOf(700)))
	require.NoError(t, f.a.AddChunks(f.ctx, r, r.ID, chunksOf(800)[700:]))
	_, err := f.put(f.b, r, 800)
	require.NoError(t, err)
	f.noUpload(f.a.AddChunks(f.ctx, r, r.ID, chunksOf(1)))
	rows, err := f.a.Chunks(f.ctx, r.ID, 0, 10_000)
	require.NoError(t, err)
	require.Len(t, rows, 800)

	m := f.begin("m", true)
	attempt := uuid.New()
	require.NoError(t, f.a.BeginPart(f.ctx, m, 3, attempt))
	require.NoError(t, f.b.AddChunks(f.ctx, m, attempt, chunksOf(2)), "a service that has not seen it begin reads that it was")
	p, err := f.b.FinishPart(f.ctx, m, meta.Part{Number: 3, Attempt: attempt, Size: 20}, nil)
	require.NoError(t, err)
	err = f.a.AddChunks(f.ctx, m, attempt, chunksOf(2))
	require.True(t, errors.IsEntity(err, errors.NotFound, errors.Part), "%v", err)
	_, err = f.a.CompleteUpload(f.ctx, meta.Complete{UploadRef: m, Parts: []meta.Part{p}})
	require.NoError(t, err)
	f.noUpload(f.b.AbortUpload(f.ctx, m))
	attempts, _ := f.garbage(f.b, meta.ListGarbage{})
	require.Empty(t, attempts)
}

// Of everything that two services do to one upload at once, one wins, and what is committed is not garbage.
func TestTwoServicesEndOneUploadAtOnce(t *testing.T) {
	alone(t)
	f := twoServices(t)
	for i := range 12 {
		key := fmt.Sprint("k", i)
		multipart := i%2 == 0
		r := f.begin(key, multipart)
		var p meta.Part
		if multipart {
			p = f.part(f.a, r, 1)
		} else {
			require.NoError(t, f.a.AddChunks(f.ctx, r, r.ID, chunksOf(2)))
		}
		commit := func(s *Store) error {
			if multipart {
				_, err := s.CompleteUpload(f.ctx, meta.Complete{UploadRef: r, Parts: []meta.Part{p}, ETag: "e"})
				return err
			}
			_, err := f.put(s, r, 2)
			return err
		}
		answers := make(chan error, 4)
		aborted := make(chan error, 1)
		for _, s := range []*Store{f.a, f.b} {
			go func() { answers <- commit(s) }()
			go func() {
				_, _, err := s.ListGarbage(f.ctx, meta.ListGarbage{Limit: 10, IdleBefore: time.Now().Add(time.Hour)})
				answers <- errors.Wrap(errors.KindOf(err), err, "sweeping")
			}()
		}
		go func() { aborted <- f.b.AbortUpload(f.ctx, r) }()
		for range 4 {
			if err := <-answers; err == nil {
				continue
			}
		}
		abort := <-aborted
		o, err := f.a.Object(f.ctx, f.bucket, key)
		committed := err == nil
		attempts, _ := f.garbage(f.a, meta.ListGarbage{})
		again, _ := f.garbage(f.b, meta.ListGarbage{})
		require.Equal(t, attempts, again)
		held := r.ID
		if multipart {
			held = p.Attempt
		}
		o2, err2 := f.b.Object(f.ctx, f.bucket, key)
		require.Equal(t, committed, err2 == nil)
		if committed {
			require.Equal(t, o.Version, o2.Version)
			require.False(t, attempts[held], "%d: what an object holds is not garbage (abort: %v)", i, abort)
		} else {
			require.True(t, attempts[held], "%d: what was not committed is garbage (abort: %v)", i, abort)
		}
	}
}

func TestTenThousandParts(t *testing.T) {
	alone(t)
	f := twoServices(t)
	r := f.begin("k", true)
	parts := make([]meta.Part, meta.MaxParts)
	require.NoError(t, inParallel(f.ctx, len(parts), wide, func(ctx context.Context, i int) error {
		parts[i] = meta.Part{Number: i + 1, Attempt: uuid.New(), Size: 5 << 20, ETag: fmt.Sprintf("%032x", i), Checksum: meta.Checksum{Algorithm: "SHA256", Type: "COMPOSITE", Value: fmt.Sprintf("%044d", i)}}
		if i >= 200 {
			return f.a.writeChunks(ctx, parts[i].Attempt, chunksOf(1))
		}
		if err := f.a.BeginPart(ctx, r, i+1, parts[i].Attempt); err != nil {
			return err
		}
		var err error
		parts[i], err = f.a.FinishPart(ctx, r, parts[i], chunksOf(1))
		return err
	}))
	// The rest as FinishPart writes them, many in a batch.
	for some := range slices.Chunk(parts[200:], 100) {
		var statements []statement
		for i := range some {
			some[i].Modified = f.a.now()
			record, err := proto.Marshal(convert.Part(some[i]))
			require.NoError(t, err)
			ts := int64(f.a.hybrid.Now())
			statements = append(statements, statement{finishPart, []any{r.ID[:], some[i].Number, ts, some[i].Attempt[:], record, ts}})
		}
		require.NoError(t, f.a.batch(f.ctx, statements...))
	}
	n := 0
	for after := 0; ; {
		page, err := f.b.ListParts(f.ctx, r, after, 1000)
		require.NoError(t, err)
		n += len(page.Parts)
		if after = page.Parts[len(page.Parts)-1].Number; !page.More {
			break
		}
	}
	require.Equal(t, meta.MaxParts, n)
	c := meta.Complete{UploadRef: r, Parts: parts, ETag: "e-10000"}
	c.Condition.IfNoneMatch = []string{"*"}
	start := time.Now()
	v, err := f.b.CompleteUpload(f.ctx, c)
	require.NoError(t, err)
	t.Logf("completed in %v", time.Since(start))
	again, err := f.a.CompleteUpload(f.ctx, c)
	require.NoError(t, err)
	require.Equal(t, v, again)
	o, err := f.a.Object(f.ctx, f.bucket, "k")
	require.NoError(t, err)
	require.Len(t, o.Parts, meta.MaxParts)
	_, err = f.a.PutObject(f.ctx, inline(f.bucket, "k", "small"))
	require.NoError(t, err)
	attempts, ids := f.garbage(f.a, meta.ListGarbage{})
	require.Len(t, attempts, meta.MaxParts)
	require.NoError(t, f.b.DropGarbage(f.ctx, ids...))
	attempts, _ = f.garbage(f.a, meta.ListGarbage{})
	require.Empty(t, attempts)
	rows, err := f.a.Chunks(f.ctx, parts[77].Attempt, 0, 10)
	require.NoError(t, err)
	require.Empty(t, rows)
}
