package partitions

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/layout"
)

func node(i byte) layout.Node {
	return layout.Node{ID: uuid.UUID{15: i}, Zone: string('a' + rune(i)), Tokens: 1}
}

// inForce is layouts with two copies, from these nodes.
func inForce(t *testing.T, layouts ...[]layout.Node) *layout.Active {
	t.Helper()
	var all []layout.Placement
	var owners *layout.Assignment
	for i, nodes := range layouts {
		l, err := layout.New(uint64(i+1), 2, nodes)
		require.NoError(t, err)
		owners, err = layout.Assign(owners, l)
		require.NoError(t, err)
		all = append(all, layout.Placement{Layout: l, Assignment: owners})
	}
	a, err := layout.NewActive(all...)
	require.NoError(t, err)
	return a
}

// told is nodes of which these are away, and those tell gaps.
func told(gaps map[byte]*chunk.Gaps, away ...byte) Nodes {
	return Nodes{
		Alive: func(id chunk.NodeID) bool {
			for _, i := range away {
				if id == node(i).ID {
					return false
				}
			}
			return true
		},
		Sure: func(chunk.NodeID) bool { return true },
		Gaps: func(id chunk.NodeID) *chunk.Gaps { return gaps[id[15]] },
	}
}

func TestGoodCopiesAreThoseOfOwnersThatAreThereAndLackNothing(t *testing.T) {
	a := inForce(t, []layout.Node{node(1), node(2)})
	const p = chunk.Partition(7)
	wants, owes, failed := &chunk.Gaps{}, &chunk.Gaps{Owed: map[chunk.NodeID]*chunk.PartitionSet{node(2).ID: {}}}, &chunk.Gaps{}
	wants.Wanted.Add(p)
	owes.Owed[node(2).ID].Add(p)
	failed.Failed.Add(p)
	for _, c := range []struct {
		about   string
		nodes   Nodes
		copies  int
		state   State
		lacking int
	}{
		{"all is well", told(nil), 2, Complete, 0},
		{"an owner is away", told(nil, 1), 1, UnderReplicated, 0},
		{"all are", told(nil, 1, 2), 0, Unreadable, 0},
		{"one looks for a copy", told(map[byte]*chunk.Gaps{1: wants}), 1, UnderReplicated, 1},
		{"both do", told(map[byte]*chunk.Gaps{1: wants, 2: wants}), 0, UnderReplicated, 2},
		{"one is owed something", told(map[byte]*chunk.Gaps{1: owes}), 1, UnderReplicated, 1},
		{"by one that is away", told(map[byte]*chunk.Gaps{1: owes}, 1), 1, UnderReplicated, 0},
		{"a disk failed", told(map[byte]*chunk.Gaps{2: failed}), 1, UnderReplicated, 1},
	} {
		all := Look(a, c.nodes)
		require.Len(t, all, chunk.Partitions)
		require.Equal(t, c.copies, all[p].Copies, c.about)
		require.Equal(t, c.state, all[p].State, c.about)
		require.Len(t, all[p].Lacking, c.lacking, c.about)
		if c.lacking > 0 {
			require.Equal(t, Partition{Owners: all[p+1].Owners, Former: all[p+1].Former, Copies: 2, State: Complete}, all[p+1], "%s: the partition beside it", c.about)
		}
	}
}

func TestWhileAPartitionMovesEachLayoutInForceMustHaveItsCopies(t *testing.T) {
	a := inForce(t, []layout.Node{node(1), node(2)}, []layout.Node{node(2), node(3)})
	for p, one := range Look(a, told(nil)) {
		require.Equal(t, Moving, one.State, "%v", p)
		require.Equal(t, 2, one.Copies)
		require.Len(t, one.Former, 1)
	}
	one := Look(a, told(nil, 1))[0]
	require.Equal(t, UnderReplicated, one.State, "what was not handed over has one copy")
	require.Equal(t, 1, one.Copies)
	one = Look(a, told(nil, 1, 2))[0]
	require.Equal(t, Unreadable, one.State)
	require.Zero(t, one.Copies)
	one = Look(a, told(nil, 3))[0]
	require.Equal(t, 1, one.Copies, "what is written now has one copy")
}

func TestOnlyPartitionsThatGoElsewhereMove(t *testing.T) {
	a := inForce(t, []layout.Node{node(1), node(2), node(3)}, []layout.Node{node(1), node(2), node(3), node(4)})
	moving := 0
	for p, one := range Look(a, told(nil)) {
		if len(one.Former) == 0 {
			require.Equal(t, Complete, one.State, "%v", p)
		} else {
			require.Equal(t, Moving, one.State, "%v", p)
			moving++
		}
	}
	require.Greater(t, moving, 1000)
	require.Less(t, moving, 3000)
}

func TestANodeThatHasNotComparedMayLackEverything(t *testing.T) {
	a := inForce(t, []layout.Node{node(1), node(2)})
	nodes := told(nil)
	nodes.Sure = func(id chunk.NodeID) bool { return id != node(2).ID }
	for _, one := range Look(a, nodes) {
		require.Equal(t, 1, one.Copies)
		require.Equal(t, UnderReplicated, one.State)
		require.Equal(t, []uint16{1}, one.Lacking)
	}
}
