package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/services/s3-gateway/api/apitest"
)

func getWith(c *apitest.Client, key string, header map[string]string) *apitest.Response {
	return c.Do(apitest.Request{Method: "GET", Bucket: bucketName, Key: key, Header: header})
}

func TestARangeGivesTheBytesItNames(t *testing.T) {
	_, c := start(t, apitest.Options{})
	const size = 3*apitest.ChunkSize + 100
	for key, p := range map[string][]byte{"inline": random(1000), "chunks": random(size)} {
		put(t, c, key, p)
		n := len(p)
		for _, rng := range [][2]int{{0, 1}, {0, n}, {1, n}, {n - 1, n}, {500, 501}, {min(apitest.ChunkSize, n) - 1, n}, {n / 2, n/2 + 1}, {n / 3, n - n/3}} {
			r := getWith(c, key, map[string]string{"Range": fmt.Sprintf("bytes=%d-%d", rng[0], rng[1]-1)})
			require.Equal(t, http.StatusPartialContent, r.Status)
			require.Equal(t, fmt.Sprintf("bytes %d-%d/%d", rng[0], rng[1]-1, n), r.Header.Get("Content-Range"))
			require.Equal(t, p[rng[0]:rng[1]], r.Body)
		}
		r := getWith(c, key, map[string]string{"Range": "bytes=-7"})
		require.Equal(t, p[n-7:], r.Body)
		r = getWith(c, key, map[string]string{"Range": "bytes=990-"})
		require.Equal(t, p[990:], r.Body)
		r = getWith(c, key, map[string]string{"Range": fmt.Sprintf("bytes=10-%d", n+1000)})
		require.Equal(t, p[10:], r.Body)
		r = getWith(c, key, map[string]string{"Range": fmt.Sprintf("bytes=-%d", n+1000)})
		require.Equal(t, http.StatusPartialContent, r.Status)
		require.Equal(t, p, r.Body)
	}
}

func TestARangeThatIsNoneIsIgnoredOrRefused(t *testing.T) {
	_, c := start(t, apitest.Options{})
	put(t, c, "a", []byte("0123456789"))
	put(t, c, "empty", nil)
	for _, rng := range []string{"bytes=0-1,3-4", "bytes=5-4", "bytes=", "bytes=-", "bytes=a-b", "items=0-1", "0-1", "bytes=1", "bytes=--1", "bytes=+1-2"} {
		r := getWith(c, "a", map[string]string{"Range": rng})
		require.Equal(t, http.StatusOK, r.Status, rng)
		require.Equal(t, "0123456789", string(r.Body), rng)
	}
	for _, rng := range []string{"bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99999999999999999999-"} {
		r := getWith(c, "a", map[string]string{"Range": rng})
		require.Equal(t, http.StatusRequestedRangeNotSatisfiable, r.Status, rng)
		require.Equal(t, "InvalidRange", r.Code, rng)
		require.Contains(t, string(r.Body), "<ActualObjectSize>10</ActualObjectSize>")
	}
	require.Equal(t, 416, getWith(c, "empty", map[string]string{"Range": "bytes=0-"}).Status)
	h := c.Do(apitest.Request{Method: "HEAD", Bucket: bucketName, Key: "a", Header: map[string]string{"Range": "bytes=2-3"}})
	require.Equal(t, 206, h.Status)
	require.Equal(t, "2", h.Header.Get("Content-Length"))
}

func TestIfRangeDecidesWhetherTheRangeHolds(t *testing.T) {
	_, c := start(t, apitest.Options{})
	etag := put(t, c, "a", []byte("0123456789")).Header.Get("ETag")
	require.Equal(t, 206, getWith(c, "a", map[string]string{"Range": "bytes=0-1", "If-Range": etag}).Status)
	require.Equal(t, 200, getWith(c, "a", map[string]string{"Range": "bytes=0-1", "If-Range": `"other"`}).Status)
}

