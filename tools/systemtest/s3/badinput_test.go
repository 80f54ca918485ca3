package s3

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/sigv4"
)

// dial opens a connection for requests that no HTTP client would send.
func dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(client.URL, "http://"), 5*time.Second)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(90*time.Second)))
	return conn
}

// head writes a signed request's head with a length that need not be true.
func head(t *testing.T, conn net.Conn, bucket, key string, length int, extra ...string) {
	t.Helper()
	req, err := sigv4.NewRequest("PUT", client.URL, bucket, key, "")
	require.NoError(t, err)
	client.Signer.Sign(req, sigv4.Unsigned, time.Now())
	_, err = fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", sigv4.Path(req.URL), req.URL.Host, length)
	require.NoError(t, err)
	for name := range req.Header {
		_, err = fmt.Fprintf(conn, "%s: %s\r\n", name, req.Header.Get(name))
		require.NoError(t, err)
	}
	_, err = io.WriteString(conn, strings.Join(extra, "")+"\r\n")
	require.NoError(t, err)
}

// A client may close its side when it has sent all. Whatever stands before the gateway, success is said only of what happened.
func TestWhoClosesTheirSideIsNotToldOfASuccessThatWasNone(t *testing.T) {
	bucket := newBucket(t)
	for range 40 {
		conn := dial(t)
		require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
		head(t, conn, bucket, "key", 0)
		require.NoError(t, conn.(*net.TCPConn).CloseWrite())
		answer, _ := io.ReadAll(conn)
		if strings.Contains(string(answer), " 200 ") {
			require.Contains(t, strings.ToLower(string(answer)), "etag:", "%s", answer)
		}
		_ = conn.Close()
	}
}

func TestTruncatedBodiesStoreNothing(t *testing.T) {
	bucket := newBucket(t)
	for _, size := range []int{10, 5000, 100_000, 3 << 20} {
		conn := dial(t)
		head(t, conn, bucket, "key", size)
		_, err := conn.Write(random(size - 1))
		require.NoError(t, err)
		if size%2 == 0 {
			require.NoError(t, conn.(*net.TCPConn).CloseWrite())
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err == nil {
				// A proxy in front answers for itself when its client breaks off.
				proxied := deploy.Kind() == deploy.Cluster && (resp.StatusCode == 499 || resp.StatusCode == 502)
				require.True(t, proxied || resp.StatusCode == 400, resp.Status)
			}
		}
		require.NoError(t, conn.Close())
		absent(t, bucket, "key")
	}
	empty(t, bucket)
}

func TestLengthsThatAreWrong(t *testing.T) {
	bucket := newBucket(t)
	for _, length := range []string{"-1", "x", "99999999999999999999", "1e3", "0x10", " "} {
		conn := dial(t)
		_, err := fmt.Fprintf(conn, "PUT /%s/key HTTP/1.1\r\nHost: localhost\r\nContent-Length: %s\r\n\r\n", bucket, length)
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err, length)
		require.GreaterOrEqual(t, resp.StatusCode, 400, length)
		require.Less(t, resp.StatusCode, 500, length)
	}
	conn := dial(t)
	head(t, conn, bucket, "key", 5<<30+1, "Expect: 100-continue\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.Equal(t, 400, resp.StatusCode)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, string(body), "EntityTooLarge")
	empty(t, bucket)
}

func TestABodyWithoutLengthIsRefused(t *testing.T) {
	bucket := newBucket(t)
	refused(t, 411, "MissingContentLength", request{
		Method: "PUT", Bucket: bucket, Key: "key", Payload: sigv4.Unsigned, Stream: strings.NewReader("chunked transfer"), Length: -1,
	})
	empty(t, bucket)
}

func TestOversizeHeaders(t *testing.T) {
	bucket := newBucket(t)
	for name, r := range map[string]request{
		"one header of 100 kB": {Method: "PUT", Bucket: bucket, Key: "key", Body: []byte("x"), Header: header("X-Amz-Meta-Big", strings.Repeat("h", 100_000))},
		"one header of 2 MB":   {Method: "PUT", Bucket: bucket, Key: "key", Body: []byte("x"), Header: header("X-Other", strings.Repeat("h", 2<<20))},
		"a query of 100 kB":    {Method: "PUT", Bucket: bucket, Key: "key", Body: []byte("x"), Query: "q=" + strings.Repeat("q", 100_000)},
	} {
		resp, err := client.Do(testContext(t), r)
		if err != nil {
			// The connection was cut while the client was still sending: as good a refusal as any.
			continue
		}
		require.GreaterOrEqual(t, resp.Status, 400, name)
		require.Less(t, resp.Status, 500, name)
	}
	many := map[string]string{}
	for i := range 3000 {
		many[fmt.Sprintf("X-Amz-Meta-%d", i)] = "v"
	}
	resp, err := client.Do(testContext(t), request{Method: "PUT", Bucket: bucket, Key: "key", Body: []byte("x"), Header: many})
	if err == nil {
		require.GreaterOrEqual(t, resp.Status, 400)
		require.Less(t, resp.Status, 500)
	}
	empty(t, bucket)
}

