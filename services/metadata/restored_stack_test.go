//go:build stack

package metadata

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// writeBody writes an object of that many chunks, none: inline, and returns its bytes.
func writeBody(t *testing.T, s meta.Store, chunks chunk.Store, bucket uuid.UUID, key string, pieces int) []byte {
	t.Helper()
	put := meta.Put{Bucket: bucket, Key: key, ETag: "etag-" + key, Attributes: meta.Attributes{User: map[string]string{"name": key}}}
	body := []byte("inline " + key)
	if put.Inline = body; pieces > 0 {
		ref := meta.UploadRef{Bucket: bucket, Key: key, ID: uuid.New()}
		require.NoError(t, s.BeginUpload(t.Context(), meta.Upload{UploadRef: ref}))
		put.Upload, put.Inline, body = ref.ID, nil, nil
		for i := range pieces {
			piece := bytes.Repeat(fmt.Appendf(nil, "%s %d ", key, i), 100)
			data := buffer.FromBytes(piece)
			c := meta.Chunk{Offset: uint64(len(body)), Length: uint32(len(piece)), Hash: chunk.HashOf(data)}
			_, err := chunks.Put(t.Context(), c.Hash, data, chunk.Ref{Attempt: ref.ID, Offset: c.Offset})
			require.NoError(t, err)
			data.Release()
			put.Chunks, body = append(put.Chunks, c), append(body, piece...)
		}
		put.First = put.Chunks[0]
	}
	put.Size = int64(len(body))
	_, err := s.PutObject(t.Context(), put)
	require.NoError(t, err)
	return body
}

// readBody reads an object as a gateway does.
func readBody(t *testing.T, s meta.Store, chunks chunk.Store, bucket uuid.UUID, key string) []byte {
	t.Helper()
	o, err := s.Object(t.Context(), bucket, key)
	require.NoError(t, err, key)
	require.Equal(t, map[string]string{"name": key}, o.User)
	body := append([]byte{}, o.Inline...)
	for _, p := range o.Parts {
		rows, err := s.Chunks(t.Context(), p.Attempt, 0, 1000)
		require.NoError(t, err)
		for _, c := range rows {
			data, err := chunks.Get(t.Context(), c.Hash)
			require.NoError(t, err)
			body = append(body, data.Bytes()...)
			data.Release()
		}
	}
	return body
}

// All metadata goes with its keyspace, and comes back from chunks alone; what other services of the keyspace are asked meanwhile
// they refuse.
func TestAKeyspaceThatWasDroppedIsRestoredFromChunks(t *testing.T) {
	c, d := cqlConfig(t), deps()
	d.Folder = t.TempDir()
	open := func() *Service {
		own := d
		own.NodeID, own.Registry = uuid.New(), prometheus.NewRegistry()
		s, err := New(c, own)
		require.NoError(t, err)
		return s
	}
	s := open()
	bucket := meta.Bucket{ID: uuid.New(), Name: "photos"}
	require.NoError(t, s.Store().CreateBucket(t.Context(), bucket))
	require.NoError(t, s.Store().CreateKey(t.Context(), meta.Key{AccessKey: "GK1", Secret: "secret"}))
	want := map[string][]byte{}
	for i := range 30 {
		key := fmt.Sprintf("object-%d", i)
		want[key] = writeBody(t, s.Store(), d.Chunks, bucket.ID, key, i%4)
	}
	taken, err := s.snapshots.take(t.Context(), nil)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	dropKeyspace(t, c)

	s = open()
	other := open()
	defer func() { require.NoError(t, errors.Join(s.Close(), other.Close())) }()
	_, err = other.Store().Bucket(t.Context(), "photos")
	require.True(t, errors.IsEntity(err, errors.NotFound, errors.Bucket), "all is gone: %v", err)
	restore := func(into meta.Store) error {
		server := &snapshotServer{snapshots: s.snapshots, into: into}
		return server.with(t.Context(), &metadatav1.SnapshotSource{Code: taken.GetRecoveryCode()}, func(in io.Reader) error {
			_, err := s.snapshots.restore(t.Context(), into, in, nil, nil)
			return err
		})
	}
	require.ErrorContains(t, restore(&dying{Store: s.Store(), calls: 5}), "broken off by the test")
	for _, each := range []*Service{s, other} {
		_, byName := each.Store().Bucket(t.Context(), "photos")
		_, why := each.Store().Attempts(t.Context(), meta.FindAttempts{IDs: []uuid.UUID{uuid.New()}, Everywhere: true})
		for _, err := range []error{byName, why, each.snapshots.takeDue(t.Context())} {
			require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
			require.ErrorContains(t, err, "being restored")
		}
	}
	require.NoError(t, restore(s.Store()))
	require.Eventually(t, func() bool {
		b, err := other.Store().Bucket(t.Context(), "photos")
		return err == nil && b.ID == bucket.ID
	}, time.Minute, 100*time.Millisecond, "the other service learns of the end")
	for key, body := range want {
		require.Equal(t, body, readBody(t, other.Store(), d.Chunks, bucket.ID, key), key)
	}
	k, err := other.Store().Key(t.Context(), "GK1")
	require.NoError(t, err)
	require.Equal(t, "secret", k.Secret)
}

// dying is a store to restore into that commits some objects and then no more.
type dying struct {
	meta.Store
	calls int64
}

func (d *dying) BeginUpload(ctx context.Context, u meta.Upload) error {
	if atomic.AddInt64(&d.calls, -1) < 0 {
		return errors.Newf(errors.Internal, "broken off by the test")
	}
	return d.Store.BeginUpload(ctx, u)
}
