package layout

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
)

// drawLayout draws a layout small enough to be assigned quickly.
func drawLayout(t *rapid.T) Layout {
	copies := rapid.IntRange(1, MaxReplication).Draw(t, "copies")
	zones := rapid.IntRange(1, 5).Draw(t, "zones")
	count := rapid.IntRange(copies, 9).Draw(t, "nodes")
	nodes := make([]Node, count)
	for i := range nodes {
		var id chunk.NodeID
		copy(id[:], rapid.SliceOfN(rapid.Byte(), 15, 15).Draw(t, "id"))
		id[15] = byte(i + 1) // different
		nodes[i] = Node{
			ID:       id,
			Zone:     fmt.Sprint("z", rapid.IntRange(1, zones).Draw(t, "zone")),
			Capacity: rapid.OneOf(rapid.Just[uint64](AutoCapacity), rapid.Uint64Range(chunk.Partitions*MaxReplication, 1<<50)).Draw(t, "capacity"),
			Tokens:   rapid.IntRange(1, 40).Draw(t, "tokens"),
		}
	}
	l, err := New(rapid.Uint64Range(1, 9).Draw(t, "number"), copies, nodes)
	require.NoError(t, err)
	return l
}

func TestAssignmentProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLayout(t)
		a, err := Assign(nil, l)
		require.NoError(t, err)
		requireSound(t, l, a)

		again, err := Assign(nil, l)
		require.NoError(t, err)
		require.Equal(t, a, again, "the same layout gives the same assignment")

		shuffled := slices.Clone(l.Nodes)
		rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 0)).Shuffle(len(shuffled), func(i, j int) {
			shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
		})
		other, err := New(l.Number, l.Replication, shuffled)
		require.NoError(t, err)
		again, err = Assign(nil, other)
		require.NoError(t, err)
		require.Equal(t, a, again, "the order of the nodes does not matter")

		next := l
		next.Number++
		same, err := Assign(a, next)
		require.NoError(t, err)
		require.Equal(t, a.owners, same.owners, "nothing changed, so nothing moves")
		require.Zero(t, same.Moved(a))

		ring := NewRing(l)
		for p := range chunk.Partition(chunk.Partitions) {
			walk := ring.Walk(p)
			require.True(t, slices.IsSortedFunc(a.Owners(p), func(x, y uint16) int {
				return slices.Index(walk, x) - slices.Index(walk, y)
			}), "owners are in the order of the walk")
		}

		b, err := a.MarshalBinary()
		require.NoError(t, err)
		var decoded Assignment
		require.NoError(t, decoded.UnmarshalBinary(b))
		require.Equal(t, *a, decoded)
	})
}

func TestChainsOfLayoutsStaySound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var previous *Assignment
		for range rapid.IntRange(2, 4).Draw(t, "layouts") {
			l := drawLayout(t)
			a, err := Assign(previous, l)
			require.NoError(t, err)
			requireSound(t, l, a)
			previous = a
		}
	})
}

func TestWalksFollowTheTokens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLayout(t)
		ring := NewRing(l)
		var tokens []token
		for i, n := range l.Nodes {
			tokens = appendTokens(tokens, uint16(i), n)
		}
		for _, p := range rapid.SliceOfN(rapid.Uint16Range(0, chunk.Partitions-1), 1, 20).Draw(t, "partitions") {
			require.Equal(t, walkOf(tokens, chunk.Partition(p)), ring.Walk(chunk.Partition(p)))
		}
	})
}

// A node that is added takes partitions from the others, and none of these
// gains what it did not have.
func TestOnlyTheNewNodeGains(t *testing.T) {
	before := equalLayout(t, 1, 3, 6, 1)
	old, err := Assign(nil, before)
	require.NoError(t, err)
	after := equalLayout(t, 2, 3, 7, 1) // the same six and one more
	a, err := Assign(old, after)
	require.NoError(t, err)

	added := -1
	for i, n := range after.Nodes {
		if before.Index(n.ID) < 0 {
			added = i
		}
	}
	require.Equal(t, a.Slots()[added], a.Moved(old))
	require.NotZero(t, a.Moved(old))
}

// Three copies in three zones: a second node in one of them adds no capacity, so
// nothing moves to it.
func TestNothingMovesWhereNothingIsGained(t *testing.T) {
	old, err := Assign(nil, equalLayout(t, 1, 3, 3, 3))
	require.NoError(t, err)
	a, err := Assign(old, equalLayout(t, 2, 3, 4, 3))
	require.NoError(t, err)
	require.Zero(t, a.Moved(old))
	require.Equal(t, old.Usable(), a.Usable())
}

func TestTokensDecideWherePlacesAreFree(t *testing.T) {
	// One copy on nodes of which each could hold everything twice: with slots
	// as large as possible they share evenly, and the walks decide which.
	l := equalLayout(t, 1, 1, 4, 1)
	a, err := Assign(nil, l)
	require.NoError(t, err)
	ring := NewRing(l)
	first := 0
	for p := range chunk.Partition(chunk.Partitions) {
		if a.Owners(p)[0] == ring.Walk(p)[0] {
			first++
		}
	}
	require.Greater(t, first, chunk.Partitions*8/10)
}

