package cql

import (
	"context"
	"fmt"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/uuid"
	"github.com/scylladb/gocqlx/v2"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

const (
	schemaVersions = `CREATE TABLE IF NOT EXISTS schema_version (
		name text PRIMARY KEY, -- "schema"
		version int,
		holder uuid, -- who migrates it
		until bigint
	)`
	makeVersion    = `INSERT INTO schema_version (name, version) VALUES ('schema', 0) IF NOT EXISTS`
	readVersion    = `SELECT version, holder, until FROM schema_version WHERE name = 'schema'`
	takeSchema     = `UPDATE schema_version SET holder = ?, until = ? WHERE name = 'schema' IF version = ? AND until = ?`
	raiseSchema    = `UPDATE schema_version SET version = ?, until = null WHERE name = 'schema' IF holder = ? AND version = ?`
	readCluster    = `SELECT id FROM cluster WHERE name = 'cluster'`
	makeCluster    = `INSERT INTO cluster (name, id, created) VALUES ('cluster', ?, ?) IF NOT EXISTS`
	columnKnown    = `SELECT type FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ? AND column_name = ?`
	serverIsScylla = `SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'system' AND table_name = 'scylla_local'`
	keyspaceScylla = `SELECT initial_tablets FROM system_schema.scylla_keyspaces WHERE keyspace_name = ?`
)

// schemaLease is how long one service may take for one migration before another tries.
const schemaLease = 2 * time.Minute

// prepare makes the keyspace if it is not there, and refuses one that cannot work.
func (c Config) prepare(ctx context.Context) error {
	copies, err := replication(c.Replication)
	if err != nil {
		return err
	}
	db, err := c.connect("", nil)
	if err != nil {
		return err
	}
	defer db.Close()
	scylla, err := has(ctx, db, serverIsScylla)
	if err != nil {
		return c.unreachable(err, "asking what the database is")
	}
	known, err := has(ctx, db, keyspaceKnown, c.Keyspace)
	if err != nil {
		return c.unreachable(err, "looking for the keyspace %s", c.Keyspace)
	}
	create := fmt.Sprintf("CREATE KEYSPACE IF NOT EXISTS %s WITH replication = %s", c.Keyspace, copies)
	if scylla {
		create += " AND tablets = {'enabled': false}"
	}
	if known {
		// Another service may be making it just now.
		err = agree(ctx, db)
	} else {
		err = define(ctx, db, create)
	}
	if err != nil {
		return c.unreachable(err, "making the keyspace %s; give the user the right to, or run: %s;", c.Keyspace, create)
	}
	if known && scylla {
		if err := c.refuseTablets(ctx, db, create); err != nil {
			return err
		}
	}
	return c.refuseDatacenters(ctx, db)
}

// refuseTablets refuses a keyspace of ScyllaDB in which lightweight transactions are not supported.
func (c Config) refuseTablets(ctx context.Context, db gocqlx.Session, create string) error {
	var tablets *int
	err := db.ContextQuery(ctx, keyspaceScylla, nil).Bind(c.Keyspace).Scan(&tablets)
	switch {
	case errors.IsTarget(err, gocql.ErrNotFound):
		return nil
	case err != nil:
		var request gocql.RequestError
		if errors.As(err, &request) && request.Code() == gocql.ErrCodeInvalid {
			return nil // a version before tablets has no such table or column
		}
		return c.unreachable(err, "asking whether the keyspace %s has tablets", c.Keyspace)
	case tablets != nil:
		return errors.Newf(errors.Invalid, "the keyspace %[1]s has tablets, with which lightweight transactions are not supported; if it holds nothing, run: DROP KEYSPACE %[1]s; %[2]s;", c.Keyspace, create)
	}
	return nil
}

func (c Config) unreachable(err error, format string, args ...any) error {
	return errors.Wrap(errors.Unavailable, err, format, args...)
}

// begin brings the schema to the version of this program and checks whose the keyspace is.
func (s *Store) begin(ctx context.Context) error {
	known, err := has(ctx, s.db, tableKnown, s.config.Keyspace, "schema_version")
	if err != nil {
		return s.failed(ctx, err, "looking for the")
	}
	if known {
		err = agree(ctx, s.db)
	} else {
		s.config.Step(ctx, "first table")
		err = s.define(ctx, schemaVersions)
	}
	if err != nil {
		return err
	}
	if err := s.makeVersion(ctx); err != nil {
		return err
	}
	if err := s.migrate(ctx, migrations); err != nil {
		return err
	}
	if err := s.identify(ctx); err != nil {
		return err
	}
	if s.skew.due() {
		return s.measureSkew(ctx)
	}
	return nil
}

// makeVersion makes the first row. A node lists a table a moment before it knows it, and refuses until then what is about it; so it
// is asked again for a while.
func (s *Store) makeVersion(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, agreeWithin)
	defer cancel()
	for {
		_, _, err := s.cas(ctx, makeVersion)
		var request gocql.RequestError
		if err == nil || !errors.As(err, &request) || request.Code() != gocql.ErrCodeInvalid || clock.Sleep(waiting, clock.System{}, agreePoll) != nil {
			return err
		}
	}
}

