//go:build stack

package cql

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/services/metadata/cql"
	"deuxfleurs.fr/garage/tools/stack/parts"
)

// keyspace is this run's: its tables are made once, and emptied for each test.
var keyspace = fmt.Sprintf("garage_three_%d", os.Getpid())

func TestMain(m *testing.M) {
	code := m.Run()
	if session, err := connect(); err == nil {
		if err := session.Query("DROP KEYSPACE IF EXISTS " + keyspace).Exec(); err != nil {
			fmt.Fprintln(os.Stderr, "dropping the keyspace of the tests:", err)
		}
		session.Close()
	}
	os.Exit(code)
}

func hosts() []string { return strings.Split(os.Getenv("GARAGE_STACK_CQL"), ",") }

func connect() (*gocql.Session, error) {
	c := gocql.NewCluster(hosts()...)
	c.Timeout, c.ConnectTimeout, c.Consistency = time.Minute, time.Minute, gocql.Quorum
	return c.CreateSession()
}

// node is the database node that is hurt; the stack says where it is.
type node struct {
	t     *testing.T
	stack *parts.Stack
	name  string
}

// third is the node that tests hurt. It serves when they begin and, whatever they did, when they end.
func third(t *testing.T) *node {
	require.Len(t, hosts(), 3, "GARAGE_STACK_CQL must name three nodes: run this under `stack run cassandra --cql-nodes 3 -- …`")
	require.NotEmpty(t, os.Getenv("GARAGE_STACK_DATA"), "GARAGE_STACK_DATA must name the stack's folder, so that a node can be stopped")
	stack, err := parts.Open(parts.Options{Data: os.Getenv("GARAGE_STACK_DATA")})
	require.NoError(t, err)
	n := &node{t, stack, "cassandra-3"}
	n.ready()
	t.Cleanup(n.ready)
	return n
}

func (n *node) ctx() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 3*time.Minute)
}

// stop ends the node as an operator does, kill as a power failure does.
func (n *node) stop() { n.end(true) }
func (n *node) kill() { n.end(false) }

func (n *node) end(gently bool) {
	ctx, cancel := n.ctx()
	defer cancel()
	p, err := n.stack.Process(n.name)
	require.NoError(n.t, err)
	end := p.Kill
	if gently {
		end = p.Stop
	}
	require.NoError(n.t, end(ctx))
	n.t.Logf("%s is away", n.name)
}

// pause stops the node's clock, as it were: it answers nothing and breaks no connection.
func (n *node) pause() {
	p, err := n.stack.Process(n.name)
	require.NoError(n.t, err)
	require.NoError(n.t, p.Pause())
	n.t.Logf("%s is paused", n.name)
}

func (n *node) resume() {
	p, err := n.stack.Process(n.name)
	require.NoError(n.t, err)
	require.NoError(n.t, p.Resume())
	n.t.Logf("%s goes on", n.name)
}

// boot starts the node and does not wait until it serves.
func (n *node) boot() {
	p, err := n.stack.Process(n.name)
	require.NoError(n.t, err)
	require.NoError(n.t, p.Start())
	n.t.Logf("%s starts", n.name)
}

// ready starts the node if it does not run, and returns when it serves.
func (n *node) ready() {
	ctx, cancel := n.ctx()
	defer cancel()
	p, err := n.stack.Process(n.name)
	require.NoError(n.t, err)
	if !p.Alive() {
		require.NoError(n.t, n.stack.Restart(ctx, n.name))
		return
	}
	require.NoError(n.t, p.Resume())
	require.Eventually(n.t, func() bool {
		states, err := n.stack.Status(ctx)
		return err == nil && slices.ContainsFunc(states, func(s parts.State) bool { return s.Name == n.name && s.Err == nil })
	}, 3*time.Minute, 200*time.Millisecond, "%s does not serve", n.name)
}

// lease of the stores here: short, so that deletions of buckets and the ends of claims are.
const lease = 500 * time.Millisecond

func config(c clock.Clock) cql.Config {
	return cql.Config{
		Hosts: hosts(), Keyspace: keyspace, Replication: "3", Timeout: 20 * time.Second, Writer: uuid.New(), Lease: lease,
		Clock: c, Random: clock.SystemRandom, Logger: slog.New(slog.DiscardHandler),
	}
}

func open(t *testing.T, c cql.Config) *cql.Store {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	s, err := cql.Open(ctx, c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// shortLease is for stores that are alone in their keyspace, and delete many buckets.
const shortLease = lease / 5

// empty opens a store with nothing in it.
func empty(t *testing.T, c clock.Clock) *cql.Store {
	alone := config(c)
	alone.Lease = shortLease
	s := open(t, alone)
	session, err := connect()
	require.NoError(t, err)
	defer session.Close()
	for table, key := range map[string]string{"buckets": "name", "bucket_ids": "id", "keys": "access_key", "leases": "name"} {
		rows, err := session.Query("SELECT " + key + " FROM " + keyspace + "." + table).Iter().SliceMap()
		require.NoError(t, err)
		for _, row := range rows {
			require.NoError(t, session.Query("DELETE FROM "+keyspace+"."+table+" WHERE "+key+" = ? IF EXISTS", row[key]).Exec())
		}
	}
	return s
}
