package sigv4

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
	"deuxfleurs.fr/garage/services/s3-gateway/sigv4/sigtest"
)

// FuzzAuthorization: whatever the header says, verification answers with an S3 error and never lets it pass.
func FuzzAuthorization(f *testing.F) {
	for _, s := range []string{
		exampleCredential + "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
		"AWS4-HMAC-SHA256 Credential=a/b/c/20260301/garage/s3/aws4_request, SignedHeaders=host, Signature=00",
		"AWS4-HMAC-SHA256", "AWS a:b", "Basic YTpi", "AWS4-HMAC-SHA256 ,,,", "AWS4-HMAC-SHA256 Credential", "AWS4-HMAC-SHA256 Credential=////,SignedHeaders=;;,Signature==",
	} {
		f.Add(s, "/bucket/a%2Fb?x=1&X-Amz-Date=2")
	}
	f.Fuzz(func(t *testing.T, authorization, uri string) {
		r := &http.Request{Method: "GET", Host: "s3.example", RequestURI: uri, URL: &url.URL{}, Header: http.Header{
			"Authorization":        {authorization},
			"X-Amz-Date":           {"20260301T120000Z"},
			"X-Amz-Content-Sha256": {sigtest.Unsigned},
		}}
		_, err := verify(t, r)
		require.Error(t, err)
		_, ok := s3err.From(err)
		require.True(t, ok, "not an S3 error: %v", err)
	})
}

// FuzzCanonical: the canonical encoding is stable, and decodes to what the raw string decodes to.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"/a/../b", "a//b", "a+b", "%2F%25%", "caf\xc3\xa9", "%zz", "\xff\x00", "a%20b~", "%e2%82%ac"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		once, ok := appendCanonical(nil, raw, '/', false)
		plain, err := url.PathUnescape(raw)
		require.Equal(t, err == nil, ok)
		if !ok {
			return
		}
		twice, ok := appendCanonical(nil, string(once), '/', false)
		require.True(t, ok)
		require.Equal(t, string(once), string(twice))
		back, err := url.PathUnescape(string(once))
		require.NoError(t, err)
		require.Equal(t, plain, back)

		value, ok := canonicalParam(raw)
		require.True(t, ok)
		plain, err = url.QueryUnescape(raw)
		require.NoError(t, err)
		require.Equal(t, plain, decodeCanonical(value))
	})
}

// FuzzPresigned: no query makes verification panic or pass.
func FuzzPresigned(f *testing.F) {
	f.Add("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a%2F20260301%2Fgarage%2Fs3%2Faws4_request&X-Amz-Date=20260301T120000Z&X-Amz-Expires=10&X-Amz-SignedHeaders=host&X-Amz-Signature=00")
	f.Add("X-Amz-Signature=&X-Amz-Date=&a=%25")
	f.Add("AWSAccessKeyId=a&Signature=b&Expires=1")
	f.Fuzz(func(t *testing.T, query string) {
		r := &http.Request{Method: "GET", Host: "s3.example", RequestURI: "/?" + query, URL: &url.URL{}, Header: http.Header{}}
		res, err := verify(t, r)
		if err == nil {
			require.True(t, res.Anonymous)
			return
		}
		_, ok := s3err.From(err)
		require.True(t, ok, "not an S3 error: %v", err)
	})
}

// Any request signed by the plain signer verifies, and one altered byte makes it fail.
func TestWhatTheSignerSignsVerifies(t *testing.T) {
	v := garageVerifier()
	rapid.Check(t, func(rt *rapid.T) {
		key := rapid.SliceOf(rapid.Byte()).Draw(rt, "key")
		values := url.Values{}
		for _, n := range rapid.SliceOfN(rapid.String(), 0, 4).Draw(rt, "names") {
			if n != "" && !strings.HasPrefix(n, "X-Amz-") {
				values.Add(n, rapid.String().Draw(rt, "value"))
			}
		}
		var escaped strings.Builder
		for _, c := range key {
			if rapid.Bool().Draw(rt, "plain") && (c == '/' || unreserved[c]) {
				escaped.WriteByte(c)
			} else {
				escaped.WriteString("%" + string(upperHex[c>>4]) + string(upperHex[c&15]))
			}
		}
		target := "/bucket/" + escaped.String()
		if len(values) > 0 {
			target += "?" + values.Encode()
		}
		r := httptest.NewRequest(rapid.SampledFrom([]string{"GET", "PUT", "DELETE"}).Draw(rt, "method"), target, nil)
		if rapid.Bool().Draw(rt, "meta") {
			r.Header.Set("X-Amz-Meta-A", rapid.StringMatching(`[ -~]{0,20}`).Draw(rt, "meta value"))
		}
		if rapid.Bool().Draw(rt, "in the query") {
			garageSigner().Presign(r, 60e9)
		} else {
			garageSigner().Sign(r, sigtest.Unsigned)
		}
		_, err := v.Verify(t.Context(), r, now)
		require.NoError(rt, err)

		r.RequestURI = strings.Replace(r.RequestURI, "/bucket/", "/bucket/x", 1)
		_, err = v.Verify(t.Context(), r, now)
		require.ErrorIs(rt, err, s3err.SignatureDoesNotMatch)
	})
}