// migrate applies what the schema lacks, one step after the other; other services that start wait for it.
func (s *Store) migrate(ctx context.Context, steps []migration) error {
	me, err := s.newID()
	if err != nil {
		return err
	}
	for {
		var version int
		var holder *uuid.UUID
		var until *int64
		if _, err := s.serial(ctx, []any{&version, &holder, &until}, readVersion); err != nil {
			return err
		}
		if version > len(steps) {
			return errors.Newf(errors.Invalid, "its schema is version %d and this program knows %d: start it with the version of Garage that wrote it", version, len(steps))
		}
		if version == len(steps) {
			return agree(ctx, s.db)
		}
		if until != nil && time.Now().Before(timeAt(*until)) {
			if err := clock.Sleep(ctx, clock.System{}, 100*time.Millisecond); err != nil {
				return errors.Wrap(errors.KindOf(err), err, "waiting for the service %v, which migrates the schema", holder)
			}
			continue
		}
		taken, _, err := s.cas(ctx, takeSchema, me, at(time.Now().Add(schemaLease)), version, until)
		if err != nil {
			return err
		}
		if !taken {
			continue
		}
		s.log.Info("migrating the schema of the metadata", "from", version, "to", version+1)
		if err := s.apply(ctx, steps[version]); err != nil {
			return errors.Annotate(err, "migrating the schema from version %d to %d", version, version+1)
		}
		if err := agree(ctx, s.db); err != nil {
			return err
		}
		if _, _, err := s.cas(ctx, raiseSchema, version+1, me, version); err != nil {
			return err
		}
	}
}

func (s *Store) apply(ctx context.Context, m migration) error {
	for _, cql := range m.statements {
		if err := s.define(ctx, cql); err != nil {
			return err
		}
	}
	for _, c := range m.columns {
		var kind string
		known, err := s.one(ctx, []any{&kind}, columnKnown, s.config.Keyspace, c.table, c.name)
		if err != nil {
			return err
		}
		if known {
			continue
		}
		if err := s.define(ctx, fmt.Sprintf("ALTER TABLE %s ADD %s %s", c.table, c.name, c.kind)); err != nil {
			return err
		}
	}
	return nil
}

// define changes the schema.
func (s *Store) define(ctx context.Context, cql string) error {
	return s.failed(ctx, define(ctx, s.db, cql), "defining the tables of the")
}

// identify reads whose keyspace it is, or makes it this cluster's.
func (s *Store) identify(ctx context.Context) error {
	want := s.config.ClusterID
	if want == uuid.Nil {
		var err error
		if want, err = s.newID(); err != nil {
			return err
		}
	}
	id, err := s.readCluster(ctx)
	if err != nil {
		return err
	}
	if id == uuid.Nil {
		// Two services may do so at once: what is read after it is what holds.
		if _, _, err := s.cas(ctx, makeCluster, want, at(s.now())); err != nil {
			return err
		}
		if _, err := s.serial(ctx, []any{&id}, readCluster); err != nil {
			return err
		}
	}
	s.cluster = id
	if s.config.ClusterID != uuid.Nil && s.config.ClusterID != id {
		return errors.Newf(errors.Invalid, "it belongs to the cluster %v, not to %v: mixing clusters would lose data", id, s.config.ClusterID)
	}
	return nil
}

func (s *Store) readCluster(ctx context.Context) (uuid.UUID, error) {
	var id uuid.UUID
	_, err := s.one(ctx, []any{&id}, readCluster)
	return id, err
}
