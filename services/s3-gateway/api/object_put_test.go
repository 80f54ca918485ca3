package api_test

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/services/s3-gateway/api/apitest"
	"deuxfleurs.fr/garage/services/s3-gateway/checksum"
	"deuxfleurs.fr/garage/services/s3-gateway/sigv4/sigtest"
)

func putWith(c *apitest.Client, key string, body []byte, header map[string]string) *apitest.Response {
	return c.Do(apitest.Request{Method: "PUT", Bucket: bucketName, Key: key, Body: body, Header: header})
}

func TestKeysAreKeptByteForByte(t *testing.T) {
	_, c := start(t, apitest.Options{})
	keys := []string{
		"a/../b", "a//b", "./a", "a/", "/a", "//", "a+b", "a%2Fb", "100%25", "%", "a b", "größe/☃/🚀", "~tilde", "a?b#c&d=e", "tab\tend", "new\nline",
		"\x01\x7f", "'\"<>&", strings.Repeat("k", 1024), "a/./b", "a/b/../../c", "..a", "a..", "quote\"s", "\\back",
	}
	for _, key := range keys {
		put(t, c, key, []byte(key))
	}
	for _, key := range keys {
		r := get(c, key)
		require.Equal(t, 200, r.Status, "%q", key)
		require.Equal(t, key, string(r.Body))
	}
	require.ElementsMatch(t, keys, listAll(t, c, ""))
}

func TestKeysThatCannotBeAreRefused(t *testing.T) {
	_, c := start(t, apitest.Options{})
	for path, code := range map[string]string{
		strings.Repeat("k", 1025): "KeyTooLongError",
		"%ff":                     "InvalidURI",
		"a%c3%28":                 "InvalidURI",
		"..":                      "InvalidURI",
		"../a":                    "InvalidURI",
		"a/../../b":               "InvalidURI",
		"%2e%2e/a":                "InvalidURI",
	} {
		r := c.Do(apitest.Request{Method: "PUT", Path: "/" + bucketName + "/" + path, Body: []byte("x")})
		require.Equal(t, 400, r.Status, path)
		require.Equal(t, code, r.Code, path)
	}
	require.Empty(t, listAll(t, c, ""))
}

func TestWhatIsSaidOfAnObjectIsKept(t *testing.T) {
	_, c := start(t, apitest.Options{})
	kept := map[string]string{
		"Content-Type": "text/x-test; charset=utf-8", "Cache-Control": "max-age=3", "Content-Disposition": "inline", "Content-Language": "de, en",
		"Expires": "Thu, 01 Jan 1970 00:00:00 GMT", "x-amz-meta-colour": "blue", "x-amz-meta-Mixed-Case": "Value  with   spaces",
		"x-amz-website-redirect-location": "/elsewhere", "x-amz-storage-class": "REDUCED_REDUNDANCY", "Content-Encoding": "gzip",
	}
	require.Equal(t, 200, putWith(c, "a", []byte("x"), kept).Status)
	for _, method := range []string{"GET", "HEAD"} {
		r := c.Do(apitest.Request{Method: method, Bucket: bucketName, Key: "a", Header: map[string]string{"Accept-Encoding": "identity"}})
		for name, value := range kept {
			require.Equal(t, value, r.Header.Get(name), name)
		}
	}
	require.Equal(t, 200, putWith(c, "plain", []byte("x"), nil).Status)
	r := get(c, "plain")
	require.Equal(t, "binary/octet-stream", r.Header.Get("Content-Type"))
	require.Equal(t, "bytes", r.Header.Get("Accept-Ranges"))
	require.Empty(t, r.Header.Get("x-amz-storage-class"), "S3 does not name the standard one")
	require.Equal(t, "InvalidArgument", putWith(c, "b", nil, map[string]string{"x-amz-website-redirect-location": "ftp://x"}).Code)
}

func TestMetadataThatIsNotASCIIIsEncodedByRFC2047(t *testing.T) {
	_, c := start(t, apitest.Options{})
	const encoded = "=?UTF-8?b?Z3LDvMOfZQ==?="
	for _, sent := range []string{"grüße", "=?UTF-8?B?Z3LDvMOfZQ==?=", "=?utf-8?q?gr=C3=BC=C3=9Fe?="} {
		require.Equal(t, 200, putWith(c, "a", nil, map[string]string{"x-amz-meta-word": sent}).Status)
		require.Equal(t, encoded, get(c, "a").Header.Get("x-amz-meta-word"))
	}
}

