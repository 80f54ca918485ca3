package cql

import (
	"context"
	"strings"
	"time"

	"github.com/gocql/gocql"
	"github.com/scylladb/gocqlx/v2"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

const (
	keyspaceKnown = `SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?`
	localSchema   = `SELECT schema_version FROM system.local`
	peerSchemas   = `SELECT host_id, schema_version FROM system.peers`
	tableKnown    = `SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?`
)

// schemaNode is the node of the database through which every service changes the schema: that of the lowest ID among those
// that are up. A node of Cassandra that knows a table does not make it again, but two of them that make it at
// the same time give it two IDs, and then never agree on what it is. So services that start at once
// send what they make the same way, until the first table is there and a transaction in it says who makes the others.
func schemaNode(db gocqlx.Session) (string, error) {
	var lowest string
	for _, h := range db.GetHosts() {
		if id := h.HostID(); h.IsUp() && id != "" && (lowest == "" || id < lowest) {
			lowest = id
		}
	}
	if lowest == "" {
		return "", errors.Newf(errors.Unavailable, "no node of the database is up")
	}
	return lowest, nil
}

// define changes the schema, and waits until all nodes agree on it: before, too, so that the node knows what was made through another.
func define(ctx context.Context, db gocqlx.Session, cql string) error {
	if err := agree(ctx, db); err != nil {
		return err
	}
	node, err := schemaNode(db)
	if err != nil {
		return err
	}
	if err := db.ContextQuery(ctx, cql, nil).Query.SetHostID(node).Exec(); err != nil {
		return err
	}
	return agree(ctx, db)
}

const (
	agreeWithin = time.Minute
	agreePoll   = 100 * time.Millisecond
)

// agree waits until all nodes that are up have the schema of the one through which it is changed: others learn of a change late, and
// agree on the schema before it meanwhile.
func agree(ctx context.Context, db gocqlx.Session) error {
	ctx, cancel := context.WithTimeout(ctx, agreeWithin)
	defer cancel()
	for {
		behind, err := disagreeing(ctx, db)
		if err == nil && len(behind) == 0 {
			return nil
		}
		if clock.Sleep(ctx, clock.System{}, agreePoll) != nil {
			return errors.Wrap(errors.Unavailable, errors.Join(err, ctx.Err()), "waiting until all nodes of the database agree on the schema; behind are: %s", strings.Join(behind, ", "))
		}
	}
}

// disagreeing is the nodes that are up and have another schema than the node of the schema.
func disagreeing(ctx context.Context, db gocqlx.Session) ([]string, error) {
	node, err := schemaNode(db)
	if err != nil {
		return nil, err
	}
	read := func(cql string) *gocql.Query {
		return db.ContextQuery(ctx, cql, nil).Query.SetHostID(node).Consistency(gocql.One)
	}
	var schema gocql.UUID
	if err := read(localSchema).Scan(&schema); err != nil {
		return nil, err
	}
	up := make(map[string]string)
	for _, h := range db.GetHosts() {
		if h.IsUp() {
			up[h.HostID()] = h.ConnectAddress().String()
		}
	}
	var behind []string
	rows := read(peerSchemas).Iter()
	var id, theirs gocql.UUID
	for rows.Scan(&id, &theirs) {
		if name, ok := up[id.String()]; ok && theirs != schema {
			behind = append(behind, name)
		}
	}
	return behind, rows.Close()
}

// has says whether there is a row.
func has(ctx context.Context, db gocqlx.Session, cql string, args ...any) (bool, error) {
	var name string
	err := db.ContextQuery(ctx, cql, nil).Bind(args...).Scan(&name)
	if errors.IsTarget(err, gocql.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
