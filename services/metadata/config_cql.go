package metadata

import (
	"crypto/tls"
	"time"

	"deuxfleurs.fr/garage/pkg/config"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/tlsfiles"
)

// Kinds of store.
const (
	StorePebble = "pebble" // in the service's own data folder
	StoreCQL    = "cql"    // in a database that several services share
)

// CQL is the settings of a store in ScyllaDB or Cassandra.
type CQL struct {
	Hosts       []string      `conf:"hosts" help:"some of the database's nodes, as host or host:port; the others are learned from them"`
	Keyspace    string        `conf:"keyspace" help:"keyspace that holds the tables; it is made if it is not there"`
	Replication string        `conf:"replication" help:"copies of the metadata when the keyspace is made: a number, or one for each datacentre as dc1:3,dc2:3"`
	Datacenter  string        `conf:"datacenter" help:"the database's datacentre that is near and is asked; by default all are"`
	Consistency string        `conf:"consistency" help:"nodes that each read and write waits for: a majority of all copies, or of those in the datacentre that is near (LOCAL_QUORUM), which is only for a keyspace that is in one datacentre" allowed:"QUORUM,LOCAL_QUORUM"`
	User        string        `conf:"user" help:"user of the database, if it asks for one"`
	Password    string        `conf:"password" help:"password of the user" secret:"true"`
	Timeout     time.Duration `conf:"timeout" help:"longest time for one request to the database" min:"100ms"`
	Patience    time.Duration `conf:"patience" help:"how long a database that does not answer is waited for at the start" min:"0s"`
	TLS         CQLTLS        `conf:"tls"`
}

// CQLTLS is how connections to the database are secured.
type CQLTLS struct {
	Enabled         bool   `conf:"enabled" help:"speaks TLS to the database"`
	CA              string `conf:"ca" help:"PEM file of the authority that issued the database's certificates; by default the machine's authorities"`
	Name            string `conf:"name" help:"name in the certificates of the database's nodes; by default that of each node's address"`
	tlsfiles.Config `conf:""`
}

// Validate refuses files without TLS.
func (t *CQLTLS) Validate() error {
	if !t.Enabled && (t.CA != "" || t.Config.Enabled()) {
		return config.Invalid("enabled", "must be true, since there are files for it")
	}
	return t.Config.Validate()
}

// Validate refuses settings that do not fit each other.
func (c *Config) Validate() error {
	if c.Store == StoreCQL && len(c.CQL.Hosts) == 0 {
		return config.Invalid("cql.hosts", "must name at least one node of the database, since metadata.store is cql")
	}
	if c.Store == StoreCQL && c.Sweep.Grace < leastGrace {
		return config.Invalid("sweep.grace", "must be at least %v, since metadata.store is cql: what another service is writing just now, by a clock that is behind, would be taken for garbage", leastGrace)
	}
	return nil
}

// leastGrace is more than a commit takes and the clocks of services that share a database differ.
const leastGrace = time.Minute

// config reads the files; nil is without TLS.
func (t CQLTLS) config() (*tls.Config, error) {
	if !t.Enabled {
		return nil, nil
	}
	authorities, err := tlsfiles.Authorities(t.CA)
	if err != nil {
		return nil, errors.Wrap(errors.Invalid, err, "setting metadata.cql.tls.ca")
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.Name, RootCAs: authorities}
	if t.Config.Enabled() {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, errors.Wrap(errors.Invalid, err, "settings metadata.cql.tls.cert and key")
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
