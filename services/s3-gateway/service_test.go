package s3gateway

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
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

// start runs a service with an access log, before whose handler is something, until stop is called; ran gets what came of it.
func start(t *testing.T, grace time.Duration, wrap func(http.Handler) http.Handler) (s *Service, log string, stop func(), ran chan error) {
	t.Helper()
	log = filepath.Join(t.TempDir(), "access.log")
	c := DefaultConfig()
	c.Listen, c.AccessLog, c.Grace = "127.0.0.1:0", log, grace
	store, err := metamemory.New(clock.System{}, clock.SystemRandom)
	require.NoError(t, err)
	s, err = New(c, Deps{
		Meta: store, Chunks: chunkmemory.New(uuid.New()), Identities: keys.New(store, clock.System{}, 0), Pool: buffer.NewPool(64<<20, clock.System{}),
		Clock: clock.System{}, Random: clock.SystemRandom, Logger: slog.New(slog.DiscardHandler), Wrap: wrap,
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ran = make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	return s, log, stop, ran
}

func TestTheAccessLogHasTheRequestsThatEndWhileTheServiceStops(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s, log, stop, ran := start(t, time.Minute, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(entered)
			<-release
			next.ServeHTTP(w, r)
		})
	})
	answered := make(chan error, 1)
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
	text, err := os.ReadFile(log)
	require.NoError(t, err)
	require.Contains(t, string(text), "/bucket/late")
	require.NotContains(t, string(text), `"cut"`)
}

func TestTheAccessLogHasTheRequestsThatAreCut(t *testing.T) {
	entered, stopped := make(chan struct{}), make(chan struct{})
	s, log, stop, ran := start(t, time.Millisecond, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(entered)
			<-r.Context().Done()
			select { // a service that does not wait has stopped before this request ends
			case <-stopped:
			case <-time.After(100 * time.Millisecond):
			}
			next.ServeHTTP(w, r)
		})
	})
	answered := make(chan error, 1)
	go func() {
		resp, err := http.Get("http://" + s.Addr().String() + "/bucket/cut")
		if err == nil {
			err = resp.Body.Close()
		}
		answered <- err
	}()
	<-entered
	stop()
	require.ErrorContains(t, <-ran, "finishing the requests under way")
	close(stopped)
	require.Error(t, <-answered)
	text, err := os.ReadFile(log)
	require.NoError(t, err)
	require.Contains(t, string(text), "/bucket/cut")
	require.Contains(t, string(text), `"cut":true`)
}

func TestRequestsThatDoNotEndAreNotWaitedForLong(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	u := &underWay{idle: make(chan struct{}, 1), next: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { entered <- struct{}{}; <-release })}
	require.Zero(t, u.wait(time.Minute))
	var serving sync.WaitGroup
	for range 2 {
		serving.Go(func() { u.ServeHTTP(nil, nil) })
		<-entered
	}
	require.Equal(t, 2, u.wait(time.Millisecond))
	close(release)
	require.Zero(t, u.wait(time.Minute))
	serving.Wait()
}