func TestConditionsAreEvaluatedInTheirOrder(t *testing.T) {
	_, c := start(t, apitest.Options{})
	etag := put(t, c, "a", []byte("x")).Header.Get("ETag")
	modified, err := http.ParseTime(get(c, "a").Header.Get("Last-Modified"))
	require.NoError(t, err)
	at := func(d time.Duration) string { return modified.Add(d).Format(http.TimeFormat) }
	for _, tc := range []struct {
		header map[string]string
		status int
	}{
		{map[string]string{"If-Match": etag}, 200},
		{map[string]string{"If-Match": "*"}, 200},
		{map[string]string{"If-Match": `"x", ` + etag}, 200},
		{map[string]string{"If-Match": etag[1 : len(etag)-1]}, 200},
		{map[string]string{"If-Match": `"x"`}, 412},
		{map[string]string{"If-None-Match": etag}, 304},
		{map[string]string{"If-None-Match": "*"}, 304},
		{map[string]string{"If-None-Match": "W/" + etag}, 304},
		{map[string]string{"If-None-Match": `"x"`}, 200},
		{map[string]string{"If-Modified-Since": at(0)}, 304},
		{map[string]string{"If-Modified-Since": at(-time.Second)}, 200},
		{map[string]string{"If-Modified-Since": at(time.Hour)}, 200}, // in the future: no condition
		{map[string]string{"If-Modified-Since": "yesterday"}, 200},
		{map[string]string{"If-Unmodified-Since": at(0)}, 200},
		{map[string]string{"If-Unmodified-Since": at(-time.Second)}, 412},
		{map[string]string{"If-Match": etag, "If-Unmodified-Since": at(-time.Hour)}, 200},
		{map[string]string{"If-None-Match": `"x"`, "If-Modified-Since": at(0)}, 200},
		{map[string]string{"If-None-Match": etag, "If-Modified-Since": at(-time.Hour)}, 304},
		{map[string]string{"If-Match": `"x"`, "If-None-Match": etag}, 412},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			r := c.Do(apitest.Request{Method: method, Bucket: bucketName, Key: "a", Header: tc.header})
			require.Equal(t, tc.status, r.Status, "%s %v", method, tc.header)
			if tc.status == 304 {
				require.Equal(t, etag, r.Header.Get("ETag"))
				require.Empty(t, r.Body)
			}
		}
	}
}

func TestTheQueryOverridesHeadersOfTheAnswer(t *testing.T) {
	_, c := start(t, apitest.Options{})
	put(t, c, "a", []byte("x"))
	want := map[string]string{
		"response-content-type": "text/x-test", "response-content-language": "fr", "response-expires": "Thu, 01 Jan 1970 00:00:00 GMT",
		"response-cache-control": "no-cache", "response-content-disposition": `attachment; filename="ü.txt"`, "response-content-encoding": "x-test",
	}
	q := url.Values{}
	for name, value := range want {
		q.Set(name, value)
	}
	r := c.Do(apitest.Request{Method: "GET", Bucket: bucketName, Key: "a", Query: q.Encode()})
	require.Equal(t, 200, r.Status)
	for name, value := range want {
		require.Equal(t, value, r.Header.Get(name[len("response-"):]))
	}
	r = c.Do(apitest.Request{Method: "GET", Bucket: bucketName, Key: "a", Query: q.Encode(), Presign: time.Minute})
	require.Equal(t, "text/x-test", r.Header.Get("Content-Type"))
	r = c.Do(apitest.Request{Method: "GET", Bucket: bucketName, Key: "a", Query: q.Encode(), Anonymous: true})
	require.NotEqual(t, 200, r.Status)
}

func TestAnObjectThatWasPutAtOnceHasOnePart(t *testing.T) {
	_, c := start(t, apitest.Options{})
	put(t, c, "a", []byte("0123456789"))
	part := func(query string, header map[string]string) *apitest.Response {
		return c.Do(apitest.Request{Method: "GET", Bucket: bucketName, Key: "a", Query: query, Header: header})
	}
	r := part("partNumber=1", nil)
	require.Equal(t, 206, r.Status)
	require.Equal(t, "bytes 0-9/10", r.Header.Get("Content-Range"))
	require.Empty(t, r.Header.Get("x-amz-mp-parts-count"))
	require.Equal(t, "InvalidPartNumber", part("partNumber=2", nil).Code)
	require.Equal(t, "InvalidArgument", part("partNumber=0", nil).Code)
	require.Equal(t, "InvalidRequest", part("partNumber=1", map[string]string{"Range": "bytes=0-1"}).Code)
}

func TestOnlyTheNullVersionExists(t *testing.T) {
	_, c := start(t, apitest.Options{})
	put(t, c, "a", []byte("x"))
	for _, method := range []string{"GET", "HEAD", "DELETE"} {
		r := c.Do(apitest.Request{Method: method, Bucket: bucketName, Key: "a", Query: "versionId=3sL4kqtJlcpXroDTDmJ"})
		require.Equal(t, 400, r.Status)
	}
	require.Equal(t, 200, c.Do(apitest.Request{Method: "GET", Bucket: bucketName, Key: "a", Query: "versionId=null"}).Status)
}
