package stall

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	idle = 50 * time.Millisecond
	// patience is longer than anything here takes that ends by itself.
	patience = time.Minute
)

// connect sends the beginning of a request to a server with that handler.
func connect(t *testing.T, h http.HandlerFunc, text string) net.Conn {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(c, text)
	require.NoError(t, err)
	return c
}

const promise = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"

func TestABodyThatDoesNotComeEndsTheRequest(t *testing.T) {
	for name, h := range map[string]func(w http.ResponseWriter, r *http.Request){
		"limited, and read": func(w http.ResponseWriter, r *http.Request) { LimitBody(w, r, idle); read(w, r) },
		"limited, not read": func(w http.ResponseWriter, r *http.Request) { LimitBody(w, r, idle) },
		"rolling, and read": func(w http.ResponseWriter, r *http.Request) { defer Body(w, r, idle)(); read(w, r) },
		"rolling, not read": func(w http.ResponseWriter, r *http.Request) { defer Body(w, r, idle)() },
	} {
		c := connect(t, h, promise)
		_, err := io.ReadAll(c)
		require.NoError(t, err, "%s: the server closes the connection", name)
	}
}

func read(w http.ResponseWriter, r *http.Request) {
	if _, err := io.ReadAll(r.Body); err != nil {
		w.WriteHeader(http.StatusRequestTimeout)
	}
}

func TestABodyMayTakeAsLongAsItMovesAndItsHandlerTooAndTheConnectionGoesOn(t *testing.T) {
	began := make(chan struct{}, 1)
	c := connect(t, func(w http.ResponseWriter, r *http.Request) {
		LimitBody(w, r, time.Nanosecond)
		defer Body(w, r, patience)()
		began <- struct{}{}
		got, err := io.ReadAll(r.Body)
		select {
		case <-r.Context().Done():
			err = r.Context().Err()
		case <-time.After(2 * idle): // nothing ends it meanwhile
		}
		_, _ = fmt.Fprint(w, string(got), err)
	}, promise)
	answers := bufio.NewReader(c)
	for range 2 {
		<-began
		_, err := io.WriteString(c, "12345")
		require.NoError(t, err)
		resp, err := http.ReadResponse(answers, nil)
		require.NoError(t, err)
		said, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "12345<nil>", string(said))
		_, err = io.WriteString(c, promise)
		require.NoError(t, err)
	}
}

func TestAnAnswerThatNobodyTakesEnds(t *testing.T) {
	failed := make(chan error)
	connect(t, func(w http.ResponseWriter, _ *http.Request) {
		w = Answer(w, idle)
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				failed <- err
				return
			}
			_ = http.NewResponseController(w).Flush()
		}
	}, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case err := <-failed:
		require.Error(t, err)
	case <-time.After(patience):
		require.Fail(t, "it is written for ever")
	}
}