func TestTheETagIsTheMD5(t *testing.T) {
	_, c := start(t, apitest.Options{})
	for _, size := range []int{0, 10, 100_000, 3 * apitest.ChunkSize} {
		p := random(size)
		sum := md5.Sum(p)
		want := `"` + hex.EncodeToString(sum[:]) + `"`
		require.Equal(t, []string{want}, put(t, c, "a", p).Header["Etag"])
		require.Equal(t, want, get(c, "a").Header.Get("ETag"))
		good := base64.StdEncoding.EncodeToString(sum[:])
		require.Equal(t, 200, putWith(c, "a", p, map[string]string{"Content-MD5": good}).Status)
		require.Equal(t, "BadDigest", putWith(c, "b", append(p, 'x'), map[string]string{"Content-MD5": good}).Code)
	}
	require.Equal(t, "InvalidDigest", putWith(c, "b", nil, map[string]string{"Content-MD5": "nonsense"}).Code)
	require.Equal(t, 404, get(c, "b").Status)
}

func TestChecksumsAreCheckedKeptAndShown(t *testing.T) {
	_, c := start(t, apitest.Options{})
	for _, size := range []int{0, 10, 100_000, 3 * apitest.ChunkSize} {
		p := random(size)
		for alg := checksum.CRC32; alg <= checksum.SHA256; alg++ {
			good := alg.Of(p)
			r := putWith(c, "a", p, map[string]string{alg.Header(): good})
			require.Equal(t, 200, r.Status, "%s", r.Body)
			require.Equal(t, good, r.Header.Get(alg.Header()))
			require.Equal(t, "FULL_OBJECT", r.Header.Get("x-amz-checksum-type"))

			require.Empty(t, get(c, "a").Header.Get(alg.Header()), "only when asked")
			r = getWith(c, "a", map[string]string{"x-amz-checksum-mode": "ENABLED"})
			require.Equal(t, good, r.Header.Get(alg.Header()))
			if size > 0 {
				r = getWith(c, "a", map[string]string{"x-amz-checksum-mode": "ENABLED", "Range": "bytes=0-0"})
				require.Empty(t, r.Header.Get(alg.Header()), "it is not that of a range")
			}

			bad := alg.Of(append(p, 'x'))
			r = putWith(c, "bad", p, map[string]string{alg.Header(): bad})
			require.Equal(t, "BadDigest", r.Code)
			require.Equal(t, 400, r.Status)
			require.Equal(t, "InvalidRequest", putWith(c, "bad", p, map[string]string{alg.Header(): "x"}).Code)
		}
	}
	require.Equal(t, 404, get(c, "bad").Status)
	p := random(1000)
	require.Equal(t, checksum.CRC64NVME.Of(p), put(t, c, "a", p).Header.Get("x-amz-checksum-crc64nvme"), "the one that S3 chooses itself")
}

func TestChunkedBodiesAreDecoded(t *testing.T) {
	_, c := start(t, apitest.Options{})
	for _, size := range []int{0, 100, 100_000, 3*apitest.ChunkSize + 5} {
		p := random(size)
		trailer := sigtest.Trailer{Name: "x-amz-checksum-crc32c", Value: checksum.CRC32C.Of(p)}
		body := c.Signer.Chunked("", p, 64<<10, trailer)
		send := func(body []byte, length int) *apitest.Response {
			return c.Do(apitest.Request{Method: "PUT", Bucket: bucketName, Key: "a", Body: body, Payload: sigtest.StreamUnsignedTrailer, Header: map[string]string{
				"x-amz-trailer": "x-amz-checksum-crc32c", "x-amz-decoded-content-length": strconv.Itoa(length), "Content-Encoding": "aws-chunked",
			}})
		}
		r := send(body, size)
		require.Equal(t, 200, r.Status, "%s", r.Body)
		require.Equal(t, trailer.Value, r.Header.Get(trailer.Name))
		got := get(c, "a")
		require.Equal(t, p, got.Body)
		require.Empty(t, got.Header.Get("Content-Encoding"))

		put(t, c, "a", []byte("before"))
		trailer.Value = checksum.CRC32C.Of(append(p, 'x'))
		require.Equal(t, "BadDigest", send(c.Signer.Chunked("", p, 64<<10, trailer), size).Code)
		require.Equal(t, 400, send(body, size+1).Status)
		require.Equal(t, "before", string(get(c, "a").Body))
	}
}

