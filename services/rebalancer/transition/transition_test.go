package transition

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/layout"
)

func id(i int) chunk.NodeID { return chunk.NodeID{15: byte(i)} }

// chain is layouts with growing numbers from 1, each of the nodes with these numbers and two copies.
func chain(t require.TestingT, nodes ...[]int) *layout.Active {
	var all []layout.Placement
	var previous *layout.Assignment
	for i, members := range nodes {
		var list []layout.Node
		for _, n := range members {
			list = append(list, layout.Node{ID: id(n), Zone: string(rune('a' + n)), Capacity: 1 << 40, Tokens: 10})
		}
		l, err := layout.New(uint64(i+1), 2, list)
		require.NoError(t, err)
		previous, err = layout.Assign(previous, l)
		require.NoError(t, err)
		all = append(all, layout.Placement{Layout: l, Assignment: previous})
	}
	a, err := layout.NewActive(all...)
	require.NoError(t, err)
	return a
}

func walked(m map[int]uint64) func(chunk.NodeID) uint64 {
	return func(n chunk.NodeID) uint64 { return m[int(n[15])] }
}

func nobody(chunk.NodeID, uint64) bool { return false }

func TestOneLayoutWaitsForNobody(t *testing.T) {
	oldest, waiting := Next(chain(t, []int{1, 2}), Nodes{Walked: walked(nil), Lost: nobody})
	require.EqualValues(t, 1, oldest)
	require.Empty(t, waiting)
}

func TestALayoutIsRetiredWhenEachOfItsNodesHasWalkedUnderANewerOne(t *testing.T) {
	a := chain(t, []int{1, 2}, []int{2, 3})
	oldest, waiting := Next(a, Nodes{Walked: walked(map[int]uint64{1: 2, 2: 1, 3: 2}), Lost: nobody})
	require.EqualValues(t, 1, oldest, "the second node has walked under the layout that is to go")
	require.Equal(t, []Waiting{{id(2), 1}}, waiting)
	oldest, waiting = Next(a, Nodes{Walked: walked(map[int]uint64{1: 2, 2: 2}), Lost: nobody})
	require.EqualValues(t, 2, oldest, "the third is only in the newer one")
	require.Empty(t, waiting)
}

func TestANodeThatIsGivenUpIsNotWaitedForInTheLayoutsOfThatTime(t *testing.T) {
	a := chain(t, []int{1, 2}, []int{1, 2, 3}, []int{2, 3})
	lost := func(n chunk.NodeID, number uint64) bool { return n == id(1) && number <= 1 }
	oldest, waiting := Next(a, Nodes{Walked: walked(map[int]uint64{2: 3, 3: 3}), Lost: lost})
	require.EqualValues(t, 2, oldest)
	require.Equal(t, []Waiting{{id(1), 2}}, waiting, "it was in the next layout again")
}

func TestANewerLayoutIsNotRetiredBeforeAnOlderOne(t *testing.T) {
	a := chain(t, []int{1, 2}, []int{2, 3}, []int{3, 4})
	oldest, waiting := Next(a, Nodes{Walked: walked(map[int]uint64{2: 3, 3: 3, 4: 3}), Lost: nobody})
	require.EqualValues(t, 1, oldest)
	require.Equal(t, []Waiting{{id(1), 1}}, waiting)
	oldest, _ = Next(a, Nodes{Walked: walked(map[int]uint64{1: 2, 2: 3, 3: 3}), Lost: nobody})
	require.EqualValues(t, 3, oldest, "both at once")
}

// Whatever nodes have done, a layout is out of force only if each of its nodes has walked under a newer one or was given up, and
// the current one never is.
func TestNoLayoutIsRetiredTooEarly(t *testing.T) {
	a := chain(t, []int{1, 2, 3}, []int{2, 3, 4}, []int{1, 4, 5}, []int{4, 5})
	rapid.Check(t, func(t *rapid.T) {
		done, given := map[int]uint64{}, map[int]uint64{}
		for n := 1; n <= 5; n++ {
			done[n] = rapid.Uint64Range(0, 4).Draw(t, "walked")
			given[n] = rapid.Uint64Range(0, 2).Draw(t, "lost up to")
		}
		lost := func(n chunk.NodeID, number uint64) bool { return number <= given[int(n[15])] }
		oldest, waiting := Next(a, Nodes{Walked: walked(done), Lost: lost})
		require.LessOrEqual(t, oldest, a.Number())
		all := true
		for _, p := range a.Placements()[:3] {
			for _, n := range p.Layout.Nodes {
				ready := done[int(n.ID[15])] > p.Layout.Number || lost(n.ID, p.Layout.Number)
				all = all && ready
				require.True(t, ready || p.Layout.Number >= oldest, "layout %d is gone before %v was ready", p.Layout.Number, n.ID)
			}
			require.Equal(t, all, p.Layout.Number < oldest)
		}
		require.Equal(t, all, len(waiting) == 0)
	})
}

func TestWhatOnlyOneNodeHoldsIsCounted(t *testing.T) {
	a := chain(t, []int{1, 2})
	alive := func(n chunk.NodeID) bool { return n == id(2) }
	none, one := Alone(a, id(1), alive)
	require.Equal(t, []int{0, chunk.Partitions}, []int{none, one})
	none, one = Alone(a, id(2), alive)
	require.Equal(t, []int{chunk.Partitions, 0}, []int{none, one})
	none, one = Alone(a, id(3), alive)
	require.Equal(t, []int{0, 0}, []int{none, one}, "it owns nothing")
	none, _ = Alone(chain(t, []int{1, 2}, []int{1, 3}), id(1), func(n chunk.NodeID) bool { return n == id(3) })
	require.Equal(t, chunk.Partitions, none, "who is new need not have it yet")
}
