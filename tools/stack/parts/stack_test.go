//go:build stack

package parts

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newStack opens a stack on free ports that is destroyed when the test ends.
func newStack(t *testing.T) *Stack {
	offset, err := FreeOffset()
	require.NoError(t, err)
	s, err := Open(Options{Data: filepath.Join(t.TempDir(), "stack"), Offset: offset, Progress: t.Output()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Destroy(context.Background())) })
	return s
}

func pids(t *testing.T, s *Stack) map[string]int {
	states, err := s.Status(t.Context())
	require.NoError(t, err)
	all := map[string]int{}
	for _, st := range states {
		require.NoError(t, st.Err, st.Name)
		all[st.Name] = st.PID
	}
	return all
}

func TestTwoStacksSideBySide(t *testing.T) {
	a, b := newStack(t), newStack(t)
	agents := Agents(2, 2)
	wanted := []Part{Consul{Agents: agents}, LDAP{}, Nomad{Clients: Clients(agents)}, Traefik{}}
	require.NoError(t, a.Up(t.Context(), wanted...))
	require.NoError(t, b.Up(t.Context(), wanted...))
	before, other := pids(t, a), pids(t, b)
	require.Len(t, before, 8)

	require.NoError(t, a.Up(t.Context(), wanted...), "up again")
	require.Equal(t, before, pids(t, a), "what runs stays as it is")

	require.NoError(t, a.Down(t.Context()))
	states, err := a.Status(t.Context())
	require.NoError(t, err)
	require.Empty(t, states)
	require.Equal(t, other, pids(t, b), "the other stack is none of its business")

	require.NoError(t, a.Up(t.Context(), wanted...), "up on the data of before")
	require.Len(t, pids(t, a), 8)
}

func TestAPartThatEndsIsSeenAndStartedAgain(t *testing.T) {
	s := newStack(t)
	require.NoError(t, s.Up(t.Context(), Consul{Agents: Agents(1, 1)}, LDAP{}))
	before := pids(t, s)
	p, err := s.Process("ldap")
	require.NoError(t, err)
	require.NoError(t, p.Kill(t.Context()))
	states, err := s.Status(t.Context())
	require.NoError(t, err)
	for _, st := range states {
		if st.Name == "ldap" {
			require.ErrorContains(t, st.Err, "does not run")
		} else {
			require.NoError(t, st.Err)
		}
	}
	require.NoError(t, s.Up(t.Context(), LDAP{}))
	after := pids(t, s)
	require.NotEqual(t, before["ldap"], after["ldap"])
	require.Equal(t, before["consul-server"], after["consul-server"])

	p, err = s.Process("consul-node-1")
	require.NoError(t, err)
	require.NoError(t, p.Stop(t.Context()))
	require.NoError(t, s.Restart(t.Context(), "consul-node-1"))
	pids(t, s)
}

func TestAPausedPartIsNotReady(t *testing.T) {
	s := newStack(t)
	require.NoError(t, s.Up(t.Context(), LDAP{}))
	p, err := s.Process("ldap")
	require.NoError(t, err)
	require.NoError(t, p.Pause())
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	states, err := s.Status(ctx)
	require.NoError(t, err)
	require.Error(t, states[0].Err)
	require.NoError(t, p.Resume())
	pids(t, s)
}

func TestAnAddressOfAnotherIsNotTakenForItsOwn(t *testing.T) {
	a := newStack(t)
	require.NoError(t, a.Up(t.Context(), LDAP{}))
	b, err := Open(Options{Data: filepath.Join(t.TempDir(), "other"), Offset: a.offset})
	require.NoError(t, err)
	require.ErrorContains(t, b.Up(t.Context(), LDAP{}), "address already in use")
}

