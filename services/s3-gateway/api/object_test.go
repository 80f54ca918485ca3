package api_test

import (
	"math/rand"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/services/s3-gateway/api/apitest"
)

const bucketName = "photos"

// start runs a gateway with one bucket, and a client that owns it.
func start(t testing.TB, o apitest.Options) (*apitest.Gateway, *apitest.Client) {
	t.Helper()
	g := apitest.Start(t, o)
	c := g.Client(t)
	require.Equal(t, http.StatusOK, c.Do(apitest.Request{Method: "PUT", Bucket: bucketName}).Status)
	return g, c
}

func random(size int) []byte {
	p := make([]byte, size)
	rand.New(rand.NewSource(int64(size))).Read(p)
	return p
}

func put(t testing.TB, c *apitest.Client, key string, p []byte) *apitest.Response {
	t.Helper()
	r := c.Do(apitest.Request{Method: "PUT", Bucket: bucketName, Key: key, Body: p})
	require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
	return r
}

func get(c *apitest.Client, key string) *apitest.Response {
	return c.Do(apitest.Request{Method: "GET", Bucket: bucketName, Key: key})
}

func TestAnObjectComesBackAsItWasPut(t *testing.T) {
	g, c := start(t, apitest.Options{})
	for _, size := range []int{0, 1, 4 << 10, 4<<10 + 1, 64 << 10, apitest.ChunkSize - 1, apitest.ChunkSize, apitest.ChunkSize + 1, 5*apitest.ChunkSize + 17, 20 * apitest.ChunkSize} {
		p := random(size)
		put(t, c, "key", p)
		r := get(c, "key")
		require.Equal(t, http.StatusOK, r.Status)
		require.NoError(t, r.Err)
		require.Equal(t, len(p), len(r.Body))
		require.Equal(t, p, r.Body)
		h := c.Do(apitest.Request{Method: "HEAD", Bucket: bucketName, Key: "key"})
		require.Equal(t, http.StatusOK, h.Status)
		require.Equal(t, r.Header.Get("Content-Length"), h.Header.Get("Content-Length"))
		require.Empty(t, h.Body)
	}
	require.Zero(t, g.Pool.Used(), "all memory is given back")
}
