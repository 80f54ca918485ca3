//go:build stack

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rogpeppe/go-internal/testscript"

	"deuxfleurs.fr/garage/pkg/adminserver"
)

// patience is how long anything may take that does take place in the end.
const patience = time.Minute

var programs = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "garage-programs-")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-o", folder+"/", "deuxfleurs.fr/garage/services/cmd/rebalancer",
		"deuxfleurs.fr/garage/services/cmd/chunk-node", "deuxfleurs.fr/garage/services/cmd/metadata")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the programs: %w\n%s", err, out)
	}
	return folder, nil
})

// The scripts of a cluster share one Consul, in which services have fixed names: they run one after the other.

func TestTheLayoutIsChangedOverAnyRebalancer(t *testing.T) { runCluster(t, "layout.txtar") }
func TestAnotherRebalancerTakesOver(t *testing.T)          { runCluster(t, "takeover.txtar") }
func TestNodesStopOneAfterTheOther(t *testing.T)           { runCluster(t, "leave.txtar") }
func TestOfTwoOperatorsOneWins(t *testing.T)               { runCluster(t, "operators.txtar") }

func TestDoctorExaminesAllThatConsulKnows(t *testing.T) { runCluster(t, "doctor.txtar") }

func runCluster(t *testing.T, script string) {
	consul := os.Getenv("GARAGE_STACK_CONSUL")
	if consul == "" {
		t.Fatal("GARAGE_STACK_CONSUL is not set: give it the HTTP address of a Consul agent for tests, such as tools/stack starts")
	}
	folder, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	c := &machines{programs: folder, consul: consul, running: map[string]*machine{}}
	testscript.Run(t, testscript.Params{
		Files: []string{filepath.Join("testdata", "cluster", script)},
		Setup: func(env *testscript.Env) error {
			c.prefix = "garage-test-" + uuid.NewString()
			c.folder = env.WorkDir
			env.Setenv("GARAGE_DATA", filepath.Join(env.WorkDir, "one"))
			env.Defer(func() {
				if err := c.end(); err != nil {
					t.Error(err)
				}
			})
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start": c.start, "terminate": c.signal(syscall.SIGTERM), "crash": c.signal(syscall.SIGKILL), "ended": c.ended, "until": until, "within": within,
			"running": c.isRunning, "logged": c.logged, "together": together, "status": status, "call": c.call, "count": c.count,
		},
	})
}

// machines are the programs that a script has started, by their names.
type machines struct {
	programs, consul, prefix, folder string

	running map[string]*machine
}

type machine struct {
	process *exec.Cmd
	done    chan struct{} // closed when it has ended
	data    string
}

// start NAME PROGRAM [SETTING=VALUE…] starts a program and waits until it can serve.
func (c *machines) start(ts *testscript.TestScript, _ bool, args []string) {
	name, program := args[0], args[1]
	data := filepath.Join(c.folder, name)
	_ = os.Remove(filepath.Join(data, adminserver.AddressFile))
	log, err := os.OpenFile(data+".log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	ts.Check(err)
	defer log.Close()
	cmd := exec.Command(filepath.Join(c.programs, program), "--data", data, "--admin", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "CONSUL_HTTP_ADDR="+c.consul, "GARAGE_CONSUL_ENABLED=true", "GARAGE_CONSUL_PREFIX="+c.prefix,
		"GARAGE_RPC_LISTEN=127.0.0.1:0", "GARAGE_CONSUL_DRAIN=100ms", "GARAGE_REBALANCER_RETURN_TIME=1s", "GARAGE_ADMIN_TOKEN=token-of-the-tests")
	cmd.Env = append(cmd.Env, args[2:]...)
	cmd.Stdout, cmd.Stderr = log, log
	ts.Check(cmd.Start())
	m := &machine{process: cmd, done: make(chan struct{}), data: data}
	go func() { _ = cmd.Wait(); close(m.done) }()
	c.running[name] = m
	ts.Check(poll(patience, func() error {
		address, err := os.ReadFile(filepath.Join(data, adminserver.AddressFile))
		if err != nil {
			return err
		}
		answer, err := http.Get("http://" + strings.TrimSpace(string(address)) + "/healthz")
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", name, answer.Status)
		}
		return nil
	}))
}

func (c *machines) named(ts *testscript.TestScript, name string) *machine {
	m := c.running[name]
	if m == nil {
		ts.Fatalf("%s was not started", name)
	}
	return m
}

// terminate NAME… and crash NAME… do not wait until the programs have ended.
func (c *machines) signal(s syscall.Signal) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, names []string) {
		for _, name := range names {
			if err := c.named(ts, name).process.Process.Signal(s); !errors.Is(err, os.ErrProcessDone) {
				ts.Check(err)
			}
		}
	}
}

