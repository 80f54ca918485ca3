package cluster

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/cluster/local"
	"deuxfleurs.fr/garage/tools/s3client"
	"deuxfleurs.fr/garage/tools/sigv4"
)

// awkwardKeys are what a proxy may want to clean, join, decode or refuse.
var awkwardKeys = []string{
	"a/../b", "a/./b", "a//b", "./a", "//a", "/a", "a/", "a//", "..a", "a+b", "a b", " a", "a ", "a%2Fb", "a%25b", "%", "%zz", "+", "a?b", "a#b", "a&b=c", "a;b",
	"a:b", "a\\b", "\"quoted\"", "'", "<tag>&amp;", "é", "e\u0301", "日本語/ファイル", "😀", "a~b", "a*b", "a(b)", "a!b", "a$b", "a@b", "a,b", "[a]", "{a}", "a|b", "a^b",
	"`a`", "tab\tkey", "new\nline", "return\r", "\x01control", "\x7f", "\u200bzero", strings.Repeat("é", 512), "?uploads", "a=b", ".", "a/..", "a/.",
}

// secure is a client of the HTTPS entry point, whose certificate Traefik made for itself.
func (f *fixture) secure() *s3client.Client {
	e := target.Endpoint
	e.URL = "https://" + f.cluster.AddressTLS()
	c := s3client.New(e, 8)
	c.HTTP.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // nobody vouches for it
	return c
}

// how is a way to name a bucket and to sign.
type how struct {
	name                 string
	virtualHost, presign bool
}

var ways = []how{{"path", false, false}, {"virtual host", true, false}, {"path, presigned", false, true}, {"virtual host, presigned", true, true}}

// send sends a request in one of the ways.
func (f *fixture) send(c *s3client.Client, w how, method, bucket, key string, body []byte) *s3client.Response {
	f.Helper()
	req, err := sigv4.NewRequest(method, c.URL, bucket, key, "")
	require.NoError(f, err)
	if w.virtualHost {
		_, port, err := net.SplitHostPort(req.URL.Host)
		require.NoError(f, err)
		req.Host = bucket + "." + local.RootDomain + ":" + port
		path := strings.TrimPrefix(sigv4.Path(req.URL), "/"+bucket)
		req.URL.RawPath, req.URL.Path = path, strings.TrimPrefix(req.URL.Path, "/"+bucket)
	}
	if body != nil {
		s3client.SetBody(req, body)
	}
	if w.presign {
		c.Signer.Presign(req, time.Hour, time.Now())
	} else {
		c.Signer.Sign(req, sigv4.Hash(body), time.Now())
	}
	resp, err := c.HTTP.Do(req.WithContext(f.ctx))
	require.NoError(f, err, "%s %s %q", w.name, method, key)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(f, err)
	return &s3client.Response{Status: resp.StatusCode, Header: resp.Header, Body: answer}
}

func TestKeysPassTraefikByteForByte(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	for _, c := range []*s3client.Client{f.client, f.secure()} {
		bucket := f.bucket()
		for i, w := range ways {
			for j, key := range awkwardKeys {
				// Each way reads what another has stored.
				put, get := w, ways[(i+j)%len(ways)]
				body := fmt.Appendf(nil, "%s %s %d", c.URL, w.name, j)
				resp := f.send(c, put, "PUT", bucket, key, body)
				require.Equal(t, 200, resp.Status, "PUT %q at %s, %s: %s", key, c.URL, put.name, resp.Body)
				resp = f.send(c, get, "GET", bucket, key, nil)
				require.Equal(t, 200, resp.Status, "GET %q at %s, %s: %s", key, c.URL, get.name, resp.Body)
				require.Equal(t, string(body), string(resp.Body), "%q at %s, %s", key, c.URL, get.name)
			}
		}
	}
}

