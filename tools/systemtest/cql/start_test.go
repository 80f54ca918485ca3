//go:build stack

package cql

import (
	"context"
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/metadata/cql"
)

var starts = flag.Int("starts", 1, "first starts of several services at once that are tried")

// Cassandra gives a table an ID where it is made: made on two nodes at once it has two, and the nodes never agree.
func TestServicesThatStartAtOnceMakeOneSchema(t *testing.T) {
	const services = 4
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	third(t)
	session, err := connect()
	require.NoError(t, err)
	t.Cleanup(session.Close)
	for round := range *starts {
		c := config(clock.System{})
		c.Keyspace = fmt.Sprintf("%s_start_%d", keyspace, round)
		t.Cleanup(func() { require.NoError(t, session.Query("DROP KEYSPACE IF EXISTS "+c.Keyspace).Exec()) })
		var stores [services]*cql.Store
		var errs [services]error
		// All find that there is no table before one of them makes it.
		var here atomic.Int32
		all := make(chan struct{})
		c.Step = func(ctx context.Context, name string) {
			if name != "first table" {
				return
			}
			if here.Add(1) == services {
				close(all)
			}
			select {
			case <-all:
			case <-time.After(10 * time.Second): // one found it made
			case <-ctx.Done():
			}
		}
		var work sync.WaitGroup
		begun := time.Now()
		for i := range services {
			mine := c
			mine.Writer, mine.Hosts = uuid.New(), hosts()[i%3:i%3+1]
			work.Go(func() {
				// As a service does: a node that is busy with the schema may not answer in time.
				for ctx.Err() == nil {
					if stores[i], errs[i] = cql.Open(ctx, mine); !errors.Is(errs[i], errors.Unavailable) {
						return
					}
					t.Logf("round %d: service %d tries again: %v", round, i, errs[i])
				}
			})
		}
		work.Wait()
		for i, s := range stores {
			require.NoError(t, errs[i], "round %d", round)
			defer func() { require.NoError(t, s.Close()) }()
		}
		t.Logf("round %d: all serve after %v", round, time.Since(begun).Round(time.Millisecond))
		bucket := meta.Bucket{ID: uuid.New(), Name: "first"}
		require.NoError(t, stores[0].CreateBucket(ctx, bucket))
		for i, s := range stores {
			key := fmt.Sprint("k", i)
			_, err := s.PutObject(ctx, meta.Put{Bucket: bucket.ID, Key: key, Size: 1, ETag: key, Inline: []byte("x")})
			require.NoError(t, err)
			for _, other := range stores {
				o, err := other.Object(ctx, bucket.ID, key)
				require.NoError(t, err)
				require.Equal(t, key, o.ETag)
			}
		}
		ids := make(map[string]map[string]bool)
		for _, host := range session.GetHosts() {
			rows := session.Query("SELECT table_name, id FROM system_schema.tables WHERE keyspace_name = ?", c.Keyspace).SetHostID(host.HostID()).Iter()
			var name, id string
			for rows.Scan(&name, &id) {
				if ids[name] == nil {
					ids[name] = make(map[string]bool)
				}
				ids[name][id] = true
			}
			require.NoError(t, rows.Close())
		}
		require.NotEmpty(t, ids)
		for name, of := range ids {
			require.Len(t, of, 1, "IDs of the table %s", name)
		}
	}
}
