//go:build stack

package cql

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
)

// testKeyspace is this run's, for tests that follow each other: tables are made once, and emptied for each store.
var testKeyspace = fmt.Sprintf("garage_test_%d", os.Getpid())

// keyspaces are those for tests that run side by side: as many as do.
var keyspaces = struct {
	sync.Mutex
	made int
	free []string
	of   map[string]string // by the name of the test
}{of: make(map[string]string)}

// sideBySide is how many tests run side by side unless -parallel says so: they mostly wait.
const sideBySide = "4"

func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		if err := flag.Set("test.parallel", sideBySide); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	for _, name := range append(keyspaces.free, testKeyspace) {
		if err := dropKeyspace(name); err != nil {
			fmt.Fprintln(os.Stderr, "dropping the keyspace of the tests:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// alone lets a test run beside others, in a keyspace that it has for itself.
func alone(t *testing.T) {
	t.Parallel()
	keyspaces.Lock()
	defer keyspaces.Unlock()
	if len(keyspaces.free) == 0 {
		keyspaces.made++
		keyspaces.free = append(keyspaces.free, fmt.Sprintf("%s_%d", testKeyspace, keyspaces.made))
	}
	last := len(keyspaces.free) - 1
	name := keyspaces.free[last]
	keyspaces.free, keyspaces.of[t.Name()] = keyspaces.free[:last], name
	t.Cleanup(func() {
		keyspaces.Lock()
		defer keyspaces.Unlock()
		keyspaces.free = append(keyspaces.free, name)
		delete(keyspaces.of, t.Name())
	})
}

func keyspaceOf(test string) string {
	keyspaces.Lock()
	defer keyspaces.Unlock()
	if name, ok := keyspaces.of[test]; ok {
		return name
	}
	return testKeyspace
}

func hosts() ([]string, error) {
	list := os.Getenv("GARAGE_STACK_CQL")
	if list == "" {
		return nil, fmt.Errorf("GARAGE_STACK_CQL is not set: start a database (go run ./tools/stack up cassandra) and set it to its nodes, as host:port,…")
	}
	return strings.Split(list, ","), nil
}

func dropKeyspace(name string) error {
	at, err := hosts()
	if err != nil {
		return err
	}
	c := Config{Hosts: at, Keyspace: name}
	c.fill()
	c.Timeout = time.Minute
	db, err := c.connect("", nil)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.ExecStmt("DROP KEYSPACE IF EXISTS " + name)
}

// testLease is short, so that deletions of buckets are fast; the machine may be slow, which costs a read and no more.
const testLease = 100 * time.Millisecond

func testConfig(t testing.TB, c clock.Clock) Config {
	at, err := hosts()
	require.NoError(t, err)
	replication := "1"
	if len(at) >= 3 {
		replication = "3"
	}
	return Config{
		Hosts: at, Keyspace: keyspaceOf(t.Name()), Replication: replication, Timeout: 20 * time.Second, Writer: uuid.New(), Lease: testLease,
		Clock: c, Random: clock.SystemRandom, Logger: slog.New(slog.DiscardHandler),
	}
}

// openWith opens a store on what the keyspace holds.
func openWith(t testing.TB, c Config) *Store {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	s, err := Open(ctx, c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// openStore opens an empty store.
func openStore(t testing.TB, c clock.Clock) *Store {
	s := openWith(t, testConfig(t, c))
	require.NoError(t, wipe(s))
	return s
}

// wipe empties the small tables, from which everything else is found.
func wipe(s *Store) error {
	ctx := context.Background()
	for table, key := range map[string]string{"buckets": "name", "bucket_ids": "id", "keys": "access_key", "leases": "name"} {
		names, err := s.db.ContextQuery(ctx, "SELECT "+key+" FROM "+table, nil).Iter().SliceMap()
		if err != nil {
			return err
		}
		for _, row := range names {
			if err := s.db.ContextQuery(ctx, "DELETE FROM "+table+" WHERE "+key+" = ? IF EXISTS", nil).Bind(row[key]).Exec(); err != nil {
				return err
			}
		}
	}
	return nil
}
