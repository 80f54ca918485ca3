//go:build stack

package consul

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gocql/gocql"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/httpjson"
	"deuxfleurs.fr/garage/tools/s3client"
)

const (
	patience = time.Minute
	token    = "0123456789abcdef0123456789abcdef"
)

// run is what the programs of one test have in common.
type run struct {
	t        *testing.T
	dir, bin string
	env      []string
	s3       s3client.Endpoint
	admin    string // of the rebalancer

	chunkNodes, metadata []*program
}

// program is a process that may be ended and started again.
type program struct {
	run   *run
	name  string
	admin string
	args  []string
	log   string
	cmd   *exec.Cmd
	ended chan struct{}
}

func required(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: run this under \"stack run consul cassandra -- go test -tags stack …\"", name)
	}
	return value
}

// none has no program yet.
func none(t *testing.T, env ...string) *run {
	t.Helper()
	bin, err := deploy.Bin()
	require.NoError(t, err)
	r := &run{t: t, dir: t.TempDir(), bin: bin}
	r.env = append(append(os.Environ(),
		"CONSUL_HTTP_ADDR="+required(t, "GARAGE_STACK_CONSUL"), "CONSUL_HTTP_TOKEN="+os.Getenv("GARAGE_STACK_CONSUL_TOKEN"),
		"GARAGE_CONSUL_ENABLED=true", "GARAGE_RPC_TLS_SOURCE=consul", "GARAGE_ADMIN_TOKEN="+token), env...)
	return r
}

// begin starts three chunk-nodes, two metadata services, a rebalancer and a gateway, and returns when S3 answers.
func begin(t *testing.T) *run {
	t.Helper()
	unique := fmt.Sprintf("garage_consul_%d", time.Now().UnixNano())
	hosts := required(t, "GARAGE_STACK_CQL")
	r := none(t, "GARAGE_CONSUL_PREFIX="+unique,
		"GARAGE_METADATA_STORE=cql", "GARAGE_METADATA_CQL_HOSTS="+hosts, "GARAGE_METADATA_CQL_KEYSPACE="+unique, "GARAGE_METADATA_CQL_REPLICATION=1")
	t.Cleanup(func() { drop(t, hosts, unique) })
	for i := range 3 {
		r.chunkNodes = append(r.chunkNodes, r.program(fmt.Sprintf("chunk-node-%d", i+1), "--listen", free(t), "--zone", fmt.Sprintf("zone-%d", i+1)))
	}
	for i := range 2 {
		r.metadata = append(r.metadata, r.program(fmt.Sprintf("metadata-%d", i+1), "--listen", free(t)))
	}
	rebalancer := r.program("rebalancer", "--listen", free(t))
	r.admin = rebalancer.admin
	s3 := free(t)
	gateway := r.program("s3-gateway", "--s3", s3)
	all := append(append(append([]*program{}, r.chunkNodes...), r.metadata...), rebalancer, gateway)
	for _, p := range all {
		p.start()
	}
	for _, p := range all {
		p.ready()
	}
	r.until("a layout of three nodes is in force", func() error {
		for _, command := range [][]string{{"assign", "--all"}, {"replication", "3"}, {"apply"}} {
			if err := r.cli(append([]string{"layout"}, command...)...); err != nil {
				return err
			}
		}
		return nil
	})
	r.s3 = s3client.Endpoint{URL: "http://" + s3, Region: "garage"}
	r.until("a key is made", r.makeKey)
	return r
}

// drop removes the keyspace of a test.
func drop(t *testing.T, hosts, keyspace string) {
	c := gocql.NewCluster(strings.Split(hosts, ",")...)
	c.Timeout, c.ConnectTimeout = patience, patience
	session, err := c.CreateSession()
	require.NoError(t, err)
	defer session.Close()
	require.NoError(t, session.Query("DROP KEYSPACE IF EXISTS "+keyspace).Exec())
}

// free is an address of this machine on which nobody listens now.
func free(t *testing.T) string {
	t.Helper()
	a, err := deploy.FreeAddress()
	require.NoError(t, err)
	return a
}

// numbered is the end of the name of one of several.
var numbered = regexp.MustCompile(`-\d.*$`)

// data is the folder of a program.
func (p *program) data() string { return filepath.Join(p.run.dir, p.name) }

func (r *run) program(name string, args ...string) *program {
	p := &program{run: r, name: name, admin: free(r.t), log: filepath.Join(r.dir, name+".log")}
	program := numbered.ReplaceAllString(name, "")
	p.args = append([]string{filepath.Join(r.bin, program), "--data", p.data(), "--admin", p.admin}, args...)
	r.t.Cleanup(func() {
		if r.t.Failed() {
			text, err := os.ReadFile(p.log)
			r.t.Logf("--- %s: %v\n%s", name, err, text[max(0, len(text)-4000):])
		}
		p.end(syscall.SIGKILL)
	})
	return p
}

// until tries until it succeeds.
func (r *run) until(what string, try func() error) {
	r.t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	require.NoError(r.t, err, "waiting until %s", what)
}

func (r *run) cli(args ...string) error {
	_, err := r.ask(args...)
	return err
}

func (r *run) ask(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(r.bin, "garage"), args...)
	cmd.Env = append(append([]string{}, r.env...), "GARAGE_ADMIN="+r.admin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("garage %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), err
}

var keyLine = regexp.MustCompile(`(?m)^(access|secret) key\s+(\S+)$`)

func (r *run) makeKey() error {
	out, err := r.ask("key", "create", "test", "--create-buckets")
	if err != nil {
		return err
	}
	found := keyLine.FindAllStringSubmatch(out, -1)
	if len(found) != 2 {
		return fmt.Errorf("no key in %s", out)
	}
	r.s3.AccessKey, r.s3.SecretKey = found[0][2], found[1][2]
	return nil
}

func (p *program) start() {
	p.run.t.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(p.run.t, err)
	defer log.Close()
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	p.cmd.Env, p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = p.run.env, p.run.dir, log, log
	require.NoError(p.run.t, p.cmd.Start())
	p.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) {
		defer close(ended)
		_ = cmd.Wait() // that it was killed is what the test is about
	}(p.cmd, p.ended)
}

// ready waits until the program says that it can serve.
func (p *program) ready() {
	p.run.t.Helper()
	p.run.until(p.name+" is ready", func() error {
		select {
		case <-p.ended:
			text, _ := os.ReadFile(p.log)
			require.Fail(p.run.t, p.name+" has ended", "%s", bytes.TrimSpace(text[max(0, len(text)-2000):]))
		default:
		}
		return httpjson.Call(p.run.t.Context(), http.MethodGet, "http://"+p.admin+"/healthz", nil, nil, nil)
	})
}

// end ends the process, with SIGKILL or as an operator does, and waits until it is gone.
func (p *program) end(signal syscall.Signal) {
	p.run.t.Helper()
	if p.cmd == nil {
		return
	}
	select {
	case <-p.ended:
		return
	default:
	}
	require.NoError(p.run.t, p.cmd.Process.Signal(signal))
	select {
	case <-p.ended:
	case <-time.After(patience):
		require.Fail(p.run.t, p.name+" did not end")
	}
}