// ended NAME… waits until the programs have ended.
func (c *machines) ended(ts *testscript.TestScript, _ bool, names []string) {
	for _, name := range names {
		select {
		case <-c.named(ts, name).done:
		case <-time.After(patience):
			ts.Fatalf("%s does not end", name)
		}
	}
}

// running COUNT NAME… looks whether that many of the programs run.
func (c *machines) isRunning(ts *testscript.TestScript, _ bool, args []string) {
	count := 0
	for _, name := range args[1:] {
		select {
		case <-c.named(ts, name).done:
		default:
			count++
		}
	}
	if fmt.Sprint(count) != args[0] {
		ts.Fatalf("%d of %v run", count, args[1:])
	}
}

// logged PATTERN NAME… waits until the log of one of the programs has it.
func (c *machines) logged(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile(args[0])
	ts.Check(poll(patience, func() error {
		for _, name := range args[1:] {
			content, err := os.ReadFile(c.named(ts, name).data + ".log")
			if err != nil {
				return err
			}
			if pattern.Match(content) {
				return nil
			}
		}
		return fmt.Errorf("no log of %v has %q", args[1:], args[0])
	}))
}

// until PATTERN COMMAND… runs a command until what it writes has the pattern.
func until(ts *testscript.TestScript, _ bool, args []string) { repeat(ts, patience, args) }

// within TIME PATTERN COMMAND… is until with a time.
func within(ts *testscript.TestScript, _ bool, args []string) {
	limit, err := time.ParseDuration(args[0])
	ts.Check(err)
	repeat(ts, limit, args[1:])
}

func repeat(ts *testscript.TestScript, limit time.Duration, args []string) {
	pattern := regexp.MustCompile(args[0])
	ts.Check(poll(limit, func() error {
		err := ts.Exec(args[1], args[2:]...)
		if out := ts.ReadFile("stdout") + ts.ReadFile("stderr"); !pattern.MatchString(out) {
			return fmt.Errorf("%v does not write %q (%w), but:\n%s", args[1:], args[0], err, out)
		}
		return nil
	}))
}

// together N COMMAND… runs a command N times at once; one must succeed, and the others fail with an error that says that
// nothing was changed, or that nothing is staged.
func together(ts *testscript.TestScript, _ bool, args []string) {
	var n int
	_, err := fmt.Sscan(args[0], &n)
	ts.Check(err)
	type result struct {
		out []byte
		err error
	}
	results := make([]result, n)
	program, err := exec.LookPath(filepath.Join(strings.SplitN(ts.Getenv("PATH"), string(os.PathListSeparator), 2)[0], "garage"))
	ts.Check(err)
	var work sync.WaitGroup
	for i := range n {
		work.Go(func() {
			cmd := exec.Command(program, args[1:]...)
			cmd.Env = append(os.Environ(), "GARAGE_DATA="+ts.Getenv([]string{"ONE", "TWO"}[i%2]), "GARAGE_ADMIN_TOKEN="+ts.Getenv("GARAGE_ADMIN_TOKEN"))
			results[i].out, results[i].err = cmd.CombinedOutput()
		})
	}
	work.Wait()
	won := 0
	for _, r := range results {
		switch {
		case r.err == nil:
			won++
		case !regexp.MustCompile(`nothing was changed|nothing is staged|has changed since the plan`).Match(r.out):
			ts.Fatalf("a command failed otherwise than expected: %v\n%s", r.err, r.out)
		}
	}
	if won != 1 {
		ts.Fatalf("%d of %d commands succeeded", won, n)
	}
}

func poll(limit time.Duration, try func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := try()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// end stops what still runs and has Consul forget all that was there.
func (c *machines) end() (err error) {
	for _, m := range c.running {
		if e := m.process.Process.Kill(); e != nil && !errors.Is(e, os.ErrProcessDone) {
			err = errors.Join(err, e)
		}
		<-m.done
		content, e := os.ReadFile(filepath.Join(m.data, "garage.json"))
		var info struct {
			Service string `json:"service"`
			NodeID  string `json:"node_id"`
		}
		if err = errors.Join(err, e); e == nil {
			err = errors.Join(err, json.Unmarshal(content, &info), c.forget("/v1/agent/service/deregister/garage-"+info.Service+"-"+info.NodeID, http.MethodPut))
		}
	}
	return errors.Join(err, c.forget("/v1/kv/"+c.prefix+"?recurse=true", http.MethodDelete))
}

func (c *machines) forget(path, method string) error {
	address := c.consul
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	r, err := http.NewRequestWithContext(context.Background(), method, address+path, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusNotFound {
		return fmt.Errorf("%s %s: %s", method, path, answer.Status)
	}
	return nil
}
