//go:build stack

package cql

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	kinds "deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// ownKeyspace is a configuration with a keyspace of the test's own, which does not exist yet.
func ownKeyspace(t *testing.T, name string) Config {
	c := testConfig(t, clock.System{})
	c.Keyspace = testKeyspace + "_" + name
	t.Cleanup(func() { require.NoError(t, dropKeyspace(c.Keyspace)) })
	return c
}

// olderSchema makes the keyspace with the first n migrations only, as an older program would.
func olderSchema(t *testing.T, c Config, n int) *Store {
	c.fill()
	ctx := context.Background()
	require.NoError(t, c.prepare(ctx))
	s := newStore(c)
	db, err := c.connect(c.Keyspace, nil)
	require.NoError(t, err)
	s.db = db
	require.NoError(t, s.define(ctx, schemaVersions))
	_, _, err = s.cas(ctx, makeVersion)
	require.NoError(t, err)
	require.NoError(t, s.migrate(ctx, migrations[:n]))
	return s
}

// firstInsert is how a program with the first schema wrote a row.
const firstInsert = `INSERT INTO objects (bucket_id, shard, key, version_ts, version_id, kind, size, etag, storage_class, checksum_algorithm, checksum_type,
	upload_id, object, inline, tail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?`

func TestAnOlderSchemaIsMigratedWithItsData(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c := ownKeyspace(t, "older")
	old := olderSchema(t, c, 1)
	cluster, bucket := uuid.New(), uuid.New()
	_, _, err := old.cas(ctx, `INSERT INTO cluster (name, id) VALUES ('cluster', ?) IF NOT EXISTS`, cluster)
	require.NoError(t, err)
	require.NoError(t, old.CreateBucket(ctx, meta.Bucket{ID: bucket, Name: "photos"}))
	r, err := rowOf(inline(bucket, "k", "kept").Object(), uuid.Nil, nil)
	require.NoError(t, err)
	r.version = meta.Version{Timestamp: old.hybrid.Now(), ID: uuid.New()}
	b, err := old.shards(ctx, bucket)
	require.NoError(t, err)
	columns := append(b.place("k").values(), r.columns()[:12]...)
	require.NoError(t, old.exec(ctx, firstInsert, append(columns, int64(r.version.Timestamp))...))
	old.replaced(b.place("k"), r, head{})
	require.NoError(t, old.flush(ctx))
	old.stop()
	old.db.Close()

	c.ClusterID = cluster
	s := openWith(t, c)
	var version int
	_, err = s.one(ctx, []any{&version, new(*uuid.UUID), new(*int64)}, readVersion)
	require.NoError(t, err)
	require.Equal(t, len(migrations), version)
	for _, m := range migrations {
		for _, col := range m.columns {
			var kind string
			found, err := s.one(ctx, []any{&kind}, columnKnown, c.Keyspace, col.table, col.name)
			require.NoError(t, err)
			require.True(t, found, "%s.%s", col.table, col.name)
		}
	}
	o, err := s.Object(ctx, bucket, "k")
	require.NoError(t, err)
	require.Equal(t, "kept", string(o.Inline))
	info, err := s.Info(ctx)
	require.NoError(t, err)
	require.Equal(t, meta.Info{ClusterID: cluster, Kind: "cql", Buckets: 1, Usage: meta.Usage{Objects: 1, Bytes: 4}}, info)

	c.ClusterID = uuid.New()
	_, err = Open(ctx, c)
	require.ErrorContains(t, err, "mixing clusters")
	require.NoError(t, s.query(ctx, `UPDATE schema_version SET version = ? WHERE name = 'schema' IF EXISTS`, []any{len(migrations) + 1}).Exec())
	c.ClusterID = cluster
	_, err = Open(ctx, c)
	require.True(t, kinds.Is(err, kinds.Invalid), "%v", err)
	require.ErrorContains(t, err, "start it with the version of Garage that wrote it")
}

func TestAMigrationThatCrashedIsDoneAgain(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c := ownKeyspace(t, "crashed")
	old := olderSchema(t, c, 1)
	// All of the second step happened, but nobody wrote so; who did it is gone and its time is over.
	require.NoError(t, old.apply(ctx, migrations[1]))
	taken, _, err := old.cas(ctx, takeSchema, uuid.New(), at(time.Now().Add(-time.Second)), 1, (*int64)(nil))
	require.NoError(t, err)
	require.True(t, taken)
	old.stop()
	old.db.Close()
	s := openWith(t, c)
	require.NotEqual(t, uuid.Nil, s.cluster)
}

func TestSeveralServicesStartAtOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c := ownKeyspace(t, "together")
	stores, errs := make([]*Store, 4), make([]error, 4)
	var work sync.WaitGroup
	for i := range stores {
		work.Go(func() {
			c := c
			c.Writer = uuid.New()
			// As the service does: the keyspace may be listed a moment before it can be used.
			for {
				stores[i], errs[i] = Open(ctx, c)
				if !kinds.Is(errs[i], kinds.Unavailable) || clock.Sleep(ctx, clock.System{}, 100*time.Millisecond) != nil {
					return
				}
			}
		})
	}
	work.Wait()
	require.NoError(t, errors.Join(errs...))
	for _, s := range stores {
		require.Equal(t, stores[0].cluster, s.cluster)
		require.NoError(t, s.Close())
	}
}
