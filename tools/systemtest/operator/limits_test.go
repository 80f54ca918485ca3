package operator

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/s3client"
	"deuxfleurs.fr/garage/tools/sigv4"
)

// upload opens a connection and sends the head of a PUT with a body of this length, and, once the server asks for the
// body, which says that the request is being served, the beginning of that.
func upload(t *testing.T, client *s3client.Client, s3, key string, length int, begin []byte) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s3)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	req, err := client.Build(s3client.Request{Method: "PUT", Bucket: "slow", Key: key, Payload: sigv4.Unsigned})
	require.NoError(t, err)
	_, err = fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n", sigv4.Path(req.URL), req.URL.Host, length)
	require.NoError(t, err)
	require.NoError(t, req.Header.Write(conn))
	_, err = io.WriteString(conn, "\r\n")
	require.NoError(t, err)
	proceed := "HTTP/1.1 100 Continue\r\n\r\n"
	answer := make([]byte, len(proceed))
	_, err = io.ReadFull(conn, answer)
	require.NoError(t, err)
	require.Equal(t, proceed, string(answer))
	_, err = conn.Write(begin)
	require.NoError(t, err)
	return conn
}

// A client that sends or takes nothing for the idle timeout, here one second instead of thirty, is cut and leaves nothing.
func TestClientsThatStallAreCut(t *testing.T) {
	s := standalone(t, filepath.Join(t.TempDir(), "data"), nil, "--s3-idle-timeout", "1s")
	client := s3client.New(credentials(t, s.data, s.s3), 4)
	answers(t, client, 200, s3client.Request{Method: "PUT", Bucket: "slow"})
	large := bytes.Repeat([]byte("0123456789abcdef"), 2<<20)
	answers(t, client, 200, s3client.Request{Method: "PUT", Bucket: "slow", Key: "large", Body: large})
	cut := func(name string, conn net.Conn) {
		t.Helper()
		start := time.Now()
		_, err := io.Copy(io.Discard, conn)
		var timeout net.Error
		if err != nil {
			require.NotErrorAs(t, err, &timeout, "%s: still open after a minute", name)
		}
		require.Less(t, time.Since(start), 30*time.Second, name)
	}
	t.Run("in the head", func(t *testing.T) {
		conn, err := net.Dial("tcp", s.s3)
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
		_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nX-Begun: ")
		require.NoError(t, err)
		cut("a head that never ends", conn)
	})
	t.Run("in the body", func(t *testing.T) {
		cut("a body that never ends", upload(t, client, s.s3, "stalled", 5<<20, make([]byte, 2<<20)))
		answers(t, client, 404, s3client.Request{Method: "GET", Bucket: "slow", Key: "stalled"})
	})
	t.Run("while reading", func(t *testing.T) {
		resp, err := client.Open(t.Context(), s3client.Request{Method: "GET", Bucket: "slow", Key: "large"})
		require.NoError(t, err)
		defer resp.Body.Close()
		// What is read ahead for the client takes memory until it is cut. Then the body ends short of its length, which is an error.
		used := func() bool { return s.metric("garage_memory_used_bytes") != "0" }
		require.Eventually(t, used, 30*time.Second, time.Millisecond)
		require.Eventually(t, func() bool { return !used() }, 30*time.Second, 50*time.Millisecond)
		_, err = io.Copy(io.Discard, resp.Body)
		require.Error(t, err, "a reader that stalled got everything")
	})
	require.True(t, bytes.Equal(large, answers(t, client, 200, s3client.Request{Method: "GET", Bucket: "slow", Key: "large"})))
}

func TestTooManyRequestsAreToldToSlowDown(t *testing.T) {
	s := standalone(t, filepath.Join(t.TempDir(), "data"), nil, "--s3-max-requests", "2")
	client := s3client.New(credentials(t, s.data, s.s3), 4)
	answers(t, client, 200, s3client.Request{Method: "PUT", Bucket: "slow"})
	body := make([]byte, 1000)
	var open []net.Conn
	for i := range 2 {
		open = append(open, upload(t, client, s.s3, fmt.Sprint(i), len(body), body[:500]))
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		resp, err := client.Do(t.Context(), s3client.Request{Method: "GET", Bucket: "slow", Query: "list-type=2"})
		require.NoError(t, err)
		if resp.Status == 503 {
			require.Equal(t, "SlowDown", resp.Code)
			break
		}
		require.True(t, time.Now().Before(deadline), "two requests are open and a third is served")
	}
	for i, conn := range open {
		_, err := conn.Write(body[500:])
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode)
		require.Equal(t, body, answers(t, client, 200, s3client.Request{Method: "GET", Bucket: "slow", Key: fmt.Sprint(i)}))
	}
}
