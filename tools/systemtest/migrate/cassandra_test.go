//go:build stack

package migrate

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gocql/gocql"
	"github.com/stretchr/testify/require"
)

// database is what the cluster is told about its database: it has a keyspace of its own in the one that runs.
func database(t *testing.T) []string {
	hosts := os.Getenv("GARAGE_STACK_CQL")
	require.NotEmpty(t, hosts, "run this under \"stack run cassandra -- go test -tags stack …\"")
	keyspace := fmt.Sprintf("garage_migrate_%d", time.Now().UnixNano())
	t.Cleanup(func() {
		c := gocql.NewCluster(strings.Split(hosts, ",")...)
		c.Timeout, c.ConnectTimeout = time.Minute, time.Minute
		session, err := c.CreateSession()
		require.NoError(t, err)
		defer session.Close()
		require.NoError(t, session.Query("DROP KEYSPACE IF EXISTS "+keyspace).Exec())
	})
	return []string{"GARAGE_METADATA_STORE=cql", "GARAGE_METADATA_CQL_HOSTS=" + hosts, "GARAGE_METADATA_CQL_KEYSPACE=" + keyspace, "GARAGE_METADATA_CQL_REPLICATION=1"}
}
