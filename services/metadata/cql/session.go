package cql

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gocql/gocql"
	"github.com/scylladb/gocqlx/v2"

	"deuxfleurs.fr/garage/pkg/errors"
)

var (
	keyspaceName   = regexp.MustCompile(`^[a-z][a-z0-9_]{0,47}$`)
	datacenterName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)
)

// cluster is the driver's configuration; keyspace is empty while the keyspace may not exist yet.
func (c Config) cluster(keyspace string) (*gocql.ClusterConfig, error) {
	if len(c.Hosts) == 0 {
		return nil, errors.E(errors.Invalid, errors.Setting, "metadata.cql.hosts", "name at least one node of the database")
	}
	if !keyspaceName.MatchString(c.Keyspace) {
		return nil, errors.E(errors.Invalid, errors.Setting, "metadata.cql.keyspace", "%q is not a keyspace of lower-case letters, digits and underscores", c.Keyspace)
	}
	cc := gocql.NewCluster(c.Hosts...)
	cc.Keyspace = keyspace
	switch c.Consistency {
	case "", "QUORUM", "LOCAL_QUORUM":
	default:
		return nil, errors.E(errors.Invalid, errors.Setting, "metadata.cql.consistency", "it is QUORUM or LOCAL_QUORUM, not %q", c.Consistency)
	}
	cc.Consistency, cc.SerialConsistency = gocql.Quorum, gocql.Serial
	if c.local() {
		cc.Consistency, cc.SerialConsistency = gocql.LocalQuorum, gocql.LocalSerial
	}
	fallback := gocql.RoundRobinHostPolicy()
	if c.Datacenter != "" {
		fallback = gocql.DCAwareRoundRobinPolicy(c.Datacenter)
	}
	cc.PoolConfig.HostSelectionPolicy = gocql.TokenAwareHostPolicy(fallback, gocql.ShuffleReplicas())
	cc.Timeout, cc.ConnectTimeout, cc.WriteTimeout = c.Timeout, c.Timeout, c.Timeout
	cc.MetadataSchemaRequestTimeout = 3 * c.Timeout
	cc.ReconnectInterval = reconnect
	cc.ReconnectionPolicy = &gocql.ConstantReconnectionPolicy{MaxRetries: 3, Interval: reconnect}
	cc.RetryPolicy = &retryPolicy{gocql.SimpleRetryPolicy{NumRetries: 2}}
	cc.DefaultTimestamp = false
	cc.WriteCoalesceWaitTime = 0
	cc.Logger = driverLog{c.Logger}
	if c.User != "" {
		cc.Authenticator = gocql.PasswordAuthenticator{Username: c.User, Password: c.Password}
	}
	if c.TLS != nil {
		cc.SslOpts = &gocql.SslOptions{Config: c.TLS, EnableHostVerification: !c.TLS.InsecureSkipVerify}
	}
	return cc, nil
}

// local says whether a quorum of the own datacentre is enough.
func (c Config) local() bool {
	return c.Consistency == "LOCAL_QUORUM" || c.Consistency == "" && c.Datacenter != ""
}

// reconnect is the time between two tries to reach a node that is away.
const reconnect = time.Second

// connect makes the session; kinds: Unavailable if no node answers, Invalid if a setting is wrong.
func (c Config) connect(keyspace string, observe func(*gocql.ClusterConfig)) (gocqlx.Session, error) {
	cc, err := c.cluster(keyspace)
	if err != nil {
		return gocqlx.Session{}, err
	}
	if observe != nil {
		observe(cc)
	}
	db, err := gocqlx.WrapSession(cc.CreateSession())
	if err != nil {
		return gocqlx.Session{}, errors.Wrap(errors.Unavailable, err,
			"the database at %s cannot be reached; check that it runs, and metadata.cql.hosts, user, password and TLS", strings.Join(c.Hosts, ", "))
	}
	return db, nil
}

// replication is the map of CREATE KEYSPACE for "3" or "dc1:3,dc2:2".
func replication(setting string) (string, error) {
	refused := errors.E(errors.Invalid, errors.Setting, "metadata.cql.replication", "it is a number of copies like 3, or datacentres with theirs like dc1:3,dc2:3, not %q", setting)
	if n, err := strconv.Atoi(setting); err == nil {
		if n < 1 {
			return "", refused
		}
		return fmt.Sprintf("{'class': 'SimpleStrategy', 'replication_factor': %d}", n), nil
	}
	var b strings.Builder
	b.WriteString("{'class': 'NetworkTopologyStrategy'")
	for _, part := range strings.Split(setting, ",") {
		dc, copies, ok := strings.Cut(strings.TrimSpace(part), ":")
		n, err := strconv.Atoi(copies)
		if !ok || err != nil || n < 1 || !datacenterName.MatchString(dc) {
			return "", refused
		}
		fmt.Fprintf(&b, ", '%s': %d", dc, n)
	}
	return b.String() + "}", nil
}

// driverLog hands the driver's messages on.
type driverLog struct{ log *slog.Logger }

func (l driverLog) Print(v ...any)                 { l.say(fmt.Sprint(v...)) }
func (l driverLog) Printf(format string, v ...any) { l.say(fmt.Sprintf(format, v...)) }
func (l driverLog) Println(v ...any)               { l.say(fmt.Sprintln(v...)) }

func (l driverLog) say(message string) {
	l.log.LogAttrs(context.Background(), slog.LevelDebug, "metadata database", slog.String("event", strings.TrimSpace(message)))
}
