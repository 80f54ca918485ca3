//go:build stack

package consul

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Where no certificate of Consul proves who calls, the port for other services wants the operator's token too; and a rebalancer that
// stands by still has the active one answer.
func TestTheAdminAPINeedsTheTokenOnEveryPort(t *testing.T) {
	r := none(t, fmt.Sprintf("GARAGE_CONSUL_PREFIX=garage_admin_%d", time.Now().UnixNano()), "GARAGE_RPC_TLS_SOURCE=off")
	var both []*program
	var ports []string
	for i := range 2 {
		ports = append(ports, free(t))
		both = append(both, r.program(fmt.Sprintf("rebalancer-%d", i+1), "--listen", ports[i]))
	}
	for _, p := range both {
		p.start()
	}
	for _, p := range both {
		p.ready()
	}
	for i, p := range both {
		r.admin = p.admin
		r.until("the active one answers, directly or through the other", func() error { return r.cli("layout", "show") })
		r.admin = ports[i]
		require.NoError(t, r.cli("layout", "show"), "with the token")
		env := r.env
		r.env = append(append([]string{}, env...), "GARAGE_ADMIN_TOKEN="+strings.Repeat("x", len(token)))
		for _, command := range [][]string{{"layout", "show"}, {"status"}, {"bucket", "list"}, {"layout", "replication", "1"}} {
			require.ErrorContains(t, r.cli(command...), "token", "%v", command)
		}
		r.env = env
	}
}