func TestALargeBodyPassesTraefik(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	body := make([]byte, 20<<20+1)
	_, _ = rand.Read(body)
	for _, c := range []*s3client.Client{f.client, f.secure()} {
		bucket := f.bucket()
		for _, w := range ways {
			require.Equal(t, 200, f.send(c, w, "PUT", bucket, "large", body).Status, w.name)
			require.True(t, bytes.Equal(body, f.send(c, w, "GET", bucket, "large", nil).Body), "other bytes: %s", w.name)
		}
	}
}

// head is the text of a signed request without its body.
func (f *fixture) head(r request, length int, extra string) string {
	f.Helper()
	r.Payload = sigv4.Unsigned
	req, err := f.client.Build(r)
	require.NoError(f, err)
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n%s", r.Method, sigv4.Path(req.URL), req.URL.Host, length, extra)
	for name := range req.Header {
		fmt.Fprintf(&b, "%s: %s\r\n", name, req.Header.Get(name))
	}
	return b.String() + "\r\n"
}

func (f *fixture) dial() net.Conn {
	f.Helper()
	conn, err := net.DialTimeout("tcp", f.cluster.Address(), 30*time.Second)
	require.NoError(f, err)
	f.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestExpectContinueThroughTraefik(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	bucket, body := f.bucket(), []byte("a body that waits")
	conn := f.dial()
	require.NoError(t, conn.SetDeadline(time.Now().Add(2*time.Minute)))
	_, err := io.WriteString(conn, f.head(request{Method: "PUT", Bucket: bucket, Key: "key"}, len(body), "Expect: 100-continue\r\n"))
	require.NoError(t, err)
	in := bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 100 Continue\r\n", line)
	line, err = in.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "\r\n", line)
	_, err = conn.Write(body)
	require.NoError(t, err)
	resp, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, string(body), string(f.ok(f.client, request{Method: "GET", Bucket: bucket, Key: "key"}).Body))
}

// Traefik takes the word about a client's address from the proxies that it was told of, and from nobody else.
func TestTheAccessLogHasTheClientsTrueAddress(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	for from, logged := range map[string]string{"127.0.0.1": "127.0.0.1", local.TrustedProxy: "203.0.113.7"} {
		c := s3client.New(target.Endpoint, 1)
		dialer := net.Dialer{Timeout: 30 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c.HTTP.Transport.(*http.Transport).DialContext = dialer.DialContext
		bucket := fmt.Sprintf("forwarded-%d", time.Now().UnixNano())
		f.do(c, request{Method: "GET", Bucket: bucket, Key: "key", Header: map[string]string{
			"X-Forwarded-For": "203.0.113.7", "X-Real-Ip": "203.0.113.8", "Forwarded": "for=203.0.113.9",
		}})
		c.HTTP.CloseIdleConnections()
		line := f.accessLog(bucket)
		var entry struct{ ClientHost, RequestPath string }
		require.NoError(t, json.Unmarshal([]byte(line), &entry))
		require.Equal(t, "/"+bucket+"/key", entry.RequestPath)
		require.Equal(t, logged, entry.ClientHost, "from %s", from)
		require.NotContains(t, strings.ReplaceAll(line, logged, ""), "203.0.113.", "from %s", from)
	}
}

// accessLog returns the line of Traefik's access log about a request to a bucket that has had only one.
func (f *fixture) accessLog(bucket string) (line string) {
	f.Helper()
	tasks, err := f.cluster.Tasks(f.ctx)
	require.NoError(f, err)
	f.until("the request is in the access log", func() error {
		for _, task := range tasks {
			if task.Job != local.JobTraefik {
				continue
			}
			logs, err := filepath.Glob(strings.TrimSuffix(task.Log, "stderr.0") + "stdout.*")
			if err != nil {
				return err
			}
			for _, log := range logs {
				text, err := os.ReadFile(log)
				if err != nil {
					return err
				}
				for line = range strings.Lines(string(text)) {
					if strings.Contains(line, bucket) && strings.HasSuffix(line, "\n") {
						return nil
					}
				}
			}
		}
		return errFew
	})
	return line
}
