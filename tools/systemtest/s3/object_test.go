package s3

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sizes lie on both sides of every threshold of the store: inline, index, file, chunk.
var sizes = []int{
	0, 1, 1 << 10, 1<<10 + 1, 4<<10 - 1, 4 << 10, 4<<10 + 1, 32<<10 - 1, 32 << 10, 32<<10 + 1,
	64<<10 - 1, 64 << 10, 64<<10 + 1, 1<<20 - 1, 1 << 20, 1<<20 + 1, 5<<20 + 7, 16<<20 - 1, 16 << 20, 16<<20 + 1,
}

func TestObjectsOfEverySizeComeBack(t *testing.T) {
	bucket := newBucket(t)
	for _, size := range sizes {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			body, key := random(size), fmt.Sprintf("object-%d", size)
			answer := put(t, bucket, key, body)
			require.Equal(t, etag(body), answer.Header.Get("ETag"))

			head := ok(t, request{Method: "HEAD", Bucket: bucket, Key: key})
			require.Equal(t, fmt.Sprint(size), head.Header.Get("Content-Length"))
			require.Equal(t, etag(body), head.Header.Get("ETag"))
			require.Equal(t, "bytes", head.Header.Get("Accept-Ranges"))
			require.Empty(t, head.Body)

			sameBody(t, body, get(t, bucket, key))
			ok(t, request{Method: "DELETE", Bucket: bucket, Key: key})
			absent(t, bucket, key)
		})
	}
	empty(t, bucket)
}

func TestEqualBodiesUnderManyKeysAreIndependent(t *testing.T) {
	bucket, body := newBucket(t), random(3<<20+5)
	for i := range 5 {
		put(t, bucket, fmt.Sprint(i), body)
	}
	for i := range 4 {
		ok(t, request{Method: "DELETE", Bucket: bucket, Key: fmt.Sprint(i)})
	}
	sameBody(t, body, get(t, bucket, "4"))
}

func TestOverwriteAndDeleteAreSeenAtOnce(t *testing.T) {
	bucket := newBucket(t)
	for i := range 20 {
		body := random(100 + i*8000)
		put(t, bucket, "key", body)
		sameBody(t, body, get(t, bucket, "key"))
		list := listObjects(t, bucket, "")
		require.Len(t, list.Contents, 1)
		require.Equal(t, int64(len(body)), list.Contents[0].Size)
		require.Equal(t, etag(body), list.Contents[0].ETag)
		if i%3 == 2 {
			resp := ok(t, request{Method: "DELETE", Bucket: bucket, Key: "key"})
			require.Equal(t, 204, resp.Status)
			absent(t, bucket, "key")
			require.Empty(t, listObjects(t, bucket, "").Contents)
		}
	}
}

func TestDeletingWhatIsNotThereSucceeds(t *testing.T) {
	require.Equal(t, 204, do(t, request{Method: "DELETE", Bucket: newBucket(t), Key: "none"}).Status)
}

func TestHeadersAndUserMetadataAreKept(t *testing.T) {
	bucket := newBucket(t)
	sent := header(
		"Content-Type", "text/x-garage; charset=utf-8", "Cache-Control", "max-age=17", "Content-Disposition", `attachment; filename="ü.txt"`,
		"Content-Encoding", "gzip", "Content-Language", "fr, de", "Expires", "Thu, 01 Dec 2033 16:00:00 GMT",
		"X-Amz-Meta-Colour", "dark blue", "X-Amz-Meta-Empty", "", "X-Amz-Meta-UPPER", "Value")
	ok(t, request{Method: "PUT", Bucket: bucket, Key: "key", Body: []byte("x"), Header: sent})
	for _, method := range []string{"GET", "HEAD"} {
		got := ok(t, request{Method: method, Bucket: bucket, Key: "key"}).Header
		for name, value := range sent {
			require.Equal(t, value, got.Get(name), "%s %s", method, name)
		}
		modified, err := http.ParseTime(got.Get("Last-Modified"))
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), modified, 5*time.Minute)
	}
}

func TestContentTypeHasADefault(t *testing.T) {
	bucket := newBucket(t)
	put(t, bucket, "key", []byte("x"))
	require.Equal(t, "binary/octet-stream", ok(t, request{Method: "GET", Bucket: bucket, Key: "key"}).Header.Get("Content-Type"))
}

