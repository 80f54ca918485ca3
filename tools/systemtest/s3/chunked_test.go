package s3

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/s3client"
	"deuxfleurs.fr/garage/tools/sigv4"
)

// putChunked sends a body as aws-chunked; alter may damage it after it was signed.
func putChunked(t *testing.T, bucket, key, form string, body []byte, piece int, trailer *sigv4.Trailer, alter func([]byte) []byte) *s3client.Response {
	t.Helper()
	req, err := sigv4.NewRequest("PUT", client.URL, bucket, key, "")
	require.NoError(t, err)
	framed := client.Signer.SignChunked(req, form, body, piece, trailer, time.Now())
	if alter != nil {
		framed = alter(framed)
	}
	return send(t, req, framed)
}

// send sends a request that is signed already.
func send(t *testing.T, req *http.Request, body []byte) *s3client.Response {
	t.Helper()
	s3client.SetBody(req, body)
	resp, err := client.HTTP.Do(req.WithContext(testContext(t)))
	require.NoError(t, err)
	defer resp.Body.Close()
	return read(t, resp)
}

func TestChunkedBodies(t *testing.T) {
	bucket := newBucket(t)
	for _, size := range []int{0, 1, 8191, 8192, 8193, 64 << 10, 1<<20 - 1, 1 << 20, 1<<20 + 1, 5 << 20} {
		for _, piece := range []int{8 << 10, 64 << 10, 1 << 20} {
			body := random(size)
			resp := putChunked(t, bucket, "key", sigv4.StreamingSigned, body, piece, nil, nil)
			require.Equal(t, 200, resp.Status, "%d in %d: %s %s", size, piece, resp.Code, resp.Message)
			require.Equal(t, etag(body), resp.Header.Get("ETag"))
			got := ok(t, request{Method: "GET", Bucket: bucket, Key: "key"})
			sameBody(t, body, got.Body)
			require.Empty(t, got.Header.Get("Content-Encoding"), "aws-chunked is a way to send, not an encoding of the object")
		}
	}
}

func TestChunkedKeepsTheOtherEncodings(t *testing.T) {
	bucket := newBucket(t)
	body := []byte("not really gzip")
	req, err := sigv4.NewRequest("PUT", client.URL, bucket, "key", "")
	require.NoError(t, err)
	trailer := &sigv4.Trailer{Name: "x-amz-checksum-crc32", Value: checksums["crc32"](body)}
	framed := client.Signer.SignChunked(req, sigv4.StreamingUnsignedTrailer, body, 8<<10, trailer, time.Now())
	req.Header.Set("Content-Encoding", "gzip,aws-chunked")
	client.Signer.Sign(req, sigv4.StreamingUnsignedTrailer, time.Now())
	require.Equal(t, 200, send(t, req, framed).Status)
	got := ok(t, request{Method: "GET", Bucket: bucket, Key: "key"})
	require.Equal(t, "gzip", got.Header.Get("Content-Encoding"))
	require.Equal(t, body, got.Body)
}

func TestDamagedChunkedBodiesStoreNothing(t *testing.T) {
	bucket, body := newBucket(t), bytes.Repeat([]byte("0123456789abcdef"), 8192)
	flip := func(find string, shift int) func([]byte) []byte {
		return func(b []byte) []byte {
			b = bytes.Clone(b)
			i := bytes.Index(b, []byte(find)) + len(find) + shift
			if b[i] == '0' {
				b[i] = '1'
			} else {
				b[i] = '0'
			}
			return b
		}
	}
	crc := &sigv4.Trailer{Name: "x-amz-checksum-crc32", Value: checksums["crc32"](body)}
	for _, c := range []struct {
		name, form, code string
		status           int
		trailer          *sigv4.Trailer
		alter            func([]byte) []byte
	}{
		{"a chunk's signature", sigv4.StreamingSigned, "SignatureDoesNotMatch", 403, nil, flip("chunk-signature=", 0)},
		{"a chunk's bytes", sigv4.StreamingSigned, "SignatureDoesNotMatch", 403, nil, flip("chunk-signature=", 64+2+1000)},
		{"the trailer's signature", sigv4.StreamingSignedTrailer, "SignatureDoesNotMatch", 403, crc, flip("x-amz-trailer-signature:", 3)},
		{"the trailer's value", sigv4.StreamingSignedTrailer, "", 0, crc, flip("x-amz-checksum-crc32:", 0)},
		{"a length that is not hexadecimal", sigv4.StreamingSigned, "", 400, nil, func(b []byte) []byte { b = bytes.Clone(b); b[0] = 'x'; return b }},
		{"a length without end", sigv4.StreamingUnsignedTrailer, "", 400, crc, func(b []byte) []byte { return bytes.Repeat([]byte("f"), len(b)) }},
		{"no line end after a chunk", sigv4.StreamingUnsignedTrailer, "", 400, crc, func(b []byte) []byte {
			return bytes.Replace(b, []byte("\r\n10000\r\n"), []byte("--10000\r\n"), 1)
		}},
		{"another trailer than announced", sigv4.StreamingUnsignedTrailer, "", 400, crc, func(b []byte) []byte {
			return bytes.Replace(b, []byte("x-amz-checksum-crc32:"), []byte("x-amz-checksum-crc3x:"), 1)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp := putChunked(t, bucket, "key", c.form, body, 64<<10, c.trailer, c.alter)
			require.GreaterOrEqual(t, resp.Status, 400)
			require.Less(t, resp.Status, 500, "%s %s", resp.Code, resp.Message)
			if c.status != 0 {
				require.Equal(t, c.status, resp.Status, "%s %s", resp.Code, resp.Message)
			}
			if c.code != "" {
				require.Equal(t, c.code, resp.Code)
			}
			require.NotEmpty(t, resp.Code)
			absent(t, bucket, "key")
		})
	}
	empty(t, bucket)
}

func TestChunkedLengthsMustAgree(t *testing.T) {
	bucket, body := newBucket(t), random(100_000)
	for _, decoded := range []string{"99999", "100001", "-1", "x", ""} {
		req, err := sigv4.NewRequest("PUT", client.URL, bucket, "key", "")
		require.NoError(t, err)
		trailer := &sigv4.Trailer{Name: "x-amz-checksum-crc32", Value: checksums["crc32"](body)}
		framed := client.Signer.SignChunked(req, sigv4.StreamingUnsignedTrailer, body, 64<<10, trailer, time.Now())
		req.Header.Set("X-Amz-Decoded-Content-Length", decoded)
		if decoded == "" {
			req.Header.Del("X-Amz-Decoded-Content-Length")
		}
		client.Signer.Sign(req, sigv4.StreamingUnsignedTrailer, time.Now())
		resp := send(t, req, framed)
		require.Contains(t, []int{400, 411}, resp.Status, "decoded length %q: %s", decoded, resp.Code)
		require.NotEmpty(t, resp.Code)
	}
	empty(t, bucket)
}
