//go:build stack

package metadata

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	chunkmemory "deuxfleurs.fr/garage/pkg/chunk/memory"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

func cqlConfig(t *testing.T) Config {
	hosts := os.Getenv("GARAGE_STACK_CQL")
	require.NotEmpty(t, hosts, "start a database (go run ./tools/stack up cassandra) and set GARAGE_STACK_CQL to its nodes, as host:port,…")
	c := DefaultConfig()
	c.Store, c.CQL.Hosts, c.CQL.Replication, c.CQL.Timeout = StoreCQL, strings.Split(hosts, ","), "1", 20*time.Second
	c.CQL.Keyspace = fmt.Sprintf("garage_service_%d", os.Getpid())
	t.Cleanup(func() { dropKeyspace(t, c) })
	return c
}

func dropKeyspace(t *testing.T, c Config) {
	t.Helper()
	cluster := gocql.NewCluster(c.CQL.Hosts...)
	cluster.Timeout = time.Minute
	db, err := cluster.CreateSession()
	require.NoError(t, err)
	defer db.Close()
	require.NoError(t, db.Query("DROP KEYSPACE IF EXISTS "+c.CQL.Keyspace).Exec())
}

func deps() Deps {
	return Deps{
		Folder: "data", ClusterID: uuid.New(), NodeID: uuid.New(), Chunks: chunkmemory.New(uuid.New()), Clock: clock.System{}, Random: clock.SystemRandom,
		Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
	}
}

func TestAServiceKeepsMetadataInADatabaseThatOthersShare(t *testing.T) {
	ctx := context.Background()
	c, d := cqlConfig(t), deps()
	a, err := New(c, d)
	require.NoError(t, err)
	require.NoError(t, a.Check(ctx))
	d.NodeID, d.Registry = uuid.New(), prometheus.NewRegistry()
	b, err := New(c, d)
	require.NoError(t, err)
	bucket := meta.Bucket{ID: uuid.New(), Name: "photos"}
	require.NoError(t, a.Store().CreateBucket(ctx, bucket))
	_, err = a.Store().PutObject(ctx, meta.Put{Bucket: bucket.ID, Key: "k", Size: 1, Inline: []byte("x")})
	require.NoError(t, err)
	o, err := b.Store().Object(ctx, bucket.ID, "k")
	require.NoError(t, err)
	require.Equal(t, "x", string(o.Inline))
	info, err := b.Store().Info(ctx)
	require.NoError(t, err)
	require.Equal(t, d.ClusterID, info.ClusterID)
	d.ClusterID = uuid.New()
	_, err = New(c, d)
	require.ErrorContains(t, err, "mixing clusters")
	running, stop := context.WithCancel(ctx)
	stop()
	require.NoError(t, a.Run(running))
	require.NoError(t, b.Close())
	_, err = b.Store().Object(ctx, bucket.ID, "k")
	require.True(t, errors.Is(err, errors.Unavailable), "a store that is closed says so: %v", err)
}

func TestADatabaseThatDoesNotAnswerIsWaitedForAndThenNamed(t *testing.T) {
	c := DefaultConfig()
	c.Store, c.CQL.Hosts, c.CQL.Timeout, c.CQL.Patience = StoreCQL, []string{"127.0.0.1:1"}, time.Second, 1500*time.Millisecond
	_, err := New(c, deps())
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
	require.ErrorContains(t, err, "127.0.0.1:1")
}