func TestUserMetadataOverTwoKilobytesIsRefused(t *testing.T) {
	bucket := newBucket(t)
	refused(t, 400, "MetadataTooLarge", request{
		Method: "PUT", Bucket: bucket, Key: "key", Body: []byte("x"), Header: header("X-Amz-Meta-Big", strings.Repeat("v", 2<<10+1)),
	})
	absent(t, bucket, "key")
}

func TestResponseOverridesNeedASignature(t *testing.T) {
	bucket := newBucket(t)
	put(t, bucket, "key", []byte("x"))
	query := "response-cache-control=no-cache&response-content-disposition=inline&response-content-encoding=br" +
		"&response-content-language=es&response-content-type=text%2Fcsv&response-expires=Thu%2C%2001%20Dec%202044%2016%3A00%3A00%20GMT"
	for _, method := range []string{"GET", "HEAD"} {
		got := ok(t, request{Method: method, Bucket: bucket, Key: "key", Query: query}).Header
		require.Equal(t, "no-cache", got.Get("Cache-Control"))
		require.Equal(t, "inline", got.Get("Content-Disposition"))
		require.Equal(t, "br", got.Get("Content-Encoding"))
		require.Equal(t, "es", got.Get("Content-Language"))
		require.Equal(t, "text/csv", got.Get("Content-Type"))
		require.Equal(t, "Thu, 01 Dec 2044 16:00:00 GMT", got.Get("Expires"))
	}
	resp := do(t, request{Method: "GET", Bucket: bucket, Key: "key", Query: query, Anonymous: true})
	require.Contains(t, []int{400, 403}, resp.Status)
}

func TestRanges(t *testing.T) {
	bucket, size := newBucket(t), 3<<20+100
	body := random(size)
	put(t, bucket, "key", body)
	for _, c := range []struct {
		header     string
		from, to   int
		isComplete bool
	}{
		{header: "bytes=0-0", from: 0, to: 1},
		{header: "bytes=0-", from: 0, to: size},
		{header: "bytes=5-9", from: 5, to: 10},
		{header: "bytes=1048570-1048580", from: 1048570, to: 1048581},
		{header: "bytes=1048576-2097151", from: 1 << 20, to: 2 << 20},
		{header: "bytes=-1", from: size - 1, to: size},
		{header: "bytes=-100000000", from: 0, to: size},
		{header: fmt.Sprintf("bytes=%d-", size-1), from: size - 1, to: size},
		{header: fmt.Sprintf("bytes=10-%d", size*2), from: 10, to: size},
		{header: "bytes=9-5", to: size, isComplete: true},
		{header: "bytes=a-b", to: size, isComplete: true},
		{header: "lines=1-2", to: size, isComplete: true},
	} {
		t.Run(c.header, func(t *testing.T) {
			resp := ok(t, request{Method: "GET", Bucket: bucket, Key: "key", Header: header("Range", c.header)})
			sameBody(t, body[c.from:c.to], resp.Body)
			require.Equal(t, fmt.Sprint(c.to-c.from), resp.Header.Get("Content-Length"))
			if c.isComplete {
				require.Equal(t, 200, resp.Status)
				return
			}
			require.Equal(t, 206, resp.Status)
			require.Equal(t, fmt.Sprintf("bytes %d-%d/%d", c.from, c.to-1, size), resp.Header.Get("Content-Range"))
			head := ok(t, request{Method: "HEAD", Bucket: bucket, Key: "key", Header: header("Range", c.header)})
			require.Equal(t, 206, head.Status)
			require.Equal(t, fmt.Sprint(c.to-c.from), head.Header.Get("Content-Length"))
		})
	}
	for _, bad := range []string{fmt.Sprintf("bytes=%d-", size), fmt.Sprintf("bytes=%d-%d", size, size+1), "bytes=-0"} {
		refused(t, 416, "InvalidRange", request{Method: "GET", Bucket: bucket, Key: "key", Header: header("Range", bad)})
	}
	put(t, bucket, "empty", nil)
	refused(t, 416, "InvalidRange", request{Method: "GET", Bucket: bucket, Key: "empty", Header: header("Range", "bytes=0-0")})
}

