// Package transition decides when layouts in force may be retired, and what giving up a node costs. It is pure: the
// layouts and what is known of the nodes in, a decision out.
//
// Invariant: a layout is retired only when each of its nodes has handed over all that a newer layout gives to others, in a walk
// that it began under a newer one, or was given up by the operator. So every chunk that was stored under it is at its owners in a
// layout that stays in force.
//
// Start reading at [Next].
package transition

import (
	"slices"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/layout"
)

// Nodes is what is known of the nodes.
type Nodes struct {
	// Walked is the number of the last layout that a node has walked under to the end; 0: none, or not known.
	Walked func(chunk.NodeID) uint64
	// Lost reports whether the operator has given a node up for a layout.
	Lost func(node chunk.NodeID, number uint64) bool
}

// Waiting is a node for which layouts wait.
type Waiting struct {
	Node   chunk.NodeID
	Layout uint64 // the oldest that does
}

// Next is the number of the layout that may be the oldest in force now, and the nodes that others wait for, sorted by ID.
func Next(a *layout.Active, n Nodes) (oldest uint64, waiting []Waiting) {
	oldest = a.Oldest()
	placements := a.Placements()
	for i, p := range placements[:len(placements)-1] {
		number := p.Layout.Number
		for _, node := range p.Layout.Nodes {
			if n.Walked(node.ID) > number || n.Lost(node.ID, number) {
				continue
			}
			if !slices.ContainsFunc(waiting, func(w Waiting) bool { return w.Node == node.ID }) {
				waiting = append(waiting, Waiting{Node: node.ID, Layout: number})
			}
		}
		if len(waiting) == 0 {
			oldest = placements[i+1].Layout.Number
		}
	}
	slices.SortFunc(waiting, func(x, y Waiting) int { return slices.Compare(x.Node[:], y.Node[:]) })
	return oldest, waiting
}

// Alone counts the partitions that a node owns in any layout in force, and of which no other owner in that layout is alive (none), or
// just one is (one).
func Alone(a *layout.Active, node chunk.NodeID, alive func(chunk.NodeID) bool) (none, one int) {
	for p := range chunk.Partition(chunk.Partitions) {
		fewest := -1
		for _, l := range a.Placements() {
			if others, owns := othersAlive(l, p, node, alive); owns && (fewest < 0 || others < fewest) {
				fewest = others
			}
		}
		switch fewest {
		case 0:
			none++
		case 1:
			one++
		}
	}
	return none, one
}

func othersAlive(l layout.Placement, p chunk.Partition, node chunk.NodeID, alive func(chunk.NodeID) bool) (others int, owns bool) {
	for _, o := range l.Assignment.Owners(p) {
		switch id := l.Layout.Nodes[o].ID; {
		case id == node:
			owns = true
		case alive(id):
			others++
		}
	}
	return others, owns
}
