package s3

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/s3client"
	"deuxfleurs.fr/garage/tools/sigv4"
)

func TestAnonymousRequestsAreDenied(t *testing.T) {
	bucket := newBucket(t)
	put(t, bucket, "key", []byte("private"))
	for _, r := range []request{
		{Method: "GET"}, {Method: "GET", Bucket: bucket, Query: "list-type=2"}, {Method: "GET", Bucket: bucket, Key: "key"},
		{Method: "PUT", Bucket: bucket, Key: "key", Body: []byte("x")}, {Method: "DELETE", Bucket: bucket, Key: "key"},
		{Method: "PUT", Bucket: bucket + "-new"}, {Method: "DELETE", Bucket: bucket},
	} {
		r.Anonymous = true
		refused(t, 403, "AccessDenied", r)
	}
	require.Equal(t, "private", string(get(t, bucket, "key")))
}

func TestUnknownKeysAndWrongSecrets(t *testing.T) {
	bucket := newBucket(t)
	for _, c := range []struct{ access, secret, code string }{
		{"GKunknownunknownunknown", client.SecretKey, "InvalidAccessKeyId"},
		{client.AccessKey, client.SecretKey + "x", "SignatureDoesNotMatch"},
		{client.AccessKey, "", "SignatureDoesNotMatch"},
	} {
		e := client.Endpoint
		e.AccessKey, e.SecretKey = c.access, c.secret
		other := s3client.New(e, 1)
		resp, err := other.Do(testContext(t), request{Method: "PUT", Bucket: bucket, Key: "key", Body: []byte("x")})
		require.NoError(t, err)
		checkError(t, 403, c.code, resp, c.access)
	}
	absent(t, bucket, "key")
}

func TestRegionsAndServicesOfTheScope(t *testing.T) {
	bucket := newBucket(t)
	with := func(region, service string) *s3client.Response {
		other := s3client.New(client.Endpoint, 1)
		other.Signer.Region, other.Signer.Service = region, service
		resp, err := other.Do(testContext(t), request{Method: "PUT", Bucket: bucket, Key: "key", Body: []byte("x")})
		require.NoError(t, err)
		return resp
	}
	require.Equal(t, 200, with(client.Region, "s3").Status)
	if *strict {
		checkError(t, 400, "AuthorizationHeaderMalformed", with("us-east-1", "s3"), "strict mode")
	} else {
		require.Equal(t, 200, with("us-east-1", "s3").Status, "accepted unless the mode is strict")
	}
	checkError(t, 400, "AuthorizationHeaderMalformed", with("atlantis-7", "s3"), "another region")
	require.GreaterOrEqual(t, with(client.Region, "iam").Status, 400, "another service")
}

func TestClockSkew(t *testing.T) {
	bucket := newBucket(t)
	for _, skew := range []time.Duration{-14 * time.Minute, 14 * time.Minute} {
		ok(t, request{Method: "PUT", Bucket: bucket, Key: "near", Body: []byte("x"), At: time.Now().Add(skew)})
	}
	for _, skew := range []time.Duration{-16 * time.Minute, 16 * time.Minute, -48 * time.Hour, 100 * 365 * 24 * time.Hour} {
		refused(t, 403, "RequestTimeTooSkewed", request{Method: "PUT", Bucket: bucket, Key: "far", Body: []byte("x"), At: time.Now().Add(skew)})
	}
	absent(t, bucket, "far")
}