func TestLengthsMustBeRight(t *testing.T) {
	_, c := start(t, apitest.Options{})
	put(t, c, "a", []byte("before"))
	for name, tc := range map[string]struct {
		request apitest.Request
		code    string
	}{
		"unknown":                {apitest.Request{Stream: strings.NewReader("x"), Length: -1, Payload: sigtest.Unsigned}, "MissingContentLength"},
		"too large":              {apitest.Request{Stream: zeros{}, Length: 5<<30 + 1, Payload: sigtest.Unsigned}, "EntityTooLarge"},
		"decoded length missing": {apitest.Request{Body: []byte("0\r\n\r\n"), Payload: sigtest.StreamUnsignedTrailer}, "MissingContentLength"},
	} {
		tc.request.Method, tc.request.Bucket, tc.request.Key = "PUT", bucketName, "a"
		r, err := c.Try(tc.request)
		require.NoError(t, err, name)
		require.Equal(t, tc.code, r.Code, "%s: %d %s", name, r.Status, r.Body)
	}
	require.Equal(t, "before", string(get(c, "a").Body))
}

func TestATruncatedBodyLeavesNothing(t *testing.T) {
	g, c := start(t, apitest.Options{})
	for _, size := range []int{1000, 100_000, 3 * apitest.ChunkSize} {
		conn, err := net.Dial("tcp", g.Server.Listener.Addr().String())
		require.NoError(t, err)
		req := c.Build(apitest.Request{Method: "PUT", Bucket: bucketName, Key: "cut", Body: random(size), Payload: sigtest.Unsigned})
		var wire bytes.Buffer
		require.NoError(t, req.Write(&wire))
		_, err = conn.Write(wire.Bytes()[:wire.Len()-10])
		require.NoError(t, err)
		require.NoError(t, conn.(*net.TCPConn).CloseWrite())
		resp, err := http.ReadResponse(bufio.NewReader(conn), req)
		require.NoError(t, err)
		answer, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, 400, resp.StatusCode)
		require.Contains(t, string(answer), "IncompleteBody")
		conn.Close()
	}
	require.Equal(t, 404, get(c, "cut").Status)
	requireNothingLeft(t, g)
}

func TestAWriteHappensOnlyIfItsConditionHolds(t *testing.T) {
	_, c := start(t, apitest.Options{})
	for _, size := range []int{10, 2 * apitest.ChunkSize} {
		key := strconv.Itoa(size)
		one, two := random(size), random(size+1)
		require.Equal(t, 404, putWith(c, key, one, map[string]string{"If-Match": `"abc"`}).Status)
		r := putWith(c, key, one, map[string]string{"If-None-Match": "*"})
		require.Equal(t, 200, r.Status)
		etag := r.Header.Get("ETag")
		r = putWith(c, key, two, map[string]string{"If-None-Match": "*"})
		require.Equal(t, 412, r.Status)
		require.Equal(t, "PreconditionFailed", r.Code)
		require.Equal(t, 412, putWith(c, key, two, map[string]string{"If-Match": `"abc"`}).Status)
		require.Equal(t, one, get(c, key).Body)
		require.Equal(t, 200, putWith(c, key, two, map[string]string{"If-Match": etag}).Status)
		require.Equal(t, two, get(c, key).Body)

		remove := func(match string) int {
			return c.Do(apitest.Request{Method: "DELETE", Bucket: bucketName, Key: key, Header: map[string]string{"If-Match": match}}).Status
		}
		require.Equal(t, 412, remove(etag))
		require.Equal(t, 204, remove("*"))
		require.Equal(t, 404, remove("*"))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
