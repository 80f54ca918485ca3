package consul

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

// client makes a client of what listens at address.
func client(t *testing.T, address string) *Client {
	t.Helper()
	t.Setenv("CONSUL_HTTP_ADDR", address)
	c, err := New(DefaultConfig(), Deps{Clock: clock.System{}, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func TestAQueryWaitsForTheIndexOfItsLastAnswer(t *testing.T) {
	answers := []struct {
		status, index int
	}{{200, 7}, {500, 0}, {200, 7}, {200, 9}, {200, 3}, {200, 3}, {200, 0}}
	want := []string{"", "7", "", "7", "9", "", "3"} // the index asked for, as the query has it
	var asked []string
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(asked) < len(answers) {
			asked = append(asked, r.URL.Query().Get("index"))
		}
		a := answers[len(asked)-1]
		if len(asked) == len(answers) {
			cancel()
		}
		w.Header().Set("X-Consul-Index", fmt.Sprint(a.index))
		w.WriteHeader(a.status)
		_, _ = w.Write([]byte("[]"))
	}))
	defer server.Close()
	c := client(t, server.URL)
	err := c.Follow(ctx, "a test", func(o *api.QueryOptions) (*api.QueryMeta, error) {
		_, meta, err := c.API().Health().Service("x", "", false, o)
		return meta, err
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, want, asked)
}

func TestIndexAndBackoff(t *testing.T) {
	require.Equal(t, uint64(5), advance(3, 5))
	require.Equal(t, uint64(5), advance(5, 5))
	require.Zero(t, advance(5, 4), "Consul began anew")
	require.Equal(t, uint64(1), advance(0, 0), "zero would not wait")
	last := time.Duration(0)
	for failures := range 100 {
		least, most := backoff(failures, 0), backoff(failures, 1)
		require.Equal(t, most, 2*least)
		require.GreaterOrEqual(t, most, last)
		require.LessOrEqual(t, most, backoffMax)
		last = most
	}
	require.Equal(t, backoffMax, last)
}

func TestConsulIsAwayOrRefuses(t *testing.T) {
	var status atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) }))
	defer server.Close()
	c := client(t, server.URL)
	for _, s := range []struct {
		status int
		up     float64
		kind   errors.Kind
	}{{403, 1, errors.PermissionDenied}, {500, 0, errors.Unavailable}, {403, 1, errors.PermissionDenied}, {400, 1, errors.Internal}} {
		status.Store(int64(s.status))
		err := c.ask(context.Background(), func(o *api.QueryOptions) error {
			_, _, err := c.API().KV().Get("x", o)
			return err
		})
		require.Equal(t, s.kind, errors.KindOf(failed(err, "testing")), "%v", err)
		require.Equal(t, s.up, c.gauge())
	}
	server.Close()
	_, err := c.KnownClusterID(context.Background())
	require.Equal(t, errors.Unavailable, errors.KindOf(failed(err, "testing")), "%v", err)
	require.Zero(t, c.gauge())
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err = c.ClusterID(ctx, uuid.New())
	require.Error(t, err, "it waits as long as it may")
}