// A signature covers method, host, path, query, headers and body: moved to any other, it is worth nothing.
func TestSignaturesCannotBeMoved(t *testing.T) {
	bucket, body := newBucket(t), []byte("signed body")
	put(t, bucket, "key", []byte("before"))
	base := request{Method: "PUT", Bucket: bucket, Key: "key", Body: body, Header: header("Content-Type", "text/plain", "X-Amz-Meta-A", "1")}
	for name, c := range map[string]struct {
		code  string
		alter func(*http.Request)
	}{
		"method": {"SignatureDoesNotMatch", func(r *http.Request) { r.Method = "DELETE" }},
		"path": {"SignatureDoesNotMatch", func(r *http.Request) {
			r.URL.Path, r.URL.RawPath = "/"+bucket+"/other", ""
		}},
		"path encoding": {"SignatureDoesNotMatch", func(r *http.Request) {
			r.URL.Path, r.URL.RawPath = "/"+bucket+"/key ", "/"+bucket+"/key%20"
		}},
		"query":         {"SignatureDoesNotMatch", func(r *http.Request) { r.URL.RawQuery = "x-id=PutObject" }},
		"host":          {"SignatureDoesNotMatch", func(r *http.Request) { r.Host = "localhost:1" }},
		"signed header": {"SignatureDoesNotMatch", func(r *http.Request) { r.Header.Set("X-Amz-Meta-A", "2") }},
		"body":          {"XAmzContentSHA256Mismatch", func(r *http.Request) { s3client.SetBody(r, []byte("other  body")) }},
		"signature": {"SignatureDoesNotMatch", func(r *http.Request) {
			v := r.Header.Get("Authorization")
			last := "0"
			if strings.HasSuffix(v, "0") {
				last = "1"
			}
			r.Header.Set("Authorization", v[:len(v)-1]+last)
		}},
		"payload hash": {"SignatureDoesNotMatch", func(r *http.Request) {
			r.Header.Set("X-Amz-Content-Sha256", sigv4.Unsigned)
		}},
		"an amz header added": {"", func(r *http.Request) { r.Header.Set("X-Amz-Meta-Added", "v") }},
	} {
		t.Run(name, func(t *testing.T) {
			r := base
			r.Alter = c.alter
			resp := do(t, r)
			require.GreaterOrEqual(t, resp.Status, 400)
			require.Less(t, resp.Status, 404)
			if c.code != "" {
				require.Equal(t, c.code, resp.Code)
			}
			require.Equal(t, "before", string(get(t, bucket, "key")))
			absent(t, bucket, "other")
		})
	}
	t.Run("the same request again is valid", func(t *testing.T) {
		at := time.Now()
		for range 2 {
			r := base
			r.At = at
			ok(t, r)
		}
	})
}

func TestMalformedAuthorization(t *testing.T) {
	bucket := newBucket(t)
	good, err := client.Build(request{Method: "PUT", Bucket: bucket, Key: "key", Body: []byte("x")})
	require.NoError(t, err)
	value := good.Header.Get("Authorization")
	for _, bad := range []string{
		"", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 ", "Basic dXNlcjpwYXNz", "AWS " + client.AccessKey + ":c2ln", "Bearer x",
		strings.Replace(value, "Credential=", "Credentials=", 1), strings.Replace(value, "/aws4_request", "", 1), strings.Replace(value, "host;", "", 1),
		strings.Replace(value, "Signature=", "Signature=zz", 1), strings.Replace(value, "SignedHeaders=", "SignedHeaders=;", 1), strings.Repeat(value, 3),
		value[:len(value)-10], strings.Replace(value, "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512", 1), strings.Repeat("A", 6000),
	} {
		resp := do(t, request{Method: "PUT", Bucket: bucket, Key: "key", Body: []byte("x"), Alter: func(r *http.Request) {
			r.Header.Set("Authorization", bad)
		}})
		require.Contains(t, []int{400, 403}, resp.Status, "%.100q", bad)
		require.NotEmpty(t, resp.Code, "%.100q", bad)
	}
	for _, drop := range []string{"X-Amz-Date", "X-Amz-Content-Sha256"} {
		resp := do(t, request{Method: "PUT", Bucket: bucket, Key: "key", Body: []byte("x"), Alter: func(r *http.Request) { r.Header.Del(drop) }})
		require.Contains(t, []int{400, 403}, resp.Status, drop)
	}
	absent(t, bucket, "key")
}

func presigned(t *testing.T, method, bucket, key, query string, expires time.Duration, at time.Time, alter func(*http.Request)) *s3client.Response {
	t.Helper()
	req, err := sigv4.NewRequest(method, client.URL, bucket, key, query)
	require.NoError(t, err)
	client.Signer.Presign(req, expires, at)
	if alter != nil {
		alter(req)
	}
	resp, err := client.HTTP.Do(req.WithContext(testContext(t)))
	require.NoError(t, err)
	defer resp.Body.Close()
	return read(t, resp)
}