func TestTooSmallNodesAreRefused(t *testing.T) {
	l := equalLayout(t, 1, 3, 3, 3)
	l.Nodes[1].Capacity = chunk.Partitions - 1
	_, err := Assign(nil, l)
	require.True(t, errors.IsEntity(err, errors.Invalid, errors.Layout), "%v", err)
	l.Nodes[1].Capacity++
	_, err = Assign(nil, l)
	require.NoError(t, err)
}

func TestDamagedAssignmentsAreRefused(t *testing.T) {
	a, err := Assign(nil, equalLayout(t, 1, 3, 4, 2))
	require.NoError(t, err)
	good, err := a.MarshalBinary()
	require.NoError(t, err)
	require.Len(t, good, 24+4*16+2*3*4096)
	for name, damage := range map[string]func([]byte) []byte{
		"empty":           func([]byte) []byte { return nil },
		"magic":           func(b []byte) []byte { b[0] = 'X'; return b },
		"short":           func(b []byte) []byte { return b[:len(b)-1] },
		"long":            func(b []byte) []byte { return append(b, 0) },
		"copies":          func(b []byte) []byte { b[21] = 9; return b },
		"no nodes":        func(b []byte) []byte { b[23] = 0; return b },
		"order of nodes":  func(b []byte) []byte { b[24] = 0xff; b[25] = 0xff; return b },
		"unknown owner":   func(b []byte) []byte { b[len(b)-1] = 4; return b },
		"owner repeated":  func(b []byte) []byte { copy(b[len(b)-2:], b[len(b)-4:]); return b },
		"header cut away": func(b []byte) []byte { return b[:20] },
	} {
		t.Run(name, func(t *testing.T) {
			var d Assignment
			err := d.UnmarshalBinary(damage(slices.Clone(good)))
			require.True(t, errors.Is(err, errors.Corrupted), "%v", err)
			require.Equal(t, Assignment{}, d)
		})
	}
}

// Small flows are compared with every possibility tried.
func TestSmallFlowsAreTheCheapest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		copies := rapid.IntRange(1, 3).Draw(t, "copies")
		nodes := rapid.IntRange(copies, 5).Draw(t, "nodes")
		partitions := rapid.IntRange(1, 4).Draw(t, "partitions")
		spec := flowSpec{partitions: partitions, copies: copies, zones: make([]int, nodes), room: make([]int, nodes)}
		zones := rapid.IntRange(1, nodes).Draw(t, "zones")
		for i := range nodes {
			spec.zones[i] = min(i, rapid.IntRange(0, zones-1).Draw(t, "zone")) // every lower zone number need not be used
			spec.room[i] = rapid.IntRange(0, partitions).Draw(t, "room")
		}
		spec.perZone = rapid.IntRange(1, copies).Draw(t, "per zone")
		walks := make([][]uint16, partitions)
		held := make([][]int, partitions)
		for p := range walks {
			order := rapid.Permutation([]uint16{0, 1, 2, 3, 4}[:nodes]).Draw(t, "walk")
			walks[p] = order
			for v := range nodes {
				if rapid.IntRange(0, 2).Draw(t, "held") == 0 {
					held[p] = append(held[p], v)
				}
			}
		}
		spec.walk = func(p int) []uint16 { return walks[p] }
		spec.held = func(p int) []int { return held[p] }

		best := cheapestByTrying(spec, 0, slices.Clone(spec.room))
		f := newFlow(spec)
		err := f.solve()
		if best < 0 {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		got := 0
		for p := range partitions {
			for _, o := range f.ownersOf(p) {
				got += tryCost(spec, p, int(o))
			}
		}
		require.Equal(t, best, got)
	})
}

func tryCost(s flowSpec, p, v int) int {
	cost := slices.Index(s.walk(p), uint16(v))
	if !slices.Contains(s.held(p), v) {
		cost += 1000
	}
	return cost
}

// cheapestByTrying is the least cost of partitions p and later, or -1.
func cheapestByTrying(s flowSpec, p int, room []int) int {
	if p == s.partitions {
		return 0
	}
	best := -1
	for set := range 1 << len(room) {
		cost, count := 0, 0
		perZone := make(map[int]int)
		left := slices.Clone(room)
		possible := true
		for v := range room {
			if set>>v&1 == 0 {
				continue
			}
			count++
			perZone[s.zones[v]]++
			left[v]--
			cost += tryCost(s, p, v)
			possible = possible && left[v] >= 0 && perZone[s.zones[v]] <= s.perZone
		}
		if !possible || count != s.copies {
			continue
		}
		if rest := cheapestByTrying(s, p+1, left); rest >= 0 && (best < 0 || cost+rest < best) {
			best = cost + rest
		}
	}
	return best
}
