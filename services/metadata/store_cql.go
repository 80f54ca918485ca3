//go:build !(386 || arm || mips || mipsle)

package metadata

import (
	"context"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/metadata/cql"
)

// retryOpen is the time between two tries to reach the database.
const retryOpen = time.Second

// skewOfGrace is the part of the sweeper's grace that a clock may be wrong: two services are twice as far from each
// other, and half of it is left for what a write takes.
const skewOfGrace = 4

// openCQL waits for a database that does not answer yet, as when all of a cluster is started at once.
func openCQL(all Config, d Deps, onGarbage func()) (meta.Store, database, error) {
	if d.NodeID == uuid.Nil {
		return nil, nil, errors.Newf(errors.Invalid, "the metadata service needs its node's ID for a store that several share")
	}
	c := all.CQL
	secured, err := c.TLS.config()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.Patience)
	defer cancel()
	for tries := 1; ; tries++ {
		s, err := cql.Open(ctx, cql.Config{
			Hosts: c.Hosts, Keyspace: c.Keyspace, Replication: c.Replication, Datacenter: c.Datacenter, Consistency: c.Consistency,
			User: c.User, Password: c.Password, TLS: secured, Timeout: c.Timeout, ClusterID: d.ClusterID, Writer: d.NodeID,
			MaxSkew:   all.Sweep.Grace / skewOfGrace,
			OnGarbage: onGarbage, Clock: d.Clock, Random: d.Random, Logger: d.Logger, Registry: d.Registry,
		})
		if err == nil {
			return s.Measured(), s, nil
		}
		if !errors.Is(err, errors.Unavailable) {
			return nil, nil, err
		}
		if tries == 1 {
			d.Logger.Warn("the metadata database is not there yet; it is tried again", "for", c.Patience, "error", err)
		}
		if clock.Sleep(ctx, clock.System{}, retryOpen) != nil {
			return nil, nil, err
		}
	}
}
