package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	chunkmemory "deuxfleurs.fr/garage/pkg/chunk/memory"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/services/s3-gateway/api/apitest"
	"deuxfleurs.fr/garage/services/s3-gateway/checksum"
)

func copyTo(c *apitest.Client, key, source string, header map[string]string) *apitest.Response {
	h := map[string]string{"x-amz-copy-source": source}
	for name, value := range header {
		h[name] = value
	}
	return c.Do(apitest.Request{Method: "PUT", Bucket: bucketName, Key: key, Header: h})
}

func TestACopyIsTheSameObjectWithoutNewChunks(t *testing.T) {
	g, c := start(t, apitest.Options{})
	for _, size := range []int{0, 100, 3*apitest.ChunkSize + 7} {
		p := random(size)
		r := putWith(c, "a b+%", p, map[string]string{"x-amz-meta-colour": "blue", "Content-Type": "text/x"})
		before := chunkStatus(t, g)
		got := copyTo(c, "copy", "/"+bucketName+"/a%20b%2B%25", nil)
		require.Equal(t, 200, got.Status, "%s", got.Body)
		require.Contains(t, string(got.Body), "<CopyObjectResult")
		require.Contains(t, string(got.Body), r.Header.Get("x-amz-checksum-crc64nvme"))
		require.Equal(t, before, chunkStatus(t, g), "no chunk is added")
		cp := get(c, "copy")
		require.Equal(t, p, cp.Body)
		require.Equal(t, r.Header.Get("ETag"), cp.Header.Get("ETag"))
		require.Equal(t, "blue", cp.Header.Get("x-amz-meta-colour"))
		require.Equal(t, "text/x", cp.Header.Get("Content-Type"))

		require.Equal(t, 204, c.Do(apitest.Request{Method: "DELETE", Bucket: bucketName, Key: "a b+%"}).Status)
		require.Equal(t, p, get(c, "copy").Body, "the copy lives on its own")
	}
}

func chunkStatus(t *testing.T, g *apitest.Gateway) int64 {
	t.Helper()
	st, err := g.Chunks.(*chunkmemory.Store).Status(t.Context())
	require.NoError(t, err)
	return st.Chunks
}

func TestACopyMayBeDescribedAnew(t *testing.T) {
	_, c := start(t, apitest.Options{})
	p := random(100)
	putWith(c, "a", p, map[string]string{"x-amz-meta-colour": "blue", "Cache-Control": "no-cache", "x-amz-website-redirect-location": "/x"})
	replaced := map[string]string{"x-amz-metadata-directive": "REPLACE", "x-amz-meta-shape": "round", "Content-Type": "text/y"}
	require.Equal(t, 200, copyTo(c, "b", bucketName+"/a", replaced).Status)
	r := get(c, "b")
	require.Equal(t, "round", r.Header.Get("x-amz-meta-shape"))
	require.Empty(t, r.Header.Get("x-amz-meta-colour"))
	require.Empty(t, r.Header.Get("Cache-Control"))
	require.Equal(t, "text/y", r.Header.Get("Content-Type"))

	r = copyTo(c, "a", bucketName+"/a", nil)
	require.Equal(t, 200, r.Status, "the redirect location goes: that is a change")
	r = copyTo(c, "a", bucketName+"/a", nil)
	require.Equal(t, "InvalidRequest", r.Code, "to itself, unchanged")
	require.Equal(t, 200, copyTo(c, "a", bucketName+"/a", replaced).Status)
	require.Equal(t, "round", get(c, "a").Header.Get("x-amz-meta-shape"))
	require.Equal(t, p, get(c, "a").Body)
	require.Equal(t, 200, copyTo(c, "a", bucketName+"/a", map[string]string{"x-amz-storage-class": "REDUCED_REDUNDANCY"}).Status)
	require.Equal(t, "InvalidArgument", copyTo(c, "a", bucketName+"/a", map[string]string{"x-amz-metadata-directive": "MERGE"}).Code)
}

func TestACopyComputesTheChecksumThatIsAsked(t *testing.T) {
	_, c := start(t, apitest.Options{})
	for _, size := range []int{0, 100, 2*apitest.ChunkSize + 3} {
		p := random(size)
		put(t, c, "a", p)
		r := copyTo(c, "b", bucketName+"/a", map[string]string{"x-amz-checksum-algorithm": "SHA256"})
		require.Equal(t, 200, r.Status, "%s", r.Body)
		want := checksum.SHA256.Of(p)
		require.Contains(t, string(r.Body), want)
		got := getWith(c, "b", map[string]string{"x-amz-checksum-mode": "ENABLED"})
		require.Equal(t, p, got.Body)
		require.Equal(t, want, got.Header.Get("x-amz-checksum-sha256"))
	}
	require.Equal(t, "InvalidArgument", copyTo(c, "b", bucketName+"/a", map[string]string{"x-amz-checksum-algorithm": "XOR"}).Code)
}

func TestACopyHappensOnlyIfItsConditionsHold(t *testing.T) {
	_, c := start(t, apitest.Options{})
	etag := put(t, c, "a", []byte("x")).Header.Get("ETag")
	now := time.Now().UTC()
	for header, status := range map[[2]string]int{
		{"x-amz-copy-source-if-match", etag}:                                                   200,
		{"x-amz-copy-source-if-match", `"x"`}:                                                  412,
		{"x-amz-copy-source-if-none-match", etag}:                                              412,
		{"x-amz-copy-source-if-none-match", `"x"`}:                                             200,
		{"x-amz-copy-source-if-modified-since", now.Add(-time.Hour).Format(http.TimeFormat)}:   200,
		{"x-amz-copy-source-if-unmodified-since", now.Add(-time.Hour).Format(http.TimeFormat)}: 412,
	} {
		require.Equal(t, status, copyTo(c, "b", bucketName+"/a", map[string]string{header[0]: header[1]}).Status, header)
	}
	require.Equal(t, 412, copyTo(c, "b", bucketName+"/a", map[string]string{"If-None-Match": "*"}).Status)
	require.Equal(t, 200, copyTo(c, "b", bucketName+"/a", map[string]string{"If-Match": etag}).Status)
}

func TestACopyNeedsASourceThatMayBeRead(t *testing.T) {
	g, c := start(t, apitest.Options{})
	put(t, c, "a", []byte("x"))
	require.Equal(t, 200, c.Do(apitest.Request{Method: "PUT", Bucket: "other"}).Status)
	grant(t, g, "other", apitest.OtherAccessKey, identity.All)
	r := g.Other(t).Do(apitest.Request{Method: "PUT", Bucket: "other", Key: "stolen", Header: map[string]string{"x-amz-copy-source": bucketName + "/a"}})
	require.Equal(t, 403, r.Status)
	for source, code := range map[string]string{
		"": "InvalidArgument", "bucket": "InvalidArgument", "/" + bucketName + "/": "InvalidArgument", "nowhere/a": "NoSuchBucket",
		bucketName + "/b": "NoSuchKey", bucketName + "/a?versionId=1": "InvalidArgument", bucketName + "/%zz": "InvalidArgument",
		"arn:aws:s3:us-east-1:1:accesspoint/x/object/a": "NotImplemented",
	} {
		require.Equal(t, code, copyTo(c, "c", source, nil).Code, source)
	}
	require.Equal(t, 200, copyTo(c, "c", bucketName+"/a?versionId=null", nil).Status)
}
