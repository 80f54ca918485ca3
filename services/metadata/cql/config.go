package cql

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"deuxfleurs.fr/garage/pkg/clock"
)

// Config is how to reach and keep the store.
type Config struct {
	// Hosts are some of the database's nodes, as host or host:port; the others are learned from them.
	Hosts []string
	// Keyspace holds the tables; it is made if it is not there.
	Keyspace string
	// Replication is for making the keyspace: "3", or "dc1:3,dc2:2". Empty: "3".
	Replication string
	// Datacenter, if not empty, is asked instead of others.
	Datacenter string
	// Consistency is "QUORUM" or "LOCAL_QUORUM"; empty is LOCAL_QUORUM with a datacentre and QUORUM without.
	Consistency string
	User        string
	Password    string
	TLS         *tls.Config // nil: without
	// Timeout bounds a statement; zero is 5 s.
	Timeout time.Duration
	// ClusterID is what the store must belong to; zero: whatever it belongs to, or a new one.
	ClusterID uuid.UUID
	// Writer names this service among those that share the keyspace: the node ID of its data folder.
	Writer uuid.UUID
	// Lease is how long a bucket or an upload that was seen open counts as open; zero is 1 s. All
	// services of a keyspace must have the same.
	Lease time.Duration
	// MaxSkew is how far Clock may be from the database's for what Measured gives to serve: at most a quarter of the age at which
	// ListGarbage.Before lets go, as two services may be twice as far from each other, and a commit takes time. Zero: any.
	MaxSkew time.Duration
	// OnGarbage, if not nil, is called when a write made garbage. It must not wait.
	OnGarbage func()
	// Clock gives the timestamps of versions; leases are measured on the machine's clock.
	Clock    clock.Clock
	Random   clock.Random
	Logger   *slog.Logger
	Registry prometheus.Registerer // nil: no metrics
	// Step, if not nil, is called between each two steps of a conditional write, and before the first table is made, for tests.
	Step func(ctx context.Context, name string)
	// lost, if it gives an error, has it take the place of the answer to a lightweight transaction that has run, for tests.
	lost func(cql string) error
	// dialer, if not nil, makes the connections, for tests.
	dialer gocql.Dialer
}

const (
	defaultTimeout     = 5 * time.Second
	defaultLease       = time.Second
	defaultReplication = "3"
)

// leaseMargin is how much longer than a lease one waits until it has surely ended.
func (s *Store) leaseMargin() time.Duration { return s.config.Lease * 5 / 4 }
