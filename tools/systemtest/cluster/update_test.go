package cluster

import (
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/cluster/local"
)

// anew changes a setting that means nothing, so that Nomad replaces all of a job.
func anew(task map[string]any) {
	env := task["Env"].(map[string]any)
	env["ROLLED"] = strconv.FormatInt(time.Now().UnixNano(), 10)
}

// watch looks at the chunk-nodes until it is ended: no two of the three may be away at once, for each partition is on all three.
type watch struct {
	f      *fixture
	enough chan struct{}
	ended  sync.WaitGroup

	mu   sync.Mutex
	away map[string]bool
	gone map[string]bool // was away at some time
	two  []string        // who was away together with another
}

func (f *fixture) watchChunkNodes() *watch {
	w := &watch{f: f, enough: make(chan struct{}), away: map[string]bool{}, gone: map[string]bool{}}
	nodes := f.processes(local.JobChunkNode)
	require.Len(f, nodes, 3)
	for _, n := range nodes {
		w.ended.Go(func() { w.look(n.Name, n.Admin) })
	}
	f.Cleanup(func() { w.end() })
	return w
}

func (w *watch) look(name, admin string) {
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		select {
		case <-w.enough:
			return
		case <-time.After(25 * time.Millisecond):
		}
		resp, err := client.Get("http://" + admin + "/healthz")
		well := err == nil && resp.StatusCode == http.StatusOK
		if err == nil {
			_ = resp.Body.Close() // only the status counts
		}
		w.mu.Lock()
		w.away[name] = !well
		for other, away := range w.away {
			if !well && away && other != name {
				w.two = append(w.two, name+" and "+other)
			}
		}
		w.gone[name] = w.gone[name] || !well
		w.mu.Unlock()
	}
}

func (w *watch) end() {
	select {
	case <-w.enough:
	default:
		close(w.enough)
	}
	w.ended.Wait()
}

// oneByOne ends the watch, and checks that all were replaced and no two were away together.
func (w *watch) oneByOne() {
	w.f.Helper()
	w.end()
	require.Len(w.f, w.gone, 3, "who was replaced")
	for name, gone := range w.gone {
		require.True(w.f, gone, "%s was never seen away", name)
	}
	require.Empty(w.f, w.two, "away at the same time")
}

func pids(f *fixture, job string) map[int]bool {
	all := map[int]bool{}
	for _, p := range f.processes(job) {
		all[p.PID] = true
	}
	return all
}

func TestChunkNodesAreReplacedOneByOneAndNoRequestFails(t *testing.T) {
	f := setUp(t)
	before := pids(f, local.JobChunkNode)
	s, w := f.strain(4), f.watchChunkNodes()
	require.NoError(t, f.cluster.Change(f.ctx, local.JobChunkNode, anew))
	s.more(100)
	w.oneByOne()
	for pid := range pids(f, local.JobChunkNode) {
		require.False(t, before[pid], "process %d still runs", pid)
	}
	s.allWell(0)
}

func TestGatewaysAreReplacedAndNoRequestFails(t *testing.T) {
	f := setUp(t)
	before := pids(f, local.JobGateway)
	s := f.strain(4)
	require.NoError(t, f.cluster.Change(f.ctx, local.JobGateway, anew))
	s.more(100)
	for pid := range pids(f, local.JobGateway) {
		require.False(t, before[pid], "process %d still runs", pid)
	}
	s.allWell(0)
}

func TestMetadataServicesAreReplacedAndNoRequestFails(t *testing.T) {
	f := setUp(t)
	s := f.strain(4)
	require.NoError(t, f.cluster.Change(f.ctx, local.JobMetadata, anew))
	s.more(100)
	s.allWell(0)
}
