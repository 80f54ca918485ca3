//go:build stack

package consul

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/httpjson"
)

// kv changes Consul's store.
func kv(t *testing.T, method, key, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, "http://"+strings.TrimPrefix(os.Getenv("GARAGE_STACK_CONSUL"), "http://")+"/v1/kv/"+key, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("X-Consul-Token", os.Getenv("GARAGE_STACK_CONSUL_TOKEN"))
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusOK, answer.StatusCode)
}

// shown is what the tests look at of what "garage layout show" tells.
type shown struct {
	Current   *struct{ Number uint64 }
	Oldest    uint64
	Problem   string
	Recovered *struct{ Layout uint64 }
}

func (r *run) layout() (v shown, err error) {
	out, err := r.ask("layout", "show", "--json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &v)
	}
	return v, err
}

// A Consul whose store is empty again costs neither the layouts, which the nodes have kept, nor the obedience of nodes that
// know of higher terms than such a Consul gives.
func TestAConsulThatHasLostItsStoreGetsTheLayoutsBackAndTheNodesObey(t *testing.T) {
	prefix := fmt.Sprintf("garage_forgotten_%d", time.Now().UnixNano())
	r := none(t, "GARAGE_CONSUL_PREFIX="+prefix, "GARAGE_RPC_TLS_SOURCE=off")
	t.Cleanup(func() { kv(t, http.MethodDelete, prefix+"/?recurse", "") })
	// As if Consul had counted much further when the nodes knew it first.
	kv(t, http.MethodPut, prefix+"/rebalancer/leader-base", "1000000000")
	for i := range 2 {
		r.chunkNodes = append(r.chunkNodes, r.program(fmt.Sprintf("chunk-node-%d", i+1), "--listen", free(t), "--zone", fmt.Sprintf("zone-%d", i+1)))
	}
	rebalancer := r.program("rebalancer", "--listen", free(t))
	r.admin = rebalancer.admin
	for _, p := range append(r.chunkNodes, rebalancer) {
		p.start()
	}
	apply := func(copies string, number uint64) {
		t.Helper()
		r.until("both nodes are assigned", func() error {
			if err := r.cli("layout", "assign", "--all"); err != nil && number == 1 {
				return err
			}
			return r.cli("layout", "replication", copies)
		})
		r.until("the layout is in force", func() error {
			if err := r.cli("layout", "apply"); err != nil {
				if number == 1 { // not all nodes may have been known above
					err = errors.Join(err, r.cli("layout", "assign", "--all"))
				}
				return err
			}
			v, err := r.layout()
			if err == nil {
				require.Equal(t, number, v.Current.Number)
			}
			return err
		})
	}
	r.until("both nodes report", func() error {
		out, err := r.ask("layout", "show", "--json")
		if n := strings.Count(out, `"state": "new"`); err == nil && n != 2 {
			err = fmt.Errorf("%d nodes are new: %s", n, out)
		}
		return err
	})
	apply("2", 1)
	apply("1", 2)
	retired := func() error {
		v, err := r.layout()
		if err == nil && v.Oldest != 2 {
			err = fmt.Errorf("layout %d is in force", v.Oldest)
		}
		return err
	}
	r.until("layout 1 is retired", retired)
	obey := func(verb string) {
		t.Helper()
		r.until("the nodes obey", func() error {
			out, err := r.ask("scrub", verb)
			if err == nil && strings.Contains(out, "obeys") {
				err = fmt.Errorf("%s", out)
			}
			return err
		})
	}
	obey("stop")

	kv(t, http.MethodDelete, prefix+"/?recurse", "")
	back := func() error {
		v, err := r.layout()
		switch {
		case err != nil:
		case v.Recovered == nil:
			err = fmt.Errorf("it is not put back: %+v", v)
		case v.Recovered.Layout != 2 || v.Current.Number != 2 || v.Oldest != 2 || v.Problem != "":
			require.Fail(t, "another layout is in force", "%+v", v)
		}
		return err
	}
	// A term must last some time for it, which a loaded machine may not grant at once.
	waitBack := func() {
		t.Helper()
		var err error
		for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
			if err = back(); err == nil {
				return
			}
		}
		require.NoError(t, err, "waiting until the layout is put back")
	}
	waitBack()
	obey("start")

	// All of it again with every process new: nobody but the nodes' disks knows the layout.
	for _, p := range append(r.chunkNodes, rebalancer) {
		p.end(syscall.SIGKILL)
	}
	kv(t, http.MethodDelete, prefix+"/?recurse", "")
	for _, p := range append(r.chunkNodes, rebalancer) {
		p.start()
	}
	waitBack()
	obey("stop")
	apply("2", 3)
	require.NoError(t, httpjson.Call(t.Context(), http.MethodGet, "http://"+r.chunkNodes[0].admin+"/healthz", nil, nil, nil))
}
