//go:build !race

// The race detector allocates by itself and empties pools at random.

package api_test

import (
	"bytes"
	"context"
	"net/http"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/services/s3-gateway/api/apitest"
	"deuxfleurs.fr/garage/services/s3-gateway/sigv4/sigtest"
)

// sink is a chunk store that takes everything and gives the same chunk for each hash, without copying.
type sink struct {
	chunk.Store
	data []byte
}

func (s sink) Put(context.Context, chunk.Hash, *buffer.Buffer, chunk.Ref) (chunk.Outcome, error) {
	return chunk.Stored, nil
}

func (s sink) Get(context.Context, chunk.Hash) (*buffer.Buffer, error) {
	return buffer.FromBytes(s.data), nil
}

// discard is an http.ResponseWriter that keeps nothing.
type discard struct {
	header http.Header
	status int
	n      int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { d.n += len(p); return len(p), nil }

// serve runs a request without a connection, many times, and says what one took.
func serve(t *testing.T, g *apitest.Gateway, c *apitest.Client, r apitest.Request) (allocs, allocated float64) {
	t.Helper()
	handler := g.API.Handler()
	req := c.Build(r)
	req.RequestURI = req.URL.RequestURI()
	once := func() {
		d := &discard{header: make(http.Header)}
		again := *req
		again.Body = http.NoBody
		if len(r.Body) > 0 {
			again.Body = readCloser{bytes.NewReader(r.Body)}
		}
		handler.ServeHTTP(d, &again)
		require.Equal(t, http.StatusOK, d.status)
	}
	once()
	const runs = 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		once()
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / runs, float64(after.TotalAlloc-before.TotalAlloc) / runs
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

func TestBodiesAreNotCopied(t *testing.T) {
	const size = 32 * apitest.ChunkSize // 8 MiB
	g, c := start(t, apitest.Options{Chunks: func(s chunk.Store) chunk.Store { return sink{s, make([]byte, apitest.ChunkSize)} }})
	p := random(size)
	_, allocated := serve(t, g, c, apitest.Request{Method: "PUT", Bucket: bucketName, Key: "a", Body: p, Payload: sigtest.Unsigned})
	require.Less(t, allocated, float64(size/16), "bytes allocated for a PUT of %d", size)
	_, allocated = serve(t, g, c, apitest.Request{Method: "GET", Bucket: bucketName, Key: "a"})
	require.Less(t, allocated, float64(size/64), "bytes allocated for a GET of %d", size)
}

func TestSmallRequestsAllocateLittle(t *testing.T) {
	g, c := start(t, apitest.Options{})
	put(t, c, "a", random(1000))
	for _, tc := range []struct {
		method string
		body   []byte
		allocs float64
	}{{"HEAD", nil, 60}, {"GET", nil, 70}, {"PUT", random(1000), 100}} {
		allocs, _ := serve(t, g, c, apitest.Request{Method: tc.method, Bucket: bucketName, Key: "a", Body: tc.body, Payload: sigtest.Unsigned})
		t.Logf("%s: %.0f allocations", tc.method, allocs)
		require.Less(t, allocs, tc.allocs, tc.method)
	}
}
