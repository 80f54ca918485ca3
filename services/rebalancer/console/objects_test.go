package console

import (
	"context"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
)

// s3 is a server that remembers requests. That real ones are taken is tested with the real server.
type s3 struct {
	mu   sync.Mutex // requests that were given up may still be served
	last *http.Request
	body string
	give func(http.ResponseWriter)
}

func withS3(t *testing.T) (*served, *s3) {
	t.Helper()
	fake := &s3{give: func(http.ResponseWriter) {}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fake.mu.Lock()
		fake.last, fake.body = r, string(body)
		fake.mu.Unlock()
		fake.give(w)
	}))
	t.Cleanup(server.Close)
	return serve(t, func(c *Config, d *Deps) {
		c.ShareEndpoint = "https://s3.example.org"
		d.S3 = func(context.Context) (*url.URL, error) { return url.Parse(server.URL) }
	}).signIn(), fake
}

func TestAnObjectIsHandedOverAsAFileAndNothingElse(t *testing.T) {
	s, fake := withS3(t)
	fake.give = func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Disposition", "inline")
		w.Header().Set("Set-Cookie", "garage-console=mine")
		_, _ = io.WriteString(w, "<script>alert(1)</script>")
	}
	const name = `a dir//../what? "100%" ü.html`
	resp, body := s.ask("GET", "object?"+url.Values{"key": {"GK1"}, "bucket": {"photos"}, "object": {name}, "version": {"v1"}}.Encode(), "", nil)
	require.Equal(t, 200, resp.StatusCode, body)
	require.Equal(t, "<script>alert(1)</script>", body)
	require.Equal(t, "application/octet-stream", resp.Header.Get("Content-Type"))
	require.True(t, strings.HasPrefix(resp.Header.Get("Content-Disposition"), "attachment"))
	require.Contains(t, resp.Header.Get("Content-Security-Policy"), "sandbox")
	require.Empty(t, resp.Cookies())
	require.Equal(t, "/photos/a%20dir//../what%3F%20%22100%25%22%20%C3%BC.html?versionId=v1", fake.last.RequestURI, "the name is not tidied up")
	require.Contains(t, fake.last.Header.Get("Authorization"), "Credential=GK1/20300101/garage/s3/")
	require.Empty(t, fake.last.Cookies(), "the session stays here")
	require.Equal(t, "GetObject", s.audit.last(t).Action)
	require.Contains(t, s.audit.last(t).Request, `"version":"v1"`)
	require.Equal(t, 404, s.code("GET", "object?key=GK9&bucket=b&object=o", "", nil), "no such key")
	require.Equal(t, 400, s.code("GET", "object?key=GK1&bucket=b", "", nil))
	require.Equal(t, 400, s.code("GET", "object?bucket=b&object=o", "", nil))
}

func TestWhatS3RefusesIsRefusedWithItsReason(t *testing.T) {
	s, fake := withS3(t)
	fake.give = func(w http.ResponseWriter) {
		w.WriteHeader(403)
		_, _ = io.WriteString(w, "<Error><Code>AccessDenied</Code><Message>no right to write</Message></Error>")
	}
	resp, body := s.ask("PUT", "object?key=GK1&bucket=photos&object=o", "bytes", nil)
	require.Equal(t, 403, resp.StatusCode)
	require.Contains(t, body, "AccessDenied")
	require.Contains(t, body, "no right to write")
	require.Contains(t, s.audit.last(t).Problem, "no right to write")
	require.Equal(t, 200, s.code("GET", "session", "", nil), "the session goes on")
}

func TestChangesOfObjectsAreHandedOnAndNoted(t *testing.T) {
	s, fake := withS3(t)
	require.Equal(t, 200, s.code("PUT", "object?key=GK1&bucket=photos&object=a/b", "the bytes", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }))
	require.Equal(t, "PUT /photos/a/b the bytes text/plain", fake.last.Method+" "+fake.last.RequestURI+" "+fake.body+" "+fake.last.Header.Get("Content-Type"))
	require.Empty(t, fake.last.Header.Get(tokenHeader))
	e := s.audit.last(t)
	require.Equal(t, "PutObject", e.Action)
	require.Equal(t, tokenUser, e.Operator)
	require.JSONEq(t, `{"key":"GK1","bucket":"photos","object":"a/b"}`, e.Request)
	require.Equal(t, 200, s.code("PUT", "object?key=GK1&bucket=photos&object=empty", "", nil))
	require.Zero(t, fake.last.ContentLength, "also of nothing it is known how long it is: %v", fake.last.TransferEncoding)
	fake.last = nil
	require.Equal(t, 403, s.code("DELETE", "object?key=GK1&bucket=photos&object=a", "", func(r *http.Request) { r.Header.Del(tokenHeader) }))
	require.Nil(t, fake.last)
	require.Equal(t, 200, s.code("DELETE", "object?key=GK1&bucket=photos&object=a", "", nil))
	require.Equal(t, http.MethodDelete, fake.last.Method)
	require.Equal(t, "DeleteObject", s.audit.last(t).Action)
	require.Equal(t, 400, s.code("DELETE", "object?key=GK1&bucket=photos", "", nil), "a bucket is not deleted like that")
}

