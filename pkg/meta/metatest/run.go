package metatest

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// Open makes an empty store that lives on the clock; it is closed by t.Cleanup.
type Open func(t *testing.T, c clock.Clock) meta.Store

// RowCounter is implemented by stores that count the rows that listings read.
type RowCounter interface {
	// ListedRows is the number of rows that listings have stood at.
	ListedRows() int64
}

// Run tests that the stores that open makes keep the contract of meta.Store.
func Run(t *testing.T, open Open) {
	run(t, open, bucketTests, objectTests, commitTests, orderTests, listTests, uploadTests, completeTests, garbageTests, attemptTests, raceTests)
}

func run(t *testing.T, open Open, groups ...map[string]func(*suite)) {
	for _, group := range groups {
		for name, test := range group {
			t.Run(name, func(t *testing.T) {
				c := clock.NewManual(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
				s := &suite{T: t, clock: c, Store: open(t, c)}
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // open may wait for other tests, and the machine may be busy
				defer cancel()
				s.ctx = ctx
				s.bucket = s.createBucket("photos")
				test(s)
			})
		}
	}
}

// suite is one test with an empty store that has one bucket.
type suite struct {
	*testing.T
	meta.Store
	ctx    context.Context
	clock  *clock.Manual
	bucket uuid.UUID
}

func (s *suite) createBucket(name string) uuid.UUID {
	s.Helper()
	id := uuid.New()
	require.NoError(s, s.CreateBucket(s.ctx, meta.Bucket{ID: id, Name: name}))
	return id
}

// is requires an error of the kind about the entity.
func (s *suite) is(err error, kind errors.Kind, entity errors.Entity) {
	s.Helper()
	require.True(s, errors.IsEntity(err, kind, entity), "want %v (%v), got %v", kind, entity, err)
}

// inline puts a small object.
func (s *suite) inline(key, body string) meta.Version {
	s.Helper()
	v, err := s.PutObject(s.ctx, put(s.bucket, key, body))
	require.NoError(s, err)
	return v
}

func put(bucket uuid.UUID, key, body string) meta.Put {
	return meta.Put{Bucket: bucket, Key: key, Size: int64(len(body)), ETag: "etag-" + body, Inline: []byte(body)}
}

// begin begins an upload.
func (s *suite) begin(key string, multipart bool) meta.UploadRef {
	s.Helper()
	id, err := meta.NewUploadID(s.clock.Now(), clock.SystemRandom)
	require.NoError(s, err)
	ref := meta.UploadRef{Bucket: s.bucket, Key: key, ID: id}
	require.NoError(s, s.BeginUpload(s.ctx, meta.Upload{UploadRef: ref, Multipart: multipart}))
	return ref
}

// chunkAt is the chunk of 1000 bytes with a number: its hash follows from it.
func chunkAt(attempt uuid.UUID, n int) meta.Chunk {
	var h chunk.Hash
	copy(h[:], attempt[:])
	h[31] = byte(n)
	return meta.Chunk{Offset: uint64(n) * 1000, Length: 1000, Hash: h}
}

func chunksOf(attempt uuid.UUID, n int) []meta.Chunk {
	var chunks []meta.Chunk
	for i := range n {
		chunks = append(chunks, chunkAt(attempt, i))
	}
	return chunks
}

// large puts an object of n chunks through an upload.
func (s *suite) large(key string, n int) (meta.UploadRef, meta.Version) {
	s.Helper()
	ref := s.begin(key, false)
	v, err := s.PutObject(s.ctx, s.commit(ref, n))
	require.NoError(s, err)
	return ref, v
}

// commit is the Put of an upload of n chunks, of which it adds all but the last.
func (s *suite) commit(ref meta.UploadRef, n int) meta.Put {
	s.Helper()
	chunks := chunksOf(ref.ID, n)
	require.NoError(s, s.AddChunks(s.ctx, ref, ref.ID, chunks[:n-1]))
	return meta.Put{
		Bucket: ref.Bucket, Key: ref.Key, Upload: ref.ID, Size: int64(n) * 1000, ETag: "etag-" + ref.ID.String(), First: chunks[0], Chunks: chunks[n-1:],
	}
}

// part writes a part of n chunks.
func (s *suite) part(ref meta.UploadRef, number, n int) meta.Part {
	s.Helper()
	p := meta.Part{Number: number, Attempt: uuid.New()}
	require.NoError(s, s.BeginPart(s.ctx, ref, number, p.Attempt))
	return s.finish(ref, p, n)
}

// finish finishes the begun part with n chunks.
func (s *suite) finish(ref meta.UploadRef, p meta.Part, n int) meta.Part {
	s.Helper()
	chunks := chunksOf(p.Attempt, n)
	p.Size, p.ETag, p.First = int64(n)*1000, "etag-"+p.Attempt.String(), chunks[0]
	p, err := s.FinishPart(s.ctx, ref, p, chunks)
	require.NoError(s, err)
	return p
}

// listAll puts the pages of a listing together.
func (s *suite) listAll(r meta.List) (keys, prefixes []string) {
	s.Helper()
	for {
		page, err := s.List(s.ctx, r)
		require.NoError(s, err)
		require.LessOrEqual(s, len(page.Objects)+len(page.Prefixes), r.Limit)
		for _, o := range page.Objects {
			keys = append(keys, o.Key)
		}
		prefixes = append(prefixes, page.Prefixes...)
		if !page.More {
			return keys, prefixes
		}
		require.Greater(s, page.Next, r.After)
		r.After = page.Next
	}
}

// garbage lists the attempts that are garbage, each with its key.
func (s *suite) garbage() map[uuid.UUID]string {
	s.Helper()
	attempts := make(map[uuid.UUID]string)
	for _, g := range s.allGarbage(time.Time{}) {
		for _, a := range g.Attempts {
			require.NotContains(s, attempts, a, "an attempt is listed once")
			attempts[a] = g.Key
		}
	}
	return attempts
}

func (s *suite) allGarbage(idleBefore time.Time) []meta.Garbage {
	s.Helper()
	all, err := everyGarbage(s.ctx, s.Store, idleBefore)
	require.NoError(s, err)
	return all
}

func everyGarbage(ctx context.Context, s meta.Store, idleBefore time.Time) ([]meta.Garbage, error) {
	var all []meta.Garbage
	var cursor []byte
	for {
		page, next, err := s.ListGarbage(ctx, meta.ListGarbage{Cursor: cursor, Limit: 2, IdleBefore: idleBefore})
		if err != nil {
			return nil, err
		}
		if all = append(all, page...); next == nil {
			return all, nil
		}
		cursor = next
	}
}

// rows is how many chunk rows an attempt has.
func (s *suite) rows(attempt uuid.UUID) int {
	s.Helper()
	chunks, err := s.Chunks(s.ctx, attempt, 0, 1000)
	require.NoError(s, err)
	return len(chunks)
}
