package stall

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
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

// within serves clients in the same process, so that who waits for the other is idle in a bubble of synctest.
type within struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l within) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l within) Close() error   { close(l.closed); return nil }
func (l within) Addr() net.Addr { return &net.TCPAddr{} }

func (l within) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	l.conns <- there
	return here, nil
}

// clientOf is a client of a server with that handler. It is for tests in a bubble of synctest.
func clientOf(t *testing.T, h http.HandlerFunc) *http.Client {
	t.Helper()
	l := within{make(chan net.Conn), make(chan struct{})}
	s := &http.Server{Handler: h, ReadHeaderTimeout: patience}
	ended := make(chan error)
	go func() { ended <- s.Serve(l) }()
	c := &http.Client{Transport: &Transport{Next: &http.Transport{DialContext: l.dial}, Idle: idle, Patience: patience}}
	t.Cleanup(func() {
		c.CloseIdleConnections()
		require.NoError(t, s.Close())
		require.ErrorIs(t, <-ended, http.ErrServerClosed)
	})
	return c
}

func TestAnAnswerThatDoesNotGoOnEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer, err := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "12345")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}).Get("http://server")
		require.NoError(t, err)
		defer answer.Body.Close()
		began := time.Now()
		got, err := io.ReadAll(answer.Body)
		require.Equal(t, "12345", string(got))
		require.ErrorContains(t, err, "gives nothing of its answer")
		require.Equal(t, idle, time.Since(began))
	})
}

// What others take their time for is not the server's fault.
func TestWhoIsWaitedForElsewhereEndsNoRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			_, _ = fmt.Fprint(w, string(body), err)
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, " and more")
		})
		source, sink := io.Pipe()
		go func() {
			time.Sleep(3 * idle) // the time in which it would end
			_, _ = io.WriteString(sink, "12345")
			time.Sleep(3 * idle)
			_ = sink.Close()
		}()
		answer, err := c.Post("http://server", "", source)
		require.NoError(t, err)
		defer answer.Body.Close()
		time.Sleep(3 * idle)
		beginning := make([]byte, 5)
		_, err = io.ReadFull(answer.Body, beginning)
		require.NoError(t, err)
		time.Sleep(3 * idle)
		rest, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.Equal(t, "12345<nil> and more", string(beginning)+string(rest))
	})
}
