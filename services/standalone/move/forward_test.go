package move

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// patience is longer than anything takes that does not go on for ever.
const patience = time.Minute

// forwards is a server that has moved to the cluster, where something must move in a tenth of a second.
func forwards(t *testing.T, answer http.HandlerFunc) net.Addr {
	t.Helper()
	there := httptest.NewServer(answer)
	t.Cleanup(there.Close)
	g := newGateTest(t)
	g.gate.idle = 100 * time.Millisecond
	one, cluster := uuid.New(), uuid.New()
	require.NoError(t, g.gate.Hold(t.Context(), one, testLease, true, false))
	require.NoError(t, g.gate.Leave(one, cluster, there.URL))
	require.NoError(t, g.gate.Forward(cluster))
	old := httptest.NewServer(g.gate.Handler(slog.New(slog.DiscardHandler))(http.NotFoundHandler()))
	t.Cleanup(old.Close)
	return old.Listener.Addr()
}

// begin sends the beginning of a request, and nothing more.
func begin(t *testing.T, to net.Addr, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", to.String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(c, text)
	require.NoError(t, err)
	return c
}

func TestAClientThatSendsNothingEndsWhatIsForwarded(t *testing.T) {
	ended := make(chan error, 1)
	to := forwards(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		ended <- err
	})
	said, err := io.ReadAll(begin(t, to, "PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12"))
	require.NoError(t, err, "the server closes the connection")
	require.NotContains(t, string(said), "200 OK")
	require.Error(t, <-ended)
}

func TestAClientThatTakesNothingEndsWhatIsForwarded(t *testing.T) {
	ended := make(chan error, 1)
	to := forwards(t, func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				ended <- err
				return
			}
		}
	})
	begin(t, to, "GET /b/k HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case err := <-ended:
		require.Error(t, err)
	case <-time.After(patience):
		require.Fail(t, "it is read from the cluster for ever, or not at all")
	}
}

func TestAClusterThatStallsEndsWhatIsForwarded(t *testing.T) {
	to := forwards(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, "the beginning")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	said, err := io.ReadAll(begin(t, to, "GET /b/k HTTP/1.1\r\nHost: x\r\n\r\n"))
	require.NoError(t, err, "the server closes the connection")
	require.Contains(t, string(said), "the beginning")
	require.NotContains(t, string(said), "\r\n0\r\n", "what is cut does not look whole")
}
