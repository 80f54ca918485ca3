package plan

import (
	"testing"
	"time"

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
func made(t *testing.T, number uint64, copies int, previous *layout.Assignment, nodes ...layout.Node) layout.Placement {
	t.Helper()
	l, err := layout.New(number, copies, nodes)
	require.NoError(t, err)
	a, err := layout.Assign(previous, l)
	require.NoError(t, err)
	return layout.Placement{Layout: l, Assignment: a}
}

func TestTheFirstLayoutGivesEverything(t *testing.T) {
	first := made(t, 1, 2, nil, node(1, "a", 100), node(2, "b", 100))
	p := Make(Change{After: first, PartitionBytes: 1000, Rate: 1000})
	require.Equal(t, 2*chunk.Partitions, p.Moved)
	require.Zero(t, p.Lost)
	require.Zero(t, p.Unsent, "there is nothing to send")
	require.Zero(t, p.Duration)
	require.Zero(t, p.UsableBefore)
	require.Equal(t, first.Assignment.Usable(), p.UsableAfter)
	for i, n := range p.Nodes {
		require.Equal(t, id(i+1), n.ID)
		require.Equal(t, Amount{chunk.Partitions, 100 * gigabyte}, n.After)
		require.Equal(t, Amount{}, n.Before)
		require.Equal(t, chunk.Partitions, n.Gained)
		require.Zero(t, n.Sent)
	}
	require.Len(t, p.Zones, 2)
	require.Empty(t, p.Remarks)
}

func TestAnotherZoneOrCapacityWithTheSameOwnersMovesNothing(t *testing.T) {
	first := made(t, 1, 2, nil, node(1, "a", 100), node(2, "b", 100))
	next := made(t, 2, 2, first.Assignment, node(1, "c", 100), node(2, "b", 300))
	p := Make(Change{Before: first, After: next, PartitionBytes: 1000, Rate: 1000})
	require.Zero(t, p.Moved)
	require.Zero(t, p.Lost)
	require.Zero(t, p.Bytes)
	require.Zero(t, p.Duration)
	require.Equal(t, []string{"a", "b", "c"}, []string{p.Zones[0].Zone, p.Zones[1].Zone, p.Zones[2].Zone})
	require.Equal(t, chunk.Partitions, p.Zones[0].Before.Partitions)
	require.Zero(t, p.Zones[0].After.Partitions)
	require.EqualValues(t, 300*gigabyte, p.Zones[1].After.Capacity)
	require.InDelta(t, 200*gigabyte, p.Zones[1].Unused, gigabyte)
	require.Len(t, p.Remarks, 2)
	require.Contains(t, p.Remarks[0], "b has all the copies that one zone may have")
	require.Contains(t, p.Remarks[1], id(2).String()+" has a copy of every chunk")
}

func TestAFourthNodeGainsWhatTheOthersLose(t *testing.T) {
	first := made(t, 1, 3, nil, node(1, "a", 100), node(2, "b", 100), node(3, "c", 100))
	next := made(t, 2, 3, first.Assignment, append(first.Layout.Nodes, node(4, "d", 100))...)
	const partition = 3000.0
	p := Make(Change{Before: first, After: next, PartitionBytes: partition, Rate: 1000})
	require.Equal(t, p.Nodes[3].After.Partitions, p.Nodes[3].Gained)
	require.Equal(t, 3072, p.Moved, "three quarters of 4096 partitions")
	require.Equal(t, p.Moved, p.Nodes[3].Gained)
	require.Equal(t, p.Moved, p.Lost)
	require.Equal(t, p.Lost, p.Nodes[0].Lost+p.Nodes[1].Lost+p.Nodes[2].Lost)
	require.EqualValues(t, 3072*partition, p.Bytes)
	require.EqualValues(t, p.Bytes, p.Nodes[3].Received)
	require.EqualValues(t, 4096*partition, p.Stored)
	for _, n := range p.Nodes[:3] {
		require.EqualValues(t, p.Bytes/3, n.Sent, "the three owners of before share in sending")
	}
	require.Equal(t, time.Duration(p.Bytes/3/1000)*time.Second, p.Duration, "they send at the same time")
	require.Empty(t, p.Remarks)
}

func TestNodesThatAreAwaySendNothing(t *testing.T) {
	first := made(t, 1, 2, nil, node(1, "a", 100), node(2, "b", 100))
	next := made(t, 2, 2, first.Assignment, node(2, "b", 100), node(3, "c", 100))
	away := map[chunk.NodeID]bool{id(1): true}
	change := Change{Before: first, After: next, PartitionBytes: 10, Rate: 10, Away: func(id chunk.NodeID) bool { return away[id] }}
	p := Make(change)
	require.Zero(t, p.Nodes[0].Sent)
	require.Equal(t, p.Bytes, p.Nodes[1].Sent)
	require.Equal(t, chunk.Partitions*time.Second, p.Duration)
	require.Zero(t, p.Unsent)

	away[id(2)] = true
	p = Make(change)
	require.Equal(t, chunk.Partitions, p.Unsent)
	require.Len(t, p.Remarks, 1)
	require.Contains(t, p.Remarks[0], "4096 copies of partitions can be sent by nobody now")
}

func TestTooFewZonesForTheCopiesAreSaid(t *testing.T) {
	p := Make(Change{After: made(t, 1, 3, nil, node(1, "a", 100), node(2, "a", 100), node(3, "b", 50), node(4, "b", 50))})
	require.Len(t, p.Remarks, 1)
	require.Contains(t, p.Remarks[0], "3 copies in 2 zones")
}

func TestAZoneThatIsLargerThanTheOthersIsNamed(t *testing.T) {
	p := Make(Change{After: made(t, 1, 3, nil, node(1, "a", 100), node(2, "b", 100), node(3, "c", 300), node(4, "c", 300))})
	require.Len(t, p.Remarks, 1)
	require.Contains(t, p.Remarks[0], "c has all the copies that one zone may have")
	require.InDelta(t, 500*gigabyte, p.Zones[2].Unused, gigabyte)
	require.InDelta(t, 100*gigabyte, p.UsableAfter, gigabyte)
}

func TestFewerCopiesAndARemovedNodeAreNoticed(t *testing.T) {
	first := made(t, 1, 3, nil, node(1, "a", 100), node(2, "b", 100), node(3, "c", 100))
	p := Make(Change{Before: first, After: made(t, 2, 2, first.Assignment, first.Layout.Nodes...)})
	require.Equal(t, chunk.Partitions, p.Lost, "copies are taken away")
	require.Zero(t, p.Moved)

	p = Make(Change{Before: first, After: made(t, 2, 2, first.Assignment, first.Layout.Nodes[:2]...)})
	require.Equal(t, chunk.Partitions, p.Lost)
	require.Equal(t, Share{ID: id(3), Zone: "c", Before: Amount{chunk.Partitions, 100 * gigabyte}, Lost: chunk.Partitions}, p.Nodes[2])
}
