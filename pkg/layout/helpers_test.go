package layout

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
)

const gigabyte = 1_000_000_000

// nodeID is a node ID made of random bytes.
func nodeID(r *rand.Rand) chunk.NodeID {
	var id chunk.NodeID
	binary.BigEndian.PutUint64(id[:8], r.Uint64())
	binary.BigEndian.PutUint64(id[8:], r.Uint64()|1)
	return id
}

// randomNode is a node of 10 GB to 20 TB, small ones as likely as large ones,
// mostly with tokens that follow its capacity.
func randomNode(r *rand.Rand, zones int) Node {
	n := Node{ID: nodeID(r), Zone: fmt.Sprintf("zone-%d", r.IntN(zones))}
	n.Capacity = 10*gigabyte + r.Uint64N(gigabyte)
	n.Capacity <<= r.UintN(11)
	switch r.IntN(4) {
	case 0:
		n.Tokens = 1 + r.IntN(200)
	default:
		n.Tokens = min(ProposeTokens(n.Capacity), 200)
	}
	return n
}

// randomLayout is a layout of the size of a home or a club, mostly; one in
// forty has up to 200 nodes. With fewer copies it has fewer nodes, because whole
// slots must stay small against nodes (see doc.go).
func randomLayout(t testing.TB, r *rand.Rand) Layout {
	copies := []int{3, 3, 3, 2, 2, 1}[r.IntN(6)]
	most := 12
	switch r.IntN(40) {
	case 0:
		most = []int{60, 90, 200}[copies-1]
	case 1, 2, 3, 4, 5:
		most = 30
	}
	count := copies + r.IntN(most-copies+1)
	zones := 1 + r.IntN(min(count, 8))
	nodes := make([]Node, count)
	for i := range nodes {
		nodes[i] = randomNode(r, zones)
	}
	l, err := New(1, copies, nodes)
	require.NoError(t, err)
	return l
}

// changed is the layout after its operator changed something.
func changed(t testing.TB, r *rand.Rand, l Layout) Layout {
	nodes := append([]Node(nil), l.Nodes...)
	copies := l.Replication
	for range 1 + r.IntN(2) {
		i := r.IntN(len(nodes))
		switch r.IntN(7) {
		case 0, 1: // a new node
			nodes = append(nodes, randomNode(r, l.Zones()+1))
		case 2, 3: // a node gone
			if len(nodes) > copies {
				nodes = append(nodes[:i], nodes[i+1:]...)
			}
		case 4: // a larger disk, or a smaller one
			nodes[i].Capacity = nodes[i].Capacity/2 + r.Uint64N(nodes[i].Capacity)
		case 5: // moved house
			nodes[i].Zone = fmt.Sprintf("zone-%d", r.IntN(l.Zones()+1))
		case 6: // one copy more or less
			copies = 1 + r.IntN(min(MaxReplication, len(nodes)))
		}
	}
	next, err := New(l.Number+1, copies, nodes)
	require.NoError(t, err)
	return next
}

// equalLayout has nodes of the same size spread evenly over the zones.
func equalLayout(t testing.TB, number uint64, copies, nodes, zones int) Layout {
	r := rand.New(rand.NewPCG(7, 7))
	list := make([]Node, nodes)
	for i := range list {
		list[i] = Node{ID: nodeID(r), Zone: fmt.Sprintf("zone-%d", i%zones), Capacity: 1000 * gigabyte, Tokens: 80}
	}
	l, err := New(number, copies, list)
	require.NoError(t, err)
	return l
}

// requireSound checks what every assignment must keep, from the layout alone.
func requireSound(t require.TestingT, l Layout, a *Assignment) {
	zones := make(map[string]bool)
	for _, n := range l.Nodes {
		zones[n.Zone] = true
	}
	for p := range chunk.Partition(chunk.Partitions) {
		owners := a.Owners(p)
		nodes, inZones := make(map[uint16]bool, 3), make(map[string]bool, 3)
		for _, o := range owners {
			nodes[o] = true
			inZones[l.Nodes[o].Zone] = true
		}
		if len(owners) != l.Replication || len(nodes) != l.Replication {
			require.Failf(t, "owners", "partition %v has the owners %v, not %d different ones", p, owners, l.Replication)
		}
		if want := min(l.Replication, len(zones)); len(inZones) < want {
			require.Failf(t, "zones", "partition %v is in %d zones, not %d", p, len(inZones), want)
		}
	}
	for i, n := range a.Slots() {
		if uint64(n)*a.SlotSize() > l.Nodes[i].Bytes() {
			require.Failf(t, "capacity", "node %d has %d slots of %d bytes in %d", i, n, a.SlotSize(), l.Nodes[i].Bytes())
		}
	}
}
