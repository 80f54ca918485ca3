package move

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	chunkmemory "deuxfleurs.fr/garage/pkg/chunk/memory"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/memory"
)

// site has metadata and chunks.
type site struct {
	*testing.T
	meta   meta.Store
	chunks *chunkmemory.Store
}

func newSite(t *testing.T) site {
	store, err := memory.New(clock.System{}, clock.SystemRandom)
	require.NoError(t, err)
	return site{t, store, chunkmemory.New(uuid.New())}
}

// chunksOf stores a body in chunks.
func (s site) chunksOf(attempt uuid.UUID, bodies ...string) (rows []meta.Chunk, size int64) {
	s.Helper()
	for _, body := range bodies {
		b := buffer.FromBytes([]byte(body))
		row := meta.Chunk{Offset: uint64(size), Length: uint32(len(body)), Hash: chunk.HashOf(b)}
		_, err := s.chunks.Put(s.Context(), row.Hash, b, chunk.Ref{Attempt: attempt, Offset: row.Offset})
		require.NoError(s, err)
		rows, size = append(rows, row), size+int64(len(body))
	}
	return rows, size
}

// put stores an object: inline, or in chunks if there are several.
func (s site) put(bucket uuid.UUID, key string, bodies ...string) {
	s.Helper()
	p := meta.Put{Bucket: bucket, Key: key, ETag: "etag of " + strings.Join(bodies, "+"), Checksum: meta.Checksum{Algorithm: "SHA256", Type: "FULL_OBJECT", Value: "of " + key}, Attributes: attributes(key)}
	if len(bodies) == 1 {
		p.Inline, p.Size = []byte(bodies[0]), int64(len(bodies[0]))
	} else {
		p.Upload = s.begin(bucket, key, false)
		p.Chunks, p.Size = s.chunksOf(p.Upload, bodies...)
		p.First = p.Chunks[0]
	}
	_, err := s.meta.PutObject(s.Context(), p)
	require.NoError(s, err)
}

func attributes(key string) meta.Attributes {
	return meta.Attributes{ContentType: "x/y", StorageClass: "REDUCED_REDUNDANCY", Headers: map[string]string{"Cache-Control": "no-store"},
		User: map[string]string{"of": key}, Tags: map[string]string{"tag": key}}
}

func (s site) begin(bucket uuid.UUID, key string, multipart bool) uuid.UUID {
	s.Helper()
	id, err := meta.NewUploadID(time.Now(), clock.SystemRandom)
	require.NoError(s, err)
	require.NoError(s, s.meta.BeginUpload(s.Context(), meta.Upload{UploadRef: meta.UploadRef{Bucket: bucket, Key: key, ID: id}, Multipart: multipart, Initiator: "key",
		Attributes: attributes(key), Checksum: meta.Checksum{Algorithm: "CRC32", Type: "COMPOSITE"}}))
	return id
}

func (s site) part(ref meta.UploadRef, number int, bodies ...string) meta.Part {
	s.Helper()
	p := meta.Part{Number: number, Attempt: uuid.New(), ETag: strings.Join(bodies, "+"), Checksum: meta.Checksum{Algorithm: "CRC32", Type: "COMPOSITE", Value: "of " + bodies[0]}}
	require.NoError(s, s.meta.BeginPart(s.Context(), ref, number, p.Attempt))
	rows, size := s.chunksOf(p.Attempt, bodies...)
	p.Size, p.First = size, rows[0]
	p, err := s.meta.FinishPart(s.Context(), ref, p, rows)
	require.NoError(s, err)
	return p
}

// text is everything in a bucket with its bytes, as clients may see it.
func (s site) text(b meta.Bucket) []string { return s.lines(b, true) }

// lines is text, with the times of objects or without.
func (s site) lines(b meta.Bucket, times bool) (lines []string) {
	s.Helper()
	page, err := s.meta.List(s.Context(), meta.List{Bucket: b.ID, Limit: 1000})
	require.NoError(s, err)
	for _, l := range page.Objects {
		o, err := s.meta.Object(s.Context(), b.ID, l.Key)
		require.NoError(s, err)
		if !times {
			o.Timestamp = 0
		}
		body := string(o.Inline)
		for _, p := range o.Parts {
			body += fmt.Sprint(p.Number, p.ETag, p.Checksum, s.bytes(p.Attempt, p.Size))
		}
		lines = append(lines, fmt.Sprint(o.Key, o.Timestamp, o.Size, o.ETag, o.Attributes, o.Checksum, o.Multipart, len(o.Parts), body))
	}
	uploads, err := s.meta.ListUploads(s.Context(), meta.ListUploads{Bucket: b.ID, Limit: 1000})
	require.NoError(s, err)
	for _, u := range uploads.Uploads {
		lines = append(lines, fmt.Sprint(u.Key, u.ID, u.Begun, u.Initiator, u.Attributes, u.Checksum))
		parts, err := s.meta.ListParts(s.Context(), u.UploadRef, 0, 1000)
		require.NoError(s, err)
		for _, p := range parts.Parts {
			lines = append(lines, fmt.Sprint(p.Number, p.Size, p.ETag, p.Checksum, s.bytes(p.Attempt, p.Size)))
		}
	}
	there, err := s.meta.Bucket(s.Context(), b.Name)
	require.NoError(s, err)
	return append(lines, fmt.Sprint(there))
}

func (s site) bytes(attempt uuid.UUID, size int64) (body string) {
	s.Helper()
	rows, err := s.meta.Chunks(s.Context(), attempt, 0, 1000)
	require.NoError(s, err)
	for _, c := range rows {
		data, err := s.chunks.Get(s.Context(), c.Hash)
		require.NoError(s, err)
		body += string(data.Bytes())
		data.Release()
	}
	require.Len(s, body, int(size))
	return body
}