func TestConditionalReads(t *testing.T) {
	bucket, body := newBucket(t), []byte("conditional")
	put(t, bucket, "key", body)
	past := time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)
	modified := ok(t, request{Method: "HEAD", Bucket: bucket, Key: "key"}).Header.Get("Last-Modified")
	for _, c := range []struct {
		headers map[string]string
		status  int
	}{
		{header("If-Match", etag(body)), 200},
		{header("If-Match", trimQuotes(etag(body))), 200},
		{header("If-Match", `"other"`), 412},
		{header("If-None-Match", `"other"`), 200},
		{header("If-None-Match", etag(body)), 304},
		{header("If-None-Match", "*"), 304},
		{header("If-Modified-Since", past), 200},
		{header("If-Modified-Since", modified), 304},
		{header("If-Unmodified-Since", past), 412},
		{header("If-Unmodified-Since", modified), 200},
		{header("If-Match", etag(body), "If-Unmodified-Since", past), 200},
		{header("If-None-Match", etag(body), "If-Modified-Since", past), 304},
		{header("If-None-Match", `"other"`, "If-Modified-Since", modified), 200},
		{header("If-Modified-Since", "not a date"), 200},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			resp := do(t, request{Method: method, Bucket: bucket, Key: "key", Header: c.headers})
			require.Equal(t, c.status, resp.Status, "%s %v", method, c.headers)
			if c.status == 412 && method == "GET" {
				require.Equal(t, "PreconditionFailed", resp.Code)
			}
			if c.status == 304 {
				require.Equal(t, etag(body), resp.Header.Get("ETag"), "%s %v", method, c.headers)
				require.Empty(t, resp.Body)
			}
		}
	}
	refused(t, 404, "NoSuchKey", request{Method: "GET", Bucket: bucket, Key: "none", Header: header("If-Match", "*")})
}

func TestConditionalWritesAndDeletes(t *testing.T) {
	bucket, first, second := newBucket(t), []byte("first"), []byte("second")
	write := func(body []byte, name, value string) request {
		return request{Method: "PUT", Bucket: bucket, Key: "key", Body: body, Header: header(name, value)}
	}
	refused(t, 404, "NoSuchKey", write(first, "If-Match", etag(first)))
	ok(t, write(first, "If-None-Match", "*"))
	refused(t, 412, "PreconditionFailed", write(second, "If-None-Match", "*"))
	require.Equal(t, first, get(t, bucket, "key"))
	refused(t, 412, "PreconditionFailed", write(second, "If-Match", etag(second)))
	require.Equal(t, first, get(t, bucket, "key"))
	ok(t, write(second, "If-Match", etag(first)))
	require.Equal(t, second, get(t, bucket, "key"))

	remove := func(value string) request {
		return request{Method: "DELETE", Bucket: bucket, Key: "key", Header: header("If-Match", value)}
	}
	refused(t, 412, "PreconditionFailed", remove(etag(first)))
	require.Equal(t, second, get(t, bucket, "key"))
	ok(t, remove(etag(second)))
	absent(t, bucket, "key")
}

func TestOfConditionalCreatorsOneWins(t *testing.T) {
	bucket := newBucket(t)
	for round := range 10 {
		const writers = 8
		key, results := fmt.Sprint("key", round), make(chan int, writers)
		for i := range writers {
			go func() {
				resp, err := client.Do(t.Context(), request{
					Method: "PUT", Bucket: bucket, Key: key, Body: fmt.Appendf(nil, "writer %d", i), Header: header("If-None-Match", "*"),
				})
				if err != nil {
					results <- 0
					return
				}
				results <- resp.Status
			}()
		}
		won := 0
		for range writers {
			status := <-results
			require.Contains(t, []int{200, 409, 412}, status)
			if status == 200 {
				won++
			}
		}
		require.Equal(t, 1, won, "round %d", round)
	}
}

func TestContentMD5IsChecked(t *testing.T) {
	bucket, body := newBucket(t), []byte("checked")
	ok(t, request{Method: "PUT", Bucket: bucket, Key: "good", Body: body, Header: header("Content-MD5", contentMD5(body))})
	refused(t, 400, "BadDigest", request{
		Method: "PUT", Bucket: bucket, Key: "bad", Body: body, Header: header("Content-MD5", contentMD5([]byte("other"))),
	})
	refused(t, 400, "InvalidDigest", request{Method: "PUT", Bucket: bucket, Key: "bad", Body: body, Header: header("Content-MD5", "nonsense")})
	absent(t, bucket, "bad")
}
