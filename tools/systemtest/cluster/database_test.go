package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gocql/gocql"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/httpjson"
	"deuxfleurs.fr/garage/tools/repo"
)

// Ports of the database on Nomad, before the offset: at an address of loopback where no other has them, but for JMX.
const (
	cqlPort     = 9042
	storagePort = 7000
	jmxPort     = 7199
)

// The database of one node for development runs on Nomad as its job file says, with its data where the machine has it.
func TestADatabaseOfOneNodeOnNomad(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	env, err := f.cluster.Stack().Env()
	require.NoError(t, err)
	offset := f.cluster.Options().Offset
	ports, err := json.Marshal(map[string]int{"cql": cqlPort + offset, "storage": storagePort + offset, "jmx": jmxPort + offset})
	require.NoError(t, err)
	const job = "garage-cql"
	f.purge(job)
	f.run(f.jobFile("cql"), map[string]string{
		"driver": "raw_exec", "java": env["GARAGE_STACK_BIN_JAVA"], "libraries": env["GARAGE_STACK_BIN_CASSANDRA"],
		"node": "node-3", "address": "${meta.address}", "ports": string(ports),
	})
	cluster := gocql.NewCluster(fmt.Sprintf("127.0.0.13:%d", cqlPort+offset))
	cluster.DisableInitialHostLookup, cluster.Timeout, cluster.ConnectTimeout = true, 30*time.Second, 30*time.Second
	cluster.Consistency = gocql.One
	var session *gocql.Session
	f.until("it answers CQL", func() (err error) {
		if session, err = cluster.CreateSession(); err != nil {
			err = fmt.Errorf("%w\n%s", err, f.events(job))
		}
		return err
	})
	defer session.Close()
	for _, statement := range []string{
		"CREATE KEYSPACE IF NOT EXISTS trial WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
		"CREATE TABLE IF NOT EXISTS trial.t (k int PRIMARY KEY, v text)",
		"INSERT INTO trial.t (k, v) VALUES (1, 'kept')",
	} {
		require.NoError(t, session.Query(statement).WithContext(f.ctx).Exec(), statement)
	}
	var value string
	require.NoError(t, session.Query("SELECT v FROM trial.t WHERE k = 1").WithContext(f.ctx).Scan(&value))
	require.Equal(t, "kept", value)
	tables, err := filepath.Glob(filepath.Join(f.cluster.Data(), "cql-3", "data", "trial", "t-*"))
	require.NoError(t, err)
	require.Len(t, tables, 1, "the data is not in the folder of the machine")
}

// The weekly repair of the database, which is forced here: it runs the database's own tool with what nomad/consul allows it in Consul,
// and records when it succeeded, and only then.
func TestTheRepairOfTheDatabaseOnNomad(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	env, err := f.cluster.Stack().Env()
	require.NoError(t, err)
	const job, machine = "garage-cql-repair", "node-1"
	operator := http.Header{"X-Consul-Token": {env["GARAGE_STACK_CONSUL_TOKEN"]}}
	record := env["GARAGE_STACK_CONSUL"] + "/v1/kv/garage/database/repaired/" + machine
	t.Cleanup(func() {
		ctx, cancel := f.afterwards()
		defer cancel()
		require.NoError(t, httpjson.Call(ctx, http.MethodDelete, record, operator, nil, nil))
	})
	f.purge(job)
	token, err := f.cluster.ConsulToken("cql-repair")
	require.NoError(t, err)
	out, err := f.nomad("var", "put", "-force", "nomad/jobs/"+job, "CONSUL_HTTP_TOKEN="+token)
	require.NoError(t, err, "%s", out)

	nodetool := filepath.Join(t.TempDir(), "nodetool")
	repair := func(command []string) {
		script := "#!/bin/sh\nexec '" + strings.Join(command, "' '") + "' \"$@\"\n"
		require.NoError(t, os.WriteFile(nodetool, []byte(script), 0o700))
		f.run(f.jobFile("cql-repair"), map[string]string{
			"nodetool": nodetool, "consul": env["GARAGE_STACK_BIN_CONSUL"], "consul_address": strings.TrimPrefix(env["GARAGE_STACK_CONSUL"], "http://"),
		})
		out, err := f.nomad("job", "periodic", "force", "-detach", job)
		require.NoError(t, err, "%s", out)
	}
	repair([]string{"false"})
	f.until("the tool has failed", func() error {
		if events := f.events(job); !strings.Contains(events, "Terminated: ") {
			return fmt.Errorf("not yet: %s", events)
		}
		return nil
	})
	require.Equal(t, []repaired{{Machine: machine}}, f.repaired(), "a repair that failed counts")
	f.stop(f.ctx, job)

	command, err := f.cluster.Stack().NodetoolCommand(1)
	require.NoError(t, err)
	begun := time.Now().Truncate(time.Second)
	repair(command)
	f.until("the repair is recorded", func() error {
		if all := f.repaired(); len(all) != 1 || all[0].Repaired == nil {
			return fmt.Errorf("%v\n%s", all, f.events(job))
		}
		return nil
	})
	require.WithinRange(t, *f.repaired()[0].Repaired, begun, time.Now())
}

// repaired is when a machine of the database was repaired, nil for never.
type repaired struct {
	Machine  string
	Repaired *time.Time
}

// repaired is what "garage status" says of the machines of the database.
func (f *fixture) repaired() []repaired {
	f.Helper()
	bin, err := deploy.Bin()
	require.NoError(f, err)
	token, err := f.cluster.Token()
	require.NoError(f, err)
	cmd := exec.CommandContext(f.ctx, filepath.Join(bin, "garage"), "status", "--json")
	cmd.Env = append(os.Environ(), "GARAGE_ADMIN="+f.cluster.Admin(), "GARAGE_ADMIN_TOKEN="+token)
	out, err := cmd.Output()
	var status struct{ Database []repaired }
	require.NoError(f, errors.Join(json.Unmarshal(out, &status), err))
	return status.Database
}

// jobFile is the path of one of the job files.
func (f *fixture) jobFile(name string) string {
	f.Helper()
	root, err := repo.Root()
	require.NoError(f, err)
	return filepath.Join(root, "nomad", name+".nomad.hcl")
}
