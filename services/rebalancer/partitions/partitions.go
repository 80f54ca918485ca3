// Package partitions says how each partition is: who has it, and how many good copies there are. It is pure: what nodes say in, states out.
//
// A chunk that was stored under a layout in force is at its owners in that layout, until each owner in the current one has it; only then may an
// owner that has walked drop it. So it has at least as many good copies as the layout in force with the fewest owners that have all of the
// partition: that is what is counted. What is not counted are stand-ins and debts that an owner away holds; what is not known is damage that
// nobody has found yet.
//
// Start reading at [Look].
package partitions

import (
	"slices"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/layout"
)

// State is how a partition is: the worst that applies.
type State uint8

const (
	Complete        State = iota // all copies are at its owners
	Moving                       // all copies are there, and it goes to other owners
	UnderReplicated              // fewer good copies than a layout in force wants
	Unreadable                   // no owner in a layout in force is alive
)

// Nodes is what is known of nodes.
type Nodes struct {
	// Alive reports whether a node answers.
	Alive func(chunk.NodeID) bool
	// Sure reports whether a node that is alive knows what it lacks: one that began with an empty disk does not before it has compared with others.
	Sure func(chunk.NodeID) bool
	// Gaps are what a node that is alive has told; nil: nothing is missing, as far as is known.
	Gaps func(chunk.NodeID) *chunk.Gaps
}

// Partition is one of them. Nodes are indexes into layout.Active.Nodes.
type Partition struct {
	Owners, Former []uint16 // as layout.Active has them
	Lacking        []uint16 // of both, those that are alive and lack something
	Copies         int      // good ones of each chunk, at least
	State          State
}

// Look says how all partitions are, in their order.
func Look(a *layout.Active, n Nodes) []Partition {
	nodes := a.Nodes()
	alive, sure := make([]bool, len(nodes)), make([]bool, len(nodes))
	gaps := make([]*chunk.Gaps, len(nodes))
	for i, node := range nodes {
		if alive[i] = n.Alive(node.ID); alive[i] {
			gaps[i], sure[i] = n.Gaps(node.ID), n.Sure(node.ID)
		}
	}
	lacks := func(node uint16, p chunk.Partition) bool {
		if !sure[node] {
			return true
		}
		if g := gaps[node]; g != nil && (g.Wanted.Has(p) || g.Failed.Has(p)) {
			return true
		}
		for _, g := range gaps { // of nodes that are alive: a debt that is never paid is that of a node that was given up
			if g != nil && g.Owed[nodes[node].ID].Has(p) {
				return true
			}
		}
		return false
	}
	index := indexes(a)
	all := make([]Partition, chunk.Partitions)
	for p := range chunk.Partition(chunk.Partitions) {
		one := Partition{Owners: a.Owners(p), Former: a.Former(p), Copies: -1}
		for _, node := range slices.Concat(one.Owners, one.Former) {
			if alive[node] && lacks(node, p) {
				one.Lacking = append(one.Lacking, node)
			}
		}
		for i, l := range a.Placements() {
			good, there := 0, 0
			owners := l.Assignment.Owners(p)
			for _, o := range owners {
				node := index[i][o]
				if alive[node] {
					there++
					if !slices.Contains(one.Lacking, node) {
						good++
					}
				}
			}
			if one.Copies < 0 || good < one.Copies {
				one.Copies = good
			}
			switch {
			case there == 0:
				one.State = Unreadable
			case good < len(owners):
				one.State = max(one.State, UnderReplicated)
			}
		}
		if moving(a, index, p) {
			one.State = max(one.State, Moving)
		}
		all[p] = one
	}
	return all
}

// indexes gives for each layout in force, and each node of it, its place in Nodes.
func indexes(a *layout.Active) [][]uint16 {
	var all [][]uint16
	for _, l := range a.Placements() {
		var of []uint16
		for _, n := range l.Layout.Nodes {
			of = append(of, uint16(a.Index(n.ID)))
		}
		all = append(all, of)
	}
	return all
}

// moving reports whether layouts in force differ in who owns a partition.
func moving(a *layout.Active, index [][]uint16, p chunk.Partition) bool {
	owners := a.Owners(p)
	for i, l := range a.Placements() {
		old := l.Assignment.Owners(p)
		if len(old) != len(owners) {
			return true
		}
		for _, o := range old {
			if !slices.Contains(owners, index[i][o]) {
				return true
			}
		}
	}
	return false
}
