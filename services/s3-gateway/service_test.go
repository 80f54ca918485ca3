package s3gateway

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	chunkmemory "deuxfleurs.fr/garage/pkg/chunk/memory"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/identity/keys"
	metamemory "deuxfleurs.fr/garage/pkg/meta/memory"
)

func TestTheAccessLogHasTheRequestsThatEndWhileTheServiceStops(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	c := DefaultConfig()
	c.Listen, c.AccessLog, c.Grace = "127.0.0.1:0", path, time.Minute
	store, err := metamemory.New(clock.System{}, clock.SystemRandom)
	require.NoError(t, err)
	entered, release := make(chan struct{}), make(chan struct{})
	s, err := New(c, Deps{
		Meta: store, Chunks: chunkmemory.New(uuid.New()), Identities: keys.New(store, clock.System{}, 0), Pool: buffer.NewPool(64<<20, clock.System{}),
		Clock: clock.System{}, Random: clock.SystemRandom, Logger: slog.New(slog.DiscardHandler),
		Wrap: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(entered)
				<-release
				next.ServeHTTP(w, r)
			})
		},
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ran, answered := make(chan error, 1), make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	go func() {
		resp, err := http.Get("http://" + s.Addr().String() + "/bucket/late")
		if err == nil {
			err = resp.Body.Close()
		}
		answered <- err
	}()
	<-entered
	stop()
	require.Eventually(t, func() bool { // it takes no more connections: it stops
		conn, err := net.Dial("tcp", s.Addr().String())
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}, time.Minute, time.Millisecond)
	close(release)
	require.NoError(t, <-answered)
	require.NoError(t, <-ran)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(text), "/bucket/late")
}
