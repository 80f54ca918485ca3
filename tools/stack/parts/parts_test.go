package parts

import (
	"math/big"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheTokensOfAllNodesDivideTheRingEvenly(t *testing.T) {
	for nodes := 1; nodes <= 3; nodes++ {
		var all []*big.Int
		for node := range nodes {
			for _, token := range ring(node, nodes) {
				n, ok := new(big.Int).SetString(token, 10)
				require.True(t, ok, token)
				require.True(t, n.IsInt64(), token)
				all = append(all, n)
			}
		}
		slices.SortFunc(all, (*big.Int).Cmp)
		require.Len(t, all, tokens*nodes)
		even := new(big.Int).Div(new(big.Int).Lsh(big.NewInt(1), 64), big.NewInt(int64(len(all))))
		for k := 1; k < len(all); k++ {
			off := new(big.Int).Sub(new(big.Int).Sub(all[k], all[k-1]), even)
			require.LessOrEqual(t, off.Abs(off).Int64(), int64(1), "between tokens %d and %d of %d nodes", k-1, k, nodes)
		}
	}
}

func TestAValueInTheEnvironmentFileIsOneWordOfTheShell(t *testing.T) {
	for _, value := range []string{"", "plain", "127.0.0.1:1,127.0.0.2:2", "with space", "it's", "$HOME `id` \"q\" \\", "cn=admin,dc=garage", "*", "a\nb"} {
		out, err := exec.Command("/bin/sh", "-c", "v="+quote(value)+`; printf %s "$v"`).Output()
		require.NoError(t, err)
		require.Equal(t, value, string(out))
	}
}

func TestAPartBringsWhatItNeeds(t *testing.T) {
	all := []Part{Cassandra{}, Consul{}, LDAP{}, Traefik{}, Nomad{}, Chromium{}}
	names := func(parts []Part) string {
		var names []string
		for _, p := range parts {
			names = append(names, p.Name())
		}
		return strings.Join(names, " ")
	}
	for asked, want := range map[string]string{
		"": "cassandra consul ldap traefik nomad chromium", "ldap": "ldap", "nomad": "consul nomad", "nomad cassandra": "cassandra consul nomad",
	} {
		got, err := Choose(all, strings.Fields(asked))
		require.NoError(t, err)
		require.Equal(t, want, names(got))
	}
	_, err := Choose(all, []string{"mysql"})
	require.ErrorContains(t, err, `"mysql"`)
}

func TestEveryPartHasItsPlaceInTheOrderOfTheEnd(t *testing.T) {
	for _, p := range []Part{Cassandra{}, Consul{}, LDAP{}, Traefik{}, Nomad{}, Chromium{}} {
		require.Contains(t, order, p.Name())
		for _, need := range p.needs() {
			require.Less(t, slices.Index(order, p.Name()), slices.Index(order, need), "%s ends before %s", p.Name(), need)
		}
	}
}

func TestMachinesAreSpreadOverZones(t *testing.T) {
	agents := Agents(4, 3)
	require.Equal(t, Agent{Name: "node-4", Address: "127.0.0.14", Meta: map[string]string{"zone": "zone-1"}}, agents[3])
	require.Equal(t, "zone-3", agents[2].Meta["zone"])
}

func TestAnAddressThatIsTakenIsSeen(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	require.ErrorContains(t, free(l.Addr().String()), "address already in use")
	taken, err := listening()
	require.NoError(t, err)
	require.True(t, taken[l.Addr().(*net.TCPAddr).Port])
}

func TestADataFolderKeepsItsOffset(t *testing.T) {
	data := t.TempDir()
	s, err := Open(Options{Data: data, Offset: 1234})
	require.NoError(t, err)
	require.NoError(t, s.publish("ldap", map[string]string{"slapd": "/usr/sbin/slapd"}, map[string]string{"GARAGE_STACK_LDAP": "ldap://x"}))

	s, err = Open(Options{Data: data})
	require.NoError(t, err)
	require.Equal(t, 1234, s.offset)
	env, err := s.Env()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"GARAGE_STACK_DATA": data, "GARAGE_STACK_LDAP": "ldap://x", "GARAGE_STACK_BIN_SLAPD": "/usr/sbin/slapd"}, env)
	_, err = Open(Options{Data: data, Offset: 99})
	require.ErrorContains(t, err, "moved by 1234, not 99")
}
