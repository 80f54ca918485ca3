//go:build stack

package console

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/httpjson"
)

const clusterToken = "0123456789abcdef0123456789abcdef"

// services are processes that find each other through Consul.
type services struct {
	t        *testing.T
	dir, bin string
	env      []string
}

// process is one of them.
type process struct {
	s           *services
	name, admin string
	args        []string
	cmd         *exec.Cmd
}

func withConsul(t *testing.T) *services {
	t.Helper()
	address := os.Getenv("GARAGE_STACK_CONSUL")
	require.NotEmpty(t, address, "run this under \"stack run consul -- go test -tags stack …\"")
	bin, err := deploy.Bin()
	require.NoError(t, err)
	return &services{t: t, dir: t.TempDir(), bin: bin, env: append(os.Environ(), "CONSUL_HTTP_ADDR="+address, "CONSUL_HTTP_TOKEN="+os.Getenv("GARAGE_STACK_CONSUL_TOKEN"),
		"GARAGE_CONSUL_ENABLED=true", "GARAGE_CONSUL_PREFIX="+fmt.Sprintf("garage_console_%d", time.Now().UnixNano()), "GARAGE_RPC_TLS_SOURCE=consul",
		"GARAGE_ADMIN_TOKEN="+clusterToken)}
}

func free(t *testing.T) string {
	t.Helper()
	a, err := deploy.FreeAddress()
	require.NoError(t, err)
	return a
}

func (s *services) start(program, name string, args ...string) *process {
	s.t.Helper()
	p := &process{s: s, name: name, admin: free(s.t)}
	p.args = append([]string{filepath.Join(s.bin, program), "--data", filepath.Join(s.dir, name), "--admin", p.admin}, args...)
	p.start()
	s.t.Cleanup(func() {
		p.end(syscall.SIGKILL)
		if s.t.Failed() {
			text, err := os.ReadFile(filepath.Join(s.dir, name+".log"))
			s.t.Logf("--- %s: %v\n%s", name, err, text[max(0, len(text)-3000):])
		}
	})
	return p
}

func (p *process) start() {
	p.s.t.Helper()
	log, err := os.OpenFile(filepath.Join(p.s.dir, p.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(p.s.t, err)
	defer log.Close()
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	p.cmd.Env, p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = p.s.env, p.s.dir, log, log
	require.NoError(p.s.t, p.cmd.Start())
}

// end ends the process and waits until it is gone.
func (p *process) end(signal syscall.Signal) {
	if p.cmd == nil {
		return
	}
	require.NoError(p.s.t, p.cmd.Process.Signal(signal))
	_ = p.cmd.Wait() // that it was killed is no news
	p.cmd = nil
}

func (p *process) ready() {
	p.s.t.Helper()
	require.Eventually(p.s.t, func() bool {
		return httpjson.Call(p.s.t.Context(), http.MethodGet, "http://"+p.admin+"/healthz", nil, nil, nil) == nil
	}, patience, 50*time.Millisecond, "%s is ready", p.name)
}

func TestALayoutIsStagedAppliedAndLosesANode(t *testing.T) {
	s := withConsul(t)
	metadata := s.start("metadata", "metadata", "--listen", free(t))
	var nodes []*process
	for i := range 2 {
		nodes = append(nodes, s.start("chunk-node", fmt.Sprintf("chunk-node-%d", i+1), "--listen", free(t), "--zone", fmt.Sprintf("zone-%d", i+1)))
	}
	active := s.start("rebalancer", "rebalancer-1", "--listen", free(t))
	for _, p := range append(nodes, metadata, active) {
		p.ready()
	}
	// A page of the one that stands by has the active one answer.
	standby := s.start("rebalancer", "rebalancer-2", "--listen", free(t))
	standby.ready()
	b := open(t, standby.admin, 1280)
	b.signIn(clusterToken)
	b.shows("no layout is in force")
	eval[bool](b, "(window.sameDocument = true)")

	ids := []string{nodeID(t, filepath.Join(s.dir, "chunk-node-1")), nodeID(t, filepath.Join(s.dir, "chunk-node-2"))}
	b.visit("layout")
	for i, id := range ids {
		b.until("the node is there", fmt.Sprintf("document.querySelector('a[href=\"#/nodes/%s\"]')", id))
		add := fmt.Sprintf("document.querySelector('a[href=\"#/nodes/%s\"]').closest('tr').querySelector('button')", id)
		b.until("it can be added", add)
		eval[bool](b, "("+add+".click(), true)")
		b.until("it is staged", fmt.Sprintf("document.querySelectorAll('#plan > ul > li').length === %d", i+1))
	}
	b.fill("Copies of everything", "2")
	b.press("Stage the number of copies")
	b.shows("2 copies of everything", "copies of partitions move")
	b.shot("layout-plan")
	b.press("Apply")
	b.press("Apply it")
	b.shows("Layout 1 is in force.")
	b.until("nothing is staged any more", "!document.querySelector('#plan')")
	b.shot("layout-applied")
	b.visit("overview")
	b.shows("has 2 good copies", "2 of 2")

	// Another change is drawn and dropped.
	b.visit("layout")
	b.fill("Copies of everything", "1")
	b.press("Stage the number of copies")
	b.until("there is a plan", "document.querySelector('#plan')")
	b.press("Drop it")
	b.until("it is dropped", "!document.querySelector('#plan')")

	b.visit("overview")
	b.shows("2 of 2")
	nodes[1].end(syscall.SIGKILL)
	stopped := time.Now()
	b.within(3*time.Minute, "the node is missing", "document.body.innerText.includes('1 of 2') && document.body.innerText.includes('is missing')")
	t.Logf("it showed after %v", time.Since(stopped))
	b.shot("cluster-node-missing")
	nodes[1].start()
	b.within(3*time.Minute, "it is back", "document.body.innerText.includes('2 of 2') && document.body.innerText.includes('has 2 good copies')")
	b.visit("events")
	b.shows("ApplyLayout", "operator token")
	b.shot("cluster-events")
	require.True(t, eval[bool](b, "window.sameDocument"), "the page was loaded again")
}
