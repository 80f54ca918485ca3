package cql

import (
	"context"
	"slices"
	"strings"

	"github.com/scylladb/gocqlx/v2"

	"deuxfleurs.fr/garage/pkg/errors"
)

const keyspaceCopies = `SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?`

// refuseDatacenters refuses LOCAL_QUORUM where it is not the same as QUORUM: what is written at the quorum of one datacentre
// is not read at that of another. So it is for a keyspace that is in one datacentre only.
func (c Config) refuseDatacenters(ctx context.Context, db gocqlx.Session) error {
	if !c.local() {
		return nil
	}
	copies := make(map[string]string)
	if err := db.ContextQuery(ctx, keyspaceCopies, nil).Bind(c.Keyspace).Scan(&copies); err != nil {
		return c.unreachable(err, "asking where the keyspace %s is", c.Keyspace)
	}
	var nodes []string
	for _, h := range db.GetHosts() {
		nodes = append(nodes, h.DataCenter())
	}
	if in := datacentersOf(copies, nodes); len(in) > 1 {
		return errors.E(errors.Invalid, errors.Setting, "metadata.cql.consistency",
			"the keyspace %s is in the datacentres %s: LOCAL_QUORUM would not read what was written in another, so set QUORUM", c.Keyspace, strings.Join(in, ", "))
	}
	return nil
}

// datacentersOf is where the copies of a keyspace are, by its replication and the datacentres of the nodes: SimpleStrategy and its
// like put them anywhere.
func datacentersOf(copies map[string]string, nodes []string) []string {
	var in []string
	for name, n := range copies {
		if name != "class" && n != "0" {
			in = append(in, name)
		}
	}
	if !strings.HasSuffix(copies["class"], "NetworkTopologyStrategy") {
		in = nodes
	}
	slices.Sort(in)
	return slices.Compact(in)
}
