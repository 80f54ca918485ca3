package api

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzParseRange(f *testing.F) {
	for _, v := range []string{"bytes=0-0", "bytes=1-", "bytes=-1", "bytes=-0", "bytes=5-4", "bytes=0-1,2-3", "bytes=", "bytes=18446744073709551616-", "bytes= 1-2", "items=0-1", ""} {
		f.Add(v, int64(10))
	}
	f.Fuzz(func(t *testing.T, v string, size int64) {
		if size < 0 {
			return
		}
		b, ok, err := parseRange(v, size)
		if err != nil || !ok {
			require.Zero(t, b)
			return
		}
		require.GreaterOrEqual(t, b.from, int64(0))
		require.Less(t, b.from, b.to, "a range has bytes")
		require.LessOrEqual(t, b.to, size)
		// What it says in the answer is itself a range of the same bytes.
		again, ok, err := parseRange("bytes="+itoa(b.from)+"-"+itoa(b.to-1), size)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, b, again)
	})
}

func FuzzAddress(f *testing.F) {
	for _, v := range []string{"/", "/b", "/b/", "/b/k", "/b//k", "//k", "/b/%2e%2e/k", "/b/a%2Fb?x=%20+", "*", "http://h/b/k?q", "/b/%ff", "/%", "/b/k?%zz", "/b/a/../../c"} {
		f.Add(v)
	}
	a := &API{Config: Config{RootDomains: []string{"s3.example.org"}}}
	f.Fuzz(func(t *testing.T, target string) {
		r := requestFor(target)
		if err := a.address(r); err != nil {
			return
		}
		require.LessOrEqual(t, len(r.Key), maxKey)
		require.False(t, climbs(r.Key))
		if r.Name == "" {
			require.Empty(t, r.Key)
		}
	})
}

func requestFor(target string) *Request {
	return &Request{Request: &http.Request{Method: http.MethodGet, RequestURI: target, Host: "localhost"}}
}