func TestGarbageInsteadOfHTTP(t *testing.T) {
	for _, text := range []string{
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "GET\r\n\r\n", "GET / HTTP/9.9\r\nHost: x\r\n\r\n", "\x00\x00\x00\x00\r\n\r\n",
		"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		conn := dial(t)
		require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
		_, err := io.WriteString(conn, text)
		require.NoError(t, err)
		require.NoError(t, conn.(*net.TCPConn).CloseWrite())
		answer, _ := io.ReadAll(conn)
		if len(answer) > 0 {
			require.NotContains(t, string(answer), " 200 ", "%q", text)
			require.NotContains(t, string(answer), " 500 ", "%q", text)
		}
	}
	ok(t, request{Method: "GET"})
}

func TestSlowClientsDoNotHoldTheOthers(t *testing.T) {
	bucket := newBucket(t)
	const slow = 100
	for range slow {
		conn := dial(t)
		head(t, conn, bucket, "slow", 1<<20)
		_, err := conn.Write([]byte("begun and never finished"))
		require.NoError(t, err)
	}
	for i := range 20 {
		body := random(300_000)
		start := time.Now()
		put(t, bucket, "fast", body)
		sameBody(t, body, get(t, bucket, "fast"))
		require.Less(t, time.Since(start), 20*time.Second, "round %d", i)
	}
	absent(t, bucket, "slow")
}

func TestMethodsAndResourcesThatAreNotThere(t *testing.T) {
	bucket := newBucket(t)
	put(t, bucket, "key", []byte("x"))
	for _, r := range []request{
		{Method: "PATCH", Bucket: bucket, Key: "key"}, {Method: "PATCH", Bucket: bucket}, {Method: "POST"}, {Method: "DELETE"}, {Method: "PUT"},
	} {
		resp := do(t, r)
		require.Equal(t, 405, resp.Status, "%+v", r)
		require.Equal(t, "MethodNotAllowed", resp.Code, "%+v", r)
	}
}

// What S3 has and this service has not yet is refused by name and changes nothing.
func TestWhatIsNotThereYetSaysSo(t *testing.T) {
	bucket := newBucket(t)
	put(t, bucket, "key", []byte("x"))
	for _, query := range []string{
		"accelerate", "analytics", "intelligent-tiering", "inventory", "logging", "metrics", "notification", "ownershipControls",
		"replication", "requestPayment", "metadataTable",
	} {
		resp := do(t, request{Method: "PUT", Bucket: bucket, Query: query + "=", Body: []byte("<x/>")})
		require.Equal(t, 501, resp.Status, "%s: %s", query, resp.Code)
		require.Equal(t, "NotImplemented", resp.Code, query)
	}
	for _, query := range []string{"torrent", "select=&select-type=2", "restore"} {
		method := "POST"
		if query == "torrent" {
			method = "GET"
		}
		resp := do(t, request{Method: method, Bucket: bucket, Key: "key", Query: query, Body: nil})
		require.Equal(t, 501, resp.Status, "%s: %s", query, resp.Code)
	}
	for _, h := range []map[string]string{
		header("X-Amz-Server-Side-Encryption", "aws:kms"), header("X-Amz-Server-Side-Encryption", "AES256"),
		header("X-Amz-Grant-Read", "id=someone"), header("X-Amz-Acl", "public-read"),
		header("X-Amz-Object-Lock-Mode", "COMPLIANCE", "X-Amz-Object-Lock-Retain-Until-Date", "2099-01-01T00:00:00Z"),
		header("X-Amz-Tagging", "a=b"), header("X-Amz-Storage-Class", "GLACIER"),
		header("X-Amz-Server-Side-Encryption-Customer-Algorithm", "AES256"),
	} {
		resp := do(t, request{Method: "PUT", Bucket: bucket, Key: "other", Body: []byte("x"), Header: h})
		require.GreaterOrEqual(t, resp.Status, 400, "%v must not be ignored in silence", h)
		require.NotEmpty(t, resp.Code)
	}
	absent(t, bucket, "other")
	require.Equal(t, "x", string(get(t, bucket, "key")))
}
