package plan

import (
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/layout"
)

const gigabyte = 1_000_000_000

func id(i int) chunk.NodeID { return chunk.NodeID{15: byte(i)} }

func node(i int, zone string, gigabytes uint64) layout.Node {
	return layout.Node{ID: id(i), Zone: zone, Capacity: gigabytes * gigabyte, Tokens: 10}
}

// made is a layout and its assignment after previous.
func made(t *testing.T, number uint64, copies int, previous *layout.Assignment, nodes ...layout.Node) (layout.Layout, *layout.Assignment) {
	t.Helper()
	l, err := layout.New(number, copies, nodes)
	require.NoError(t, err)
	a, err := layout.Assign(previous, l)
	require.NoError(t, err)
	return l, a
}

func TestTheFirstLayoutGivesEverything(t *testing.T) {
	l, a := made(t, 1, 2, nil, node(1, "a", 100), node(2, "b", 100))
	p := Make(layout.Layout{}, nil, l, a)
	require.Equal(t, 2*chunk.Partitions, p.Moved)
	require.Zero(t, p.Lost)
	require.Zero(t, p.UsableBefore)
	require.Equal(t, a.Usable(), p.UsableAfter)
	require.Equal(t, []Share{
		{ID: id(1), Zone: "a", After: Amount{chunk.Partitions, 100 * gigabyte}, Gained: chunk.Partitions},
		{ID: id(2), Zone: "b", After: Amount{chunk.Partitions, 100 * gigabyte}, Gained: chunk.Partitions},
	}, p.Nodes)
	require.Len(t, p.Zones, 2)
}

func TestAnotherZoneOrCapacityWithTheSameOwnersMovesNothing(t *testing.T) {
	l, a := made(t, 1, 2, nil, node(1, "a", 100), node(2, "b", 100))
	next, owners := made(t, 2, 2, a, node(1, "c", 100), node(2, "b", 300))
	p := Make(l, a, next, owners)
	require.True(t, p.SameOwners())
	require.Equal(t, []string{"a", "b", "c"}, []string{p.Zones[0].Zone, p.Zones[1].Zone, p.Zones[2].Zone})
	require.Equal(t, chunk.Partitions, p.Zones[0].Before.Partitions)
	require.Zero(t, p.Zones[0].After.Partitions)
	require.EqualValues(t, 300*gigabyte, p.Zones[1].After.Capacity)
}

func TestAFourthNodeGainsWhatTheOthersLose(t *testing.T) {
	l, a := made(t, 1, 3, nil, node(1, "a", 100), node(2, "b", 100), node(3, "c", 100))
	next, owners := made(t, 2, 3, a, append(l.Nodes, node(4, "d", 100))...)
	p := Make(l, a, next, owners)
	require.False(t, p.SameOwners())
	require.Equal(t, p.Nodes[3].After.Partitions, p.Nodes[3].Gained)
	require.Equal(t, p.Moved, p.Nodes[3].Gained)
	require.Equal(t, p.Moved, p.Lost)
	require.Positive(t, p.Moved)
}

func TestFewerCopiesAndARemovedNodeAreNoticed(t *testing.T) {
	l, a := made(t, 1, 3, nil, node(1, "a", 100), node(2, "b", 100), node(3, "c", 100))
	fewer, owners := made(t, 2, 2, a, l.Nodes...)
	p := Make(l, a, fewer, owners)
	require.False(t, p.SameOwners(), "copies are taken away")
	require.Equal(t, chunk.Partitions, p.Lost)

	without, owners := made(t, 2, 2, a, l.Nodes[:2]...)
	p = Make(l, a, without, owners)
	require.False(t, p.SameOwners())
	require.Equal(t, Share{ID: id(3), Zone: "c", Before: Amount{chunk.Partitions, 100 * gigabyte}}, p.Nodes[2])
}
