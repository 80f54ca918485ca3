package console

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

	"deuxfleurs.fr/garage/pkg/stall"
)

const (
	short    = 100 * time.Millisecond
	patience = time.Minute // longer than anything takes that does not go on for ever
)

// impatient is a console that waits for S3 as long as it is told.
func impatient(t *testing.T, idle, patience, call time.Duration) (*served, *s3) {
	t.Helper()
	s, fake := withS3(t)
	transport := s.console.s3.Transport.(*stall.Transport)
	transport.Idle, transport.Patience, s.console.callTimeout = idle, patience, call
	return s, fake
}

// hang begins an answer that does not end; of it something comes each time that more gives.
func hang(t *testing.T, beginning string, more <-chan time.Time) func(http.ResponseWriter) {
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended) })
	return func(w http.ResponseWriter) {
		for text := beginning; ; text = " " {
			if text != "" {
				if _, err := io.WriteString(w, text); err != nil || http.NewResponseController(w).Flush() != nil {
					return
				}
			}
			select {
			case <-more:
			case <-ended:
				return
			}
		}
	}
}

func TestWhatS3DoesNotAnswerEnds(t *testing.T) {
	s, fake := impatient(t, patience, short, patience)
	fake.give = hang(t, "", nil)
	for _, what := range []string{"GET objects", "GET object", "PUT object", "DELETE object", "POST upload", "PUT upload", "DELETE upload"} {
		var method, path string
		_, err := fmt.Sscan(what, &method, &path)
		require.NoError(t, err)
		resp, body := s.ask(method, path+"?key=GK1&bucket=b&object=o&upload=u&number=1", "", nil)
		require.Equal(t, 503, resp.StatusCode, what)
		require.Contains(t, body, "gives no answer", what)
	}
}

func TestACallOfS3EndsThoughItGoesOn(t *testing.T) {
	s, fake := impatient(t, patience, patience, short)
	trickle := time.NewTicker(short / 10)
	defer trickle.Stop()
	fake.give = hang(t, "<ListBucketResult>", trickle.C)
	resp, body := s.ask("GET", "objects?key=GK1&bucket=b", "", nil)
	require.Equal(t, 503, resp.StatusCode)
	require.Regexp(t, "cannot be read|gives no answer", body, "as the beginning has come by then, or not")
}

func TestADownloadThatS3StallsIsCut(t *testing.T) {
	beginning := strings.Repeat("the beginning ", 10_000) // more than servers gather before they send
	s, fake := impatient(t, short, patience, patience)
	fake.give = func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", "200000")
		hang(t, beginning, nil)(w)
	}
	resp := s.open("GET", "object?key=GK1&bucket=b&object=o", "", nil)
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	require.Equal(t, beginning[:len(got)], string(got))
	require.Error(t, err, "it does not look whole")
}

func TestADownloadThatNobodyTakesEnds(t *testing.T) {
	s, fake := impatient(t, patience, patience, patience)
	s.console.idle = short
	ended := make(chan error, 1)
	fake.give = func(w http.ResponseWriter) {
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				ended <- err
				return
			}
		}
	}
	c, err := net.Dial("tcp", s.server.Listener.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	_, err = fmt.Fprintf(c, "GET %sobject?key=GK1&bucket=b&object=o HTTP/1.1\r\nHost: x\r\nCookie: %s=%s\r\n\r\n", Path, s.cookie.Name, s.cookie.Value)
	require.NoError(t, err)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	_, err = bufio.NewReader(c).ReadString('\n')
	require.NoError(t, err, "it begins")
	select {
	case err := <-ended:
		require.Error(t, err)
	case <-time.After(patience):
		require.Fail(t, "it is read from S3 for ever")
	}
}

func TestAnUploadThatS3DoesNotTakeEnds(t *testing.T) {
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer deaf.Close()
	s := serve(t, func(c *Config, _ *Deps) { c.S3Endpoint = "http://" + deaf.Addr().String() }).signIn()
	transport := s.console.s3.Transport.(*stall.Transport)
	transport.Idle = short
	resp, body := s.ask("PUT", "object?key=GK1&bucket=b&object=o", string(make([]byte, 64<<20)), nil)
	require.Equal(t, 503, resp.StatusCode)
	require.Contains(t, body, "takes nothing")
}