func TestPresignedURLs(t *testing.T) {
	bucket, body := newBucket(t), random(70_000)
	resp := presigned(t, "PUT", bucket, "a key/ü+", "", time.Minute, time.Now(), func(r *http.Request) { s3client.SetBody(r, body) })
	require.Equal(t, 200, resp.Status, "%s %s", resp.Code, resp.Message)
	resp = presigned(t, "GET", bucket, "a key/ü+", "response-content-type=text%2Fx", time.Minute, time.Now(), nil)
	require.Equal(t, 200, resp.Status, "%s %s", resp.Code, resp.Message)
	require.Equal(t, "text/x", resp.Header.Get("Content-Type"))
	sameBody(t, body, resp.Body)

	now := time.Now()
	checkError(t, 403, "AccessDenied", presigned(t, "GET", bucket, "a key/ü+", "", time.Second, now.Add(-time.Minute), nil), "expired")
	checkError(t, 403, "AccessDenied", presigned(t, "GET", bucket, "a key/ü+", "", time.Hour, now.Add(2*time.Hour), nil), "not yet valid")
	for _, expires := range []time.Duration{-time.Second, 7*24*time.Hour + time.Second} {
		checkError(t, 400, "AuthorizationQueryParametersError", presigned(t, "GET", bucket, "a key/ü+", "", expires, now, nil), expires.String())
	}
	for name, alter := range map[string]func(*http.Request){
		"method": func(r *http.Request) { r.Method = "DELETE" },
		"key":    func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/"+bucket+"/other", "" },
		"expiry": func(r *http.Request) { r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "Expires=60", "Expires=66", 1) },
		"query":  func(r *http.Request) { r.URL.RawQuery += "&response-content-type=text%2Fhtml" },
	} {
		checkError(t, 403, "SignatureDoesNotMatch", presigned(t, "GET", bucket, "a key/ü+", "", time.Minute, now, alter), name)
	}
	sameBody(t, body, get(t, bucket, "a key/ü+"))
}

func TestPresignedURLsWithPartsMissing(t *testing.T) {
	bucket := newBucket(t)
	put(t, bucket, "key", []byte("x"))
	for _, name := range []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature"} {
		resp := presigned(t, "GET", bucket, "key", "", time.Minute, time.Now(), func(r *http.Request) {
			q := r.URL.Query()
			q.Del(name)
			r.URL.RawQuery = q.Encode()
		})
		require.Contains(t, []int{400, 403}, resp.Status, name)
		require.NotEmpty(t, resp.Code, name)
	}
}

func TestUnsignedPayloads(t *testing.T) {
	bucket, body := newBucket(t), random(3<<20)
	ok(t, request{Method: "PUT", Bucket: bucket, Key: "key", Body: body, Payload: sigv4.Unsigned})
	sameBody(t, body, get(t, bucket, "key"))
	for _, payload := range []string{"nonsense", strings.Repeat("0", 63), "STREAMING-NOTHING"} {
		resp := do(t, request{Method: "PUT", Bucket: bucket, Key: "bad", Body: body, Payload: payload})
		require.Equal(t, 400, resp.Status, payload)
	}
	refused(t, 400, "XAmzContentSHA256Mismatch", request{Method: "PUT", Bucket: bucket, Key: "bad", Body: body, Payload: strings.Repeat("0", 64)})
	absent(t, bucket, "bad")
}

func TestVirtualHostStyle(t *testing.T) {
	bucket := newBucket(t)
	put(t, bucket, "a/key", []byte("by path"))
	_, port, _ := strings.Cut(strings.TrimPrefix(client.URL, "http://"), ":")
	req, err := sigv4.NewRequest("GET", client.URL, "", "", "")
	require.NoError(t, err)
	req.Host = bucket + "." + rootDomain + ":" + port
	req.URL.Path = "/a/key"
	client.Signer.Sign(req, sigv4.Empty, time.Now())
	resp, err := client.HTTP.Do(req.WithContext(testContext(t)))
	require.NoError(t, err)
	defer resp.Body.Close()
	answer := read(t, resp)
	require.Equal(t, 200, answer.Status, "%s %s", answer.Code, answer.Message)
	require.Equal(t, "by path", string(answer.Body))
}
