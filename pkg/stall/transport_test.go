package stall

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
)

// client sends requests to a server with that handler; nothing of a test takes as long as its patience.
func client(t *testing.T, idle, patience time.Duration) *http.Client {
	t.Helper()
	c := &http.Client{Transport: &Transport{Next: &http.Transport{}, Idle: idle, Patience: patience}}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// endless is a body that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestAServerThatTakesNothingOfABodyEndsTheRequest(t *testing.T) {
	deaf, err := net.Listen("tcp", "127.0.0.1:0") // the kernel takes connections, and as much as it has room for
	require.NoError(t, err)
	defer deaf.Close()
	_, err = client(t, idle, patience).Post("http://"+deaf.Addr().String(), "", endless{}) //nolint:bodyclose // there is no answer
	require.ErrorContains(t, err, "takes nothing of the request")
	require.True(t, errors.Is(err, errors.Deadline), "%v", err)
}

func TestAServerThatDoesNotAnswerEndsTheRequest(t *testing.T) {
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer deaf.Close()
	for _, body := range []io.Reader{nil, io.LimitReader(endless{}, 100)} {
		_, err = client(t, patience, idle).Post("http://"+deaf.Addr().String(), "", body) //nolint:bodyclose // there is no answer
		require.ErrorContains(t, err, "gives nothing of its answer")
	}
}

func TestAnAnswerThatDoesNotGoOnEnds(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "12345")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer s.Close()
	answer, err := client(t, idle, patience).Get(s.URL)
	require.NoError(t, err)
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	require.Equal(t, "12345", string(got))
	require.ErrorContains(t, err, "gives nothing of its answer")
}

// What others take their time for is not the server's fault.
func TestWhoIsWaitedForElsewhereEndsNoRequest(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		_, _ = fmt.Fprint(w, string(body), err)
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, " and more")
	}))
	defer s.Close()
	source, sink := io.Pipe()
	go func() {
		time.Sleep(3 * idle) // the time in which it would end
		_, _ = io.WriteString(sink, "12345")
		time.Sleep(3 * idle)
		_ = sink.Close()
	}()
	answer, err := client(t, idle, patience).Post(s.URL, "", source)
	require.NoError(t, err)
	defer answer.Body.Close()
	time.Sleep(3 * idle)
	got, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Equal(t, "12345<nil> and more", string(got))
}
