package program

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/adminserver"
	"deuxfleurs.fr/garage/pkg/datafolder"
	"deuxfleurs.fr/garage/pkg/lifecycle"
)

func settings(t *testing.T) Settings {
	s := DefaultSettings(filepath.Join(t.TempDir(), "data"), "127.0.0.1:0")
	s.Log.Format = "json"
	s.Log.Level = 100 // nothing
	return s
}

// health is the status code of /healthz.
func health(t *testing.T, address string) int {
	t.Helper()
	answer, err := http.Get("http://" + address + "/healthz")
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	return answer.StatusCode
}

// slow is ready when it is told so.
type slow struct{ started, ready, stopping, stop chan struct{} }

func (s *slow) Ready() <-chan struct{} { return s.ready }

func (s *slow) Run(ctx context.Context) error {
	close(s.started)
	<-ctx.Done()
	close(s.stopping)
	<-s.stop
	return nil
}

func TestHealthFollowsTheServices(t *testing.T) {
	s := settings(t)
	service := &slow{make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})}
	var address string
	ready := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	closed := false
	go func() {
		result <- Run(ctx, "test", s, io.Discard, func(_ context.Context, p *Program) error {
			address = p.Admin.Addr().String()
			p.Add("slow", service)
			p.OnClose(func() error { closed = true; return nil })
			p.OnReady = func(context.Context) error { close(ready); return nil }
			return nil
		})
	}()
	<-service.started
	require.Equal(t, 503, health(t, address), "not before every service is ready")
	close(service.ready)
	<-ready
	require.Eventually(t, func() bool { return health(t, address) == 200 }, time.Minute, time.Millisecond)

	token, err := os.ReadFile(filepath.Join(s.Data, adminserver.TokenFile))
	require.NoError(t, err)
	require.Len(t, strings.TrimSpace(string(token)), 64)
	saved, err := os.ReadFile(filepath.Join(s.Data, adminserver.AddressFile))
	require.NoError(t, err)
	require.Equal(t, address+"\n", string(saved))

	cancel()
	<-service.stopping
	require.Equal(t, 503, health(t, address), "while services stop, the health still answers")
	close(service.stop)
	require.NoError(t, <-result)
	require.True(t, closed)

	// The folder is free again.
	folder, err := datafolder.Open(s.Data, datafolder.Options{Service: "test"})
	require.NoError(t, err)
	require.NoError(t, folder.Close())
}

func TestAFailedServiceEndsTheProgram(t *testing.T) {
	broken := errors.New("the disk is gone")
	err := Run(context.Background(), "test", settings(t), io.Discard, func(_ context.Context, p *Program) error {
		p.Add("disk", lifecycle.Func(func(context.Context) error { return broken }))
		return nil
	})
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "disk")
}

func TestWhatCannotStartIsUndone(t *testing.T) {
	s := settings(t)
	broken := errors.New("no such layout")
	closed, abandoned := false, false
	build := func(_ context.Context, p *Program) error {
		p.Add("store", &store{&abandoned})
		p.OnClose(func() error { closed = true; return nil })
		return broken
	}
	require.ErrorIs(t, Run(context.Background(), "test", s, io.Discard, build), broken)
	require.True(t, closed)
	require.True(t, abandoned, "what was built is closed")
	require.ErrorIs(t, Run(context.Background(), "test", s, io.Discard, build), broken, "the lock and the port were given back")

	s.Admin.Listen = "256.0.0.1:99999"
	require.ErrorContains(t, Run(context.Background(), "test", s, io.Discard, build), "admin.listen")
}

// store is a service that holds something.
type store struct{ closed *bool }

func (s *store) Run(ctx context.Context) error { <-ctx.Done(); return s.Close() }
func (s *store) Close() error                  { *s.closed = true; return nil }

func TestClientAddress(t *testing.T) {
	require.Equal(t, "127.0.0.1:3903", clientAddress("127.0.0.1:3903", false))
	require.Equal(t, "https://127.0.0.1:3903", clientAddress("[::]:3903", true))
	require.Equal(t, "https://192.0.2.1:3903", clientAddress("192.0.2.1:3903", true))
}
