package s3

import (
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/s3client"
)

func copyTo(t *testing.T, bucket, key, source string, headers ...string) *s3client.Response {
	t.Helper()
	h := header(headers...)
	h["X-Amz-Copy-Source"] = source
	return do(t, request{Method: "PUT", Bucket: bucket, Key: key, Header: h})
}

func TestCopyKeepsOrReplacesMetadata(t *testing.T) {
	bucket, other, body := newBucket(t), newBucket(t), random(2<<20+9)
	ok(t, request{Method: "PUT", Bucket: bucket, Key: "from", Body: body, Header: header("Content-Type", "text/a", "X-Amz-Meta-K", "v", "Cache-Control", "no-store")})
	for _, source := range []string{bucket + "/from", "/" + bucket + "/from"} {
		resp := copyTo(t, other, "kept", source)
		require.Equal(t, 200, resp.Status, resp.Message)
		var answer struct{ ETag, LastModified string }
		parse(t, resp.Body, &answer)
		require.Equal(t, etag(body), answer.ETag)
		require.NotEmpty(t, answer.LastModified)
	}
	kept := ok(t, request{Method: "GET", Bucket: other, Key: "kept"})
	sameBody(t, body, kept.Body)
	require.Equal(t, "text/a", kept.Header.Get("Content-Type"))
	require.Equal(t, "v", kept.Header.Get("X-Amz-Meta-K"))
	require.Equal(t, "no-store", kept.Header.Get("Cache-Control"))

	resp := copyTo(t, other, "replaced", bucket+"/from", "X-Amz-Metadata-Directive", "REPLACE", "Content-Type", "text/b", "X-Amz-Meta-New", "n")
	require.Equal(t, 200, resp.Status, resp.Message)
	replaced := ok(t, request{Method: "HEAD", Bucket: other, Key: "replaced"}).Header
	require.Equal(t, "text/b", replaced.Get("Content-Type"))
	require.Equal(t, "n", replaced.Get("X-Amz-Meta-New"))
	require.Empty(t, replaced.Get("X-Amz-Meta-K"))
	require.Empty(t, replaced.Get("Cache-Control"))

	ok(t, request{Method: "DELETE", Bucket: bucket, Key: "from"})
	sameBody(t, body, get(t, other, "kept"), "a copy does not depend on its source")
}

func TestCopyOntoItself(t *testing.T) {
	bucket, body := newBucket(t), random(1<<20+1)
	put(t, bucket, "key", body)
	checkError(t, 400, "InvalidRequest", copyTo(t, bucket, "key", bucket+"/key"), "copy onto itself changing nothing")
	resp := copyTo(t, bucket, "key", bucket+"/key", "X-Amz-Metadata-Directive", "REPLACE", "X-Amz-Meta-Now", "here")
	require.Equal(t, 200, resp.Status, resp.Message)
	got := ok(t, request{Method: "GET", Bucket: bucket, Key: "key"})
	require.Equal(t, "here", got.Header.Get("X-Amz-Meta-Now"))
	sameBody(t, body, got.Body)
}

func TestCopyConditions(t *testing.T) {
	bucket, body := newBucket(t), []byte("source")
	put(t, bucket, "from", body)
	for _, c := range []struct {
		status  int
		headers []string
	}{
		{200, []string{"X-Amz-Copy-Source-If-Match", etag(body)}},
		{412, []string{"X-Amz-Copy-Source-If-Match", `"other"`}},
		{200, []string{"X-Amz-Copy-Source-If-None-Match", `"other"`}},
		{412, []string{"X-Amz-Copy-Source-If-None-Match", etag(body)}},
		{412, []string{"X-Amz-Copy-Source-If-Unmodified-Since", "Thu, 01 Jan 2015 00:00:00 GMT"}},
		{200, []string{"X-Amz-Copy-Source-If-Modified-Since", "Thu, 01 Jan 2015 00:00:00 GMT"}},
	} {
		require.Equal(t, c.status, copyTo(t, bucket, "to", bucket+"/from", c.headers...).Status, "%v", c.headers)
	}
	checkError(t, 412, "PreconditionFailed", copyTo(t, bucket, "to", bucket+"/from", "If-None-Match", "*"), "the destination is there")
}

func TestCopyRefusesBadSources(t *testing.T) {
	bucket := newBucket(t)
	checkError(t, 404, "NoSuchKey", copyTo(t, bucket, "to", bucket+"/none"), "no key")
	checkError(t, 404, "NoSuchBucket", copyTo(t, bucket, "to", bucket+"-none/key"), "no bucket")
	for _, source := range []string{"/", bucket, "%zz/x"} {
		require.Equal(t, 400, copyTo(t, bucket, "to", source).Status, "%q", source)
	}
	absent(t, bucket, "to")
}

func TestCopyTakesKeysByteForByte(t *testing.T) {
	bucket := newBucket(t)
	for _, key := range awkwardKeys {
		if len(key) > 1000 {
			continue // The name of its copy would be too long.
		}
		body := random(50)
		put(t, bucket, key, body)
		resp := copyTo(t, bucket, "copy of "+key, bucket+"/"+escape(key))
		require.Equal(t, 200, resp.Status, "%q: %s", key, resp.Message)
		require.Equal(t, body, get(t, bucket, "copy of "+key), "%q", key)
	}
}
