package layout

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
)

// The three targets of the placement, on random layouts with unequal nodes and
// zones, each changed once: usable capacity at least 99 % of the best
// fractional assignment, at most 1.1 times the least possible copies moved at
// that capacity, and (below) 4096 partitions on 200 nodes in bounded work.
func TestCapacityAndMovesOfRandomLayouts(t *testing.T) {
	count := 1000
	if testing.Short() {
		count = 60
	}
	worstUsable, worstMoved := 1.0, 1.0
	for i := range count {
		r := rand.New(rand.NewPCG(1, uint64(i)))
		before := randomLayout(t, r)
		old, err := Assign(nil, before)
		require.NoError(t, err)
		after := changed(t, r, before)
		a, err := Assign(old, after)
		require.NoError(t, err)

		for _, c := range []struct {
			l Layout
			a *Assignment
		}{{before, old}, {after, a}} {
			requireSound(t, c.l, c.a)
			best := fractionalUsable(c.l)
			share := float64(c.a.Usable()) / best
			require.LessOrEqual(t, share, 1+1e-9, "layout %d uses more than there is", i)
			require.GreaterOrEqual(t, share, 0.99, "layout %d: %d nodes, %d copies", i, len(c.l.Nodes), c.l.Replication)
			worstUsable = min(worstUsable, share)
		}

		least := chunk.Partitions*after.Replication - mostKept(old, before, after, a.SlotSize())
		moved := a.Moved(old)
		require.GreaterOrEqual(t, moved, least, "layout %d: the bound is wrong", i)
		if moved > least {
			worstMoved = max(worstMoved, float64(moved)/float64(max(least, 1)))
		}
		if float64(moved) > 1.1*float64(least) {
			// The bound forgets that what is not kept must find a place; ask exactly.
			require.False(t, cheaperExists(after, a, movesFrom(old, after)), "layout %d moves %d, and %d may do", i, moved, least)
		}
	}
	t.Logf("least usable share of the fractional best: %.4f; most moved against the bound: %.3f", worstUsable, worstMoved)
}

// movesFrom is the cost of an owner that counts what moves.
func movesFrom(old *Assignment, l Layout) func(chunk.Partition, int) int {
	return func(p chunk.Partition, node int) int {
		for _, o := range old.Owners(p) {
			if old.Nodes()[o] == l.Nodes[node].ID {
				return 0
			}
		}
		return 1
	}
}

// A sample of them is the cheapest in every respect: no exchange, however long,
// moves less, or moves as much and follows the walks better.
func TestAssignmentIsTheCheapest(t *testing.T) {
	count := 40
	if testing.Short() {
		count = 8
	}
	for i := range count {
		r := rand.New(rand.NewPCG(2, uint64(i)))
		before := randomLayout(t, r)
		old, err := Assign(nil, before)
		require.NoError(t, err)
		after := changed(t, r, before)
		a, err := Assign(old, after)
		require.NoError(t, err)

		places := placesOf(after)
		moves := movesFrom(old, after)
		require.False(t, cheaperExists(before, old, placesOf(before)), "the first layout %d", i)
		require.False(t, cheaperExists(after, a, func(p chunk.Partition, node int) int {
			return moves(p, node)*chunk.Partitions*len(after.Nodes)*3 + places(p, node)
		}), "the changed layout %d", i)
	}
}

// placesOf is the cost of an owner that counts its place in the walk.
func placesOf(l Layout) func(chunk.Partition, int) int {
	ring := NewRing(l)
	places := make([]int, chunk.Partitions*len(l.Nodes))
	for p := range chunk.Partitions {
		for place, v := range ring.Walk(chunk.Partition(p)) {
			places[p*len(l.Nodes)+int(v)] = place
		}
	}
	return func(p chunk.Partition, node int) int { return places[int(p)*len(l.Nodes)+node] }
}

func TestLargestSlotIsTheLargest(t *testing.T) {
	for i := range 200 {
		r := rand.New(rand.NewPCG(3, uint64(i)))
		l := randomLayout(t, r)
		slot := newSpread(l).largestSlot()
		require.True(t, placeable(l, slot), "layout %d", i)
		require.False(t, placeable(l, slot+1), "layout %d", i)
	}
}

// placeable finds out with a maximum flow of sixteen partitions instead of
// 4096, each with 256 times the room: if the nodes are large enough, they
// are in whole numbers as well.
func placeable(l Layout, slot uint64) bool {
	const groups, size = 16, chunk.Partitions / 16
	zoneOf := make(map[string]int)
	for _, n := range l.Nodes {
		if _, known := zoneOf[n.Zone]; !known {
			zoneOf[n.Zone] = len(zoneOf)
		}
	}
	zones := len(zoneOf)
	perZone := l.Replication - (min(l.Replication, zones) - 1)
	g := newNetwork(2 + groups*(1+zones) + len(l.Nodes))
	for i, n := range l.Nodes {
		node := 2 + groups*(1+zones) + i
		g.add(node, 1, int(min(n.Capacity/slot, chunk.Partitions)))
		for p := range groups {
			g.add(2+p*(1+zones)+1+zoneOf[n.Zone], node, size)
		}
	}
	for p := range groups {
		at := 2 + p*(1+zones)
		g.add(0, at, l.Replication*size)
		for z := range zones {
			g.add(at, at+1+z, perZone*size)
		}
	}
	return g.maximum(0, 1) == l.Replication*chunk.Partitions
}

// The third target is a time, which a busy machine cannot keep; the work that
// takes it is counted instead. On one core of 2.5 GHz, 100 million of these
// steps take well under a second (see BenchmarkAssign).
func TestLargeLayoutTakesBoundedWork(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for _, tokens := range []string{"proposed", "unrelated"} {
		nodes := make([]Node, 200)
		for i := range nodes {
			nodes[i] = randomNode(r, 12)
			nodes[i].Tokens = ProposeTokens(nodes[i].Capacity)
			if tokens == "unrelated" {
				nodes[i].Tokens = 1 + r.IntN(200)
			}
		}
		l, err := New(1, 3, nodes)
		require.NoError(t, err)
		s := newSpread(l)
		ring := NewRing(l)
		f := newFlow(flowSpec{
			partitions: chunk.Partitions, copies: 3, perZone: s.perZone, zones: s.zoneOf, room: s.slots(s.largestSlot()),
			walk: func(p int) []uint16 { return ring.Walk(chunk.Partition(p)) },
			held: func(int) []int { return nil },
		})
		require.NoError(t, f.solve())
		t.Logf("tokens %s: %d steps", tokens, f.work)
		require.Less(t, f.work, 400_000_000)
	}
}

func BenchmarkAssign(b *testing.B) {
	for _, nodes := range []int{3, 12, 50, 200} {
		b.Run(map[int]string{3: "3 nodes", 12: "12 nodes", 50: "50 nodes", 200: "200 nodes"}[nodes], func(b *testing.B) {
			r := rand.New(rand.NewPCG(4, 4))
			list := make([]Node, nodes)
			for i := range list {
				list[i] = randomNode(r, min(nodes, 12))
			}
			l, err := New(1, 3, list)
			require.NoError(b, err)
			for b.Loop() {
				_, err := Assign(nil, l)
				require.NoError(b, err)
			}
		})
	}
}