func TestTheEnvironmentFileSaysWhereEverythingIs(t *testing.T) {
	s := newStack(t)
	require.NoError(t, s.Up(t.Context(), Consul{ACL: true}, LDAP{}))
	script := `. "$1" && ldapwhoami -x -H $GARAGE_STACK_LDAP -D $GARAGE_STACK_LDAP_ADMIN_DN -w $GARAGE_STACK_LDAP_ADMIN_PASSWORD &&
		CONSUL_HTTP_ADDR=$GARAGE_STACK_CONSUL CONSUL_HTTP_TOKEN=$GARAGE_STACK_CONSUL_TOKEN $GARAGE_STACK_BIN_CONSUL kv put a b`
	out, err := exec.Command("/bin/sh", "-c", script, "sh", filepath.Join(s.Data(), "env")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "dn:cn=admin")
	info, err := os.Stat(filepath.Join(s.Data(), "env"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "it holds secrets")

	require.NoError(t, s.Down(t.Context(), "ldap"))
	env, err := s.Env()
	require.NoError(t, err)
	require.NotContains(t, env, "GARAGE_STACK_LDAP")
	require.Contains(t, env, "GARAGE_STACK_CONSUL")
}

func TestWithACLsNobodyWritesWithoutAToken(t *testing.T) {
	s := newStack(t)
	require.NoError(t, s.Up(t.Context(), Consul{Agents: Agents(1, 1), ACL: true}))
	address := s.consulAddress("127.0.0.11")
	require.NoError(t, callConsul(t.Context(), "GET", address, "", "catalog/nodes", nil, nil))
	require.ErrorContains(t, callConsul(t.Context(), "PUT", address, "", "kv/a", "b", nil), "Permission denied")
	env, err := s.Env()
	require.NoError(t, err)
	require.NoError(t, callConsul(t.Context(), "PUT", address, env["GARAGE_STACK_CONSUL_TOKEN"], "kv/a", "b", nil))
}

// TestDownEndsTheTasksOfNomad looks at the promise that is hardest to keep: tasks are no children of the agents any more.
func TestDownEndsTheTasksOfNomad(t *testing.T) {
	s := newStack(t)
	agents := Agents(1, 1)
	require.NoError(t, s.Up(t.Context(), Consul{Agents: agents}, Nomad{Clients: Clients(agents)}))
	env, err := s.Env()
	require.NoError(t, err)
	job := `job "left" {
		group "g" {
			task "t" {
				driver = "raw_exec"
				config {
					command = "/bin/sleep"
					args = ["1000"]
				}
			}
		}
	}`
	cmd := exec.Command(env["GARAGE_STACK_BIN_NOMAD"], "job", "run", "-")
	cmd.Stdin, cmd.Env = strings.NewReader(job), append(os.Environ(), "NOMAD_ADDR="+env["GARAGE_STACK_NOMAD"])
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NotEmpty(t, below(t, s.Data()))
	p, err := s.Process("nomad-node-1")
	require.NoError(t, err)
	require.NoError(t, p.Kill(t.Context()))
	require.NotEmpty(t, below(t, s.Data()), "a task survives its agent")

	require.NoError(t, s.Down(t.Context(), "nomad"))
	require.Empty(t, below(t, s.Data()))
	mounts, err := os.ReadFile("/proc/mounts")
	require.NoError(t, err)
	require.NotContains(t, string(mounts), s.Data())
}

// below returns the tasks that run in the folder.
func below(t *testing.T, folder string) []string {
	var found []string
	dirs, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	for _, dir := range dirs {
		cwd, err := os.Readlink(filepath.Join(dir, "cwd"))
		if err == nil && strings.HasPrefix(cwd, folder) && strings.Contains(cwd, "/alloc/") {
			found = append(found, dir)
		}
	}
	return found
}

func TestANodeOfCassandraIsKilledAndComesBack(t *testing.T) {
	s := newStack(t)
	require.NoError(t, s.Up(t.Context(), Cassandra{Nodes: 3}))
	before := pids(t, s)
	require.Len(t, before, 3)
	env, err := s.Env()
	require.NoError(t, err)
	hosts := strings.Split(env["GARAGE_STACK_CQL"], ",")
	require.Len(t, hosts, 3)
	out, err := s.Nodetool(t.Context(), 1, "status")
	require.NoError(t, err)
	require.Equal(t, 3, strings.Count(out, "UN  127.0.0.2"), out)

	p, err := s.Process("cassandra-2")
	require.NoError(t, err)
	require.NoError(t, p.Kill(t.Context()))
	require.NoError(t, askCQL(t.Context(), hosts[0], "", one, "SELECT key FROM system.local"))
	require.Error(t, askCQL(t.Context(), hosts[0], "", most, "SELECT * FROM system_distributed.view_build_status WHERE keyspace_name = 'a' AND view_name = 'b'"))
	require.NoError(t, s.Restart(t.Context(), "cassandra-2"))
	require.NoError(t, together(t.Context(), hosts, ""))

	_, err = (&Cassandra{Nodes: 1}).nodes(s)
	require.ErrorContains(t, err, "of 3 nodes of Cassandra, not 1")
}

func TestASecureCassandraAsksForTLSAndAPassword(t *testing.T) {
	s := newStack(t)
	require.NoError(t, s.Up(t.Context(), Cassandra{Secure: true}))
	env, err := s.Env()
	require.NoError(t, err)
	address, ca := env["GARAGE_STACK_CQL"], env["GARAGE_STACK_CQL_CA"]
	const query = "SELECT key FROM system.local"
	require.NoError(t, askCQL(t.Context(), address, ca, one, query))
	require.Error(t, askCQL(t.Context(), address, "", one, query), "without TLS")
	conn, err := dialCQL(t.Context(), address, ca)
	require.NoError(t, err)
	defer conn.Close()
	startup := appendString(appendString([]byte{0, 1}, "CQL_VERSION"), "3.0.0")
	require.NoError(t, exchange(conn, opStartup, startup, opAuthenticate))
	account := "\x00cassandra\x00wrong"
	require.ErrorContains(t, exchange(conn, opAuthResponse, append([]byte{0, 0, 0, byte(len(account))}, account...), opAuthSuccess), "incorrect")
}
