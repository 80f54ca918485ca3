//go:build stack

package cql

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// line is a way to the database that can be cut: then connections break and new ones are refused.
type line struct {
	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]struct{}
}

func (l *line) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("the line is cut")}
	}
	c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err == nil {
		l.conns[c] = struct{}{}
	}
	return c, err
}

func (l *line) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut = cut; cut {
		for c := range l.conns {
			_ = c.Close()
		}
		l.conns = make(map[net.Conn]struct{})
	}
}

func TestADatabaseThatIsAwayIsUnavailableUntilItReturns(t *testing.T) {
	alone(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	l := &line{conns: make(map[net.Conn]struct{})}
	c := testConfig(t, clock.System{})
	c.dialer, c.Timeout = l, 3*time.Second
	s := openWith(t, c)
	require.NoError(t, wipe(s))
	id := makeBucketIn(t, s)
	_, err := s.PutObject(ctx, inline(id, "k", "before"))
	require.NoError(t, err)
	require.NoError(t, s.Problem())
	for range 2 {
		l.set(true)
		for _, f := range []func() error{
			func() error { _, err := s.Object(ctx, id, "k"); return err },
			func() error { _, err := s.PutObject(ctx, inline(id, "k", "away")); return err },
			func() error { return s.CreateBucket(ctx, meta.Bucket{ID: uuid.New(), Name: "away"}) },
			func() error { _, err := s.Info(ctx); return err },
			func() error { _, err := s.DeleteObjects(ctx, id, []meta.Delete{{Key: "k"}}); return err },
		} {
			err := f()
			require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
		}
		require.Eventually(t, func() bool { return errors.Is(s.Problem(), errors.Unavailable) }, 30*time.Second, 10*time.Millisecond)
		l.set(false)
		require.Eventually(t, func() bool { return s.Problem() == nil }, 30*time.Second, 10*time.Millisecond)
		require.Eventually(t, func() bool { _, err := s.PutObject(ctx, inline(id, "k", "again")); return err == nil }, 30*time.Second, 10*time.Millisecond)
		o, err := s.Object(ctx, id, "k")
		require.NoError(t, err)
		require.Equal(t, "again", string(o.Inline))
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	ctx := context.Background()
	c := testConfig(t, clock.System{})
	c.Timeout = time.Second
	for setting, change := range map[string]func(c *Config){
		"metadata.cql.hosts":       func(c *Config) { c.Hosts = nil },
		"metadata.cql.keyspace":    func(c *Config) { c.Keyspace = "Not; a name" },
		"metadata.cql.consistency": func(c *Config) { c.Consistency = "ONE" },
		"metadata.cql.replication": func(c *Config) { c.Replication = "dc1:none" },
	} {
		bad := c
		change(&bad)
		_, err := Open(ctx, bad)
		require.True(t, errors.Is(err, errors.Invalid), "%v", err)
		require.ErrorContains(t, err, setting)
	}
	c.Hosts = []string{"127.0.0.1:1"}
	_, err := Open(ctx, c)
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
	require.ErrorContains(t, err, "127.0.0.1:1")
}