func TestAListingHasObjectsPrefixesAndVersions(t *testing.T) {
	s, fake := withS3(t)
	fake.give = func(w http.ResponseWriter) {
		_, _ = io.WriteString(w, `<ListVersionsResult><IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker><NextVersionIdMarker>v</NextVersionIdMarker>
			<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes><Version><Key>a</Key><VersionId>1</VersionId><IsLatest>true</IsLatest><Size>5</Size></Version>
			<DeleteMarker><Key>b</Key><VersionId>2</VersionId></DeleteMarker></ListVersionsResult>`)
	}
	_, body := s.ask("GET", "objects?key=GK1&bucket=photos&prefix=x+y/&versions=1&after=j", "", nil)
	require.JSONEq(t, `{"prefixes":["p/"],"objects":[{"key":"a","version":"1","latest":true,"modified":"","size":5,"etag":"","class":"","deleted":false},
		{"key":"b","version":"2","latest":false,"modified":"","size":0,"etag":"","class":"","deleted":true}],"after":"k","afterVersion":"v"}`, body)
	require.Equal(t, "/photos?delimiter=%2F&key-marker=j&max-keys=500&prefix=x%20y%2F&versions=", fake.last.RequestURI)
	require.Len(t, s.audit.entries(), 1, "to look is no news: there is that somebody signed in")
}

func TestALinkIsGoodForATimeAndForOthers(t *testing.T) {
	s, fake := withS3(t)
	resp, body := s.ask("POST", "link?key=GK1&bucket=photos&object=a+b&seconds=3600", "", nil)
	require.Equal(t, 200, resp.StatusCode, body)
	require.Contains(t, body, "https://s3.example.org/photos/a%20b?")
	require.Contains(t, body, "X-Amz-Expires=3600")
	require.NotContains(t, body, "top secret")
	require.Nil(t, fake.last, "S3 is not asked")
	require.Equal(t, "PresignGetObject", s.audit.last(t).Action)
	require.JSONEq(t, `{"key":"GK1","bucket":"photos","object":"a b","seconds":"3600"}`, s.audit.last(t).Request)
	for _, seconds := range []string{"0", "-1", "604801", "x", ""} {
		require.Equal(t, 400, s.code("POST", "link?key=GK1&bucket=photos&object=a&seconds="+seconds, "", nil), seconds)
	}
}

func TestSettingsOfEndpointsAreURLs(t *testing.T) {
	for _, bad := range []string{"127.0.0.1:3900", "ftp://x", "http://", "http://x/path", "http://%"} {
		require.ErrorContains(t, Config{S3Endpoint: bad}.Validate(), "console.s3-endpoint", bad)
	}
	require.NoError(t, Config{S3Endpoint: "http://127.0.0.1:3900/", ShareEndpoint: "https://s3.example.org"}.Validate())
}

func TestABucketWithASlashIsRefused(t *testing.T) {
	s, fake := withS3(t)
	for _, what := range []string{"GET objects", "GET object", "PUT object", "DELETE object", "POST link", "POST upload", "PUT upload", "DELETE upload"} {
		method, path, _ := strings.Cut(what, " ")
		require.Equal(t, 400, s.code(method, path+"?key=GK1&bucket=a/b&object=o&seconds=5&upload=u&number=1", "", nil), what)
	}
	require.Nil(t, fake.last)
}

func TestAnS3ServerThatSpeaksTLSIsKnownByItsCertificate(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<ListBucketResult/>") }))
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	for _, c := range []struct {
		ca, name string
		code     int
	}{{"", "", 503}, {ca, "", 200}, {ca, "example.com", 200}, {ca, "s3.example.org", 503}} {
		s := serve(t, func(config *Config, _ *Deps) {
			config.S3Endpoint, config.S3CA, config.S3Name = server.URL, c.ca, c.name
		}).signIn()
		resp, body := s.ask("GET", "objects?key=GK1&bucket=b", "", nil)
		require.Equal(t, c.code, resp.StatusCode, "%q %q: %s", c.ca, c.name, body)
		if c.code != 200 {
			require.Contains(t, body, "set console.s3-ca")
		}
	}
	_, err := New(Config{S3CA: filepath.Join(t.TempDir(), "none")}, Deps{API: &api{}, As: as, Admin: admin{}, Credentials: credentials, Audit: &audit{},
		Clock: clock.System{}, Random: clock.SystemRandom, Logger: slog.New(slog.DiscardHandler)})
	require.ErrorContains(t, err, "console.s3-ca")
}
