package membership

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

func deps() Deps {
	return Deps{Pool: buffer.NewPool(1<<20, clock.System{}), Clock: clock.System{}, Logger: slog.New(slog.DiscardHandler)}
}

func write(t *testing.T, layout string) StoreConfig {
	t.Helper()
	c := DefaultStoreConfig()
	c.Layout = filepath.Join(t.TempDir(), "layout.json")
	require.NoError(t, os.WriteFile(c.Layout, []byte(layout), 0o600))
	return c
}

func TestWhatCannotBeAClusterIsRefused(t *testing.T) {
	_, err := Open(Config{}, deps())
	require.ErrorContains(t, err, "cluster.layout")
	c := DefaultStoreConfig()
	c.Layout = filepath.Join(t.TempDir(), "none.json")
	_, err = Open(c.Config, deps())
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Open(write(t, `{"number": 1, "replication": 1, "nodes": [{"id": "00000000-0000-4000-8000-000000000001", "zone": "z"}]}`).Config, deps())
	require.ErrorContains(t, err, "no address")
	d := deps()
	d.CheckAddress = func(setting, address string) error {
		return errors.Newf(errors.Invalid, "%s: not %s", setting, address)
	}
	_, err = Open(write(t, `{"number": 1, "replication": 1, "nodes": [{"id": "00000000-0000-4000-8000-000000000001", "zone": "z", "address": "192.0.2.1:1"}]}`).Config, d)
	require.ErrorContains(t, err, "cluster.layout: not 192.0.2.1:1")
}

func TestAStoreOverNodesThatAreAwayAnswersInTime(t *testing.T) {
	// An address on which nobody listens any more.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	c := write(t, `{"number": 1, "replication": 1, "nodes": [{"id": "00000000-0000-4000-8000-000000000001", "zone": "z", "address": "`+l.Addr().String()+`"}]}`)
	c.WriteTimeout, c.ReadTimeout, c.Patience = 200*time.Millisecond, 200*time.Millisecond, 10*time.Millisecond
	s, err := Open(c.Config, deps())
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	require.Len(t, s.Nodes, 1)
	store, closeStore, err := s.Store(c)
	require.NoError(t, err)
	defer closeStore()
	_, err = store.Get(context.Background(), chunk.Hash{1})
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
}
