package connlimit

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// serve starts a server for at most max connections; a request to /wait ends when release is closed.
func serve(t *testing.T, max int) (address string, l *Limit, waiting chan struct{}, release chan struct{}) {
	waiting, release = make(chan struct{}, max), make(chan struct{})
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			waiting <- struct{}{}
			<-release
		}
	})}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan error, 1)
	l = New(max)
	go func() { done <- s.Serve(l.Guard(s, inner)) }()
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.ErrorIs(t, <-done, http.ErrServerClosed)
		l.mu.Lock()
		defer l.mu.Unlock()
		require.Zero(t, l.idle.Len())
	})
	return inner.Addr().String(), l, waiting, release
}

func dial(t *testing.T, address string) net.Conn {
	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
	return c
}

func get(t *testing.T, c net.Conn, path string) {
	_, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
	require.NoError(t, err)
}

func answered(t *testing.T, c net.Conn) {
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, r.StatusCode)
}

func closed(t *testing.T, c net.Conn) {
	_, err := c.Read(make([]byte, 1))
	require.Error(t, err)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "still open")
}

func (l *Limit) waitForIdle(t *testing.T, n int) {
	require.Eventually(t, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.idle.Len() == n
	}, time.Minute, time.Millisecond)
}

func TestTheConnectionIdleLongestMakesRoom(t *testing.T) {
	address, limit, _, _ := serve(t, 2)
	first := dial(t, address)
	get(t, first, "/")
	answered(t, first)
	limit.waitForIdle(t, 1) // the server notes it after the answer
	second := dial(t, address)
	get(t, second, "/")
	answered(t, second)
	limit.waitForIdle(t, 2)
	third := dial(t, address)
	get(t, third, "/")
	answered(t, third)
	closed(t, first)
	get(t, second, "/")
	answered(t, second)
}

func TestBusyConnectionsAreNotClosedForNewOnes(t *testing.T) {
	address, _, waiting, release := serve(t, 1)
	busy := dial(t, address)
	get(t, busy, "/wait")
	<-waiting
	closed(t, dial(t, address))
	close(release)
	answered(t, busy)
}

func TestSilentConnectionsDoNotKeepOthersOut(t *testing.T) {
	address, _, _, _ := serve(t, 3)
	for range 20 {
		dial(t, address)
	}
	c := dial(t, address)
	get(t, c, "/")
	answered(t, c)
}
