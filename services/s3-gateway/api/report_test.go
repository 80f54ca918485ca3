package api

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestALineOfTheAccessLogIsBounded(t *testing.T) {
	long := strings.Repeat("x", 60<<10)
	hr := httptest.NewRequest("GET", "/", nil)
	hr.URL = &url.URL{Path: "/" + long, RawQuery: "prefix=" + long}
	hr.Host, hr.Method = long, long
	for _, name := range []string{"User-Agent", "Referer", "X-Forwarded-For"} {
		hr.Header.Set(name, long)
	}
	r := &Request{Request: hr, w: &Response{}, op: &unknownOperation, Name: long, Key: long + "\xff"}
	e := r.entry(time.Second, false)
	size := 0
	for _, text := range []string{e.Forwarded, e.Method, e.Host, e.Path, e.Query, e.Bucket, e.Key, e.UserAgent, e.Referer} {
		require.LessOrEqual(t, len(text), 4<<10)
		require.NotEmpty(t, text)
		require.True(t, utf8.ValidString(text))
		size += len(text)
	}
	require.LessOrEqual(t, size, 20<<10)
}
