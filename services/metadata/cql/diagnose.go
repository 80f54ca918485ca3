package cql

import (
	"context"
	"slices"
	"strings"

	"github.com/gocql/gocql"
)

// readSync is how nodes of the database make durable what they acknowledge. Cassandra has it in its table of settings, and ScyllaDB in that of
// its configuration.
var readSync = []string{
	`SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'`,
	`SELECT value FROM system.config WHERE name = 'commitlog_sync'`,
}

// syncSamples is how often it is asked: the answers are those of the nodes that the driver takes in turn.
const syncSamples = 6

// Reach returns nil if the database answers. Kinds: Unavailable.
func (s *Store) Reach(ctx context.Context) error {
	_, err := s.readCluster(ctx)
	return err
}

// CommitLogSync is how the nodes of the database that were asked make durable what they acknowledge: "batch", "group" or
// "periodic", or several with commas between them where nodes differ. Kinds: Unavailable, or as the database refuses to tell.
func (s *Store) CommitLogSync(ctx context.Context) (string, error) {
	var all []string
	for range syncSamples {
		value, err := s.oneSync(ctx)
		if err != nil {
			return "", s.failed(ctx, err, "asking how it syncs its commit log")
		}
		if value = strings.ToLower(strings.Trim(value, `"'`)); !slices.Contains(all, value) {
			all = append(all, value)
		}
	}
	slices.Sort(all)
	return strings.Join(all, ","), nil
}

func (s *Store) oneSync(ctx context.Context) (value string, err error) {
	for _, statement := range readSync {
		if _, err = s.scan(ctx, s.query(ctx, statement, nil).Idempotent(true).Consistency(gocql.One), []any{&value}); err == nil {
			return value, nil
		}
	}
	return "", err
}
