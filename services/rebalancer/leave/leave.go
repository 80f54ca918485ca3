// Package leave decides which chunk-nodes may stop, so that a planned stop never takes a second owner of a
// partition away. It is pure: what is known of the nodes and the time in, an answer out.
//
// Invariants, for one [Book], which is one term of the active rebalancer:
//
//   - A node is granted leave only while every other node that owns one of its partitions, in any layout in force, is present and
//     has no grant that is still open.
//   - Open grants are all of one zone.
//   - A grant ends when the node is back, as another process; or, if it never went, when its time is over. A node whose
//     time is over and which is away counts as away like any other.
//
// Across terms the same holds because a new term begins with an empty roster, in which a node counts as away until
// its stream is open: a node on a stream of the new term obeys no older grant, and one that obeys an older grant is away or
// says that it is leaving.
//
// Start reading at [Book.Ask].
package leave

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/layout"
)

// Times of a grant.
const (
	// ValidFor is how long, from when it asked, a node may begin to leave with a grant.
	ValidFor = 10 * time.Second
	// slack is how much longer a grant is open here, for clocks that run at different speeds.
	slack = 20 * time.Second
	// RetryAfter is when a node that was refused asks again.
	RetryAfter = 3 * time.Second
)

// Member is what is known about a node at a moment.
type Member struct {
	// Present is that Consul's checks of it pass, its stream is open and fresh, it does not say that it is leaving, and
	// all this for long enough that gateways know.
	Present bool
	// Process is the one that its stream is of; it changes when the node is started again.
	Process uuid.UUID
}

// Question is a node's wish to stop, and what is known at that moment.
type Question struct {
	Node    chunk.NodeID
	Process uuid.UUID
	Now     time.Time
	// Members are the nodes that are known; others are away.
	Members map[chunk.NodeID]Member
	// Layouts are those in force; nil: none was published, and no node holds data.
	Layouts *layout.Active
}

// Answer is what becomes of a wish.
type Answer struct {
	Granted bool
	Reason  string // why it is not granted
}

// grant is a leave that was given.
type grant struct {
	zone    string
	process uuid.UUID
	until   time.Time // when it is over, if the node has not gone
}

// Book is the grants of one term. Its zero value has none. It has one caller at a time.
type Book struct {
	grants map[chunk.NodeID]grant
}

// Ask decides. A node that asks again while its grant is open gets it again.
func (b *Book) Ask(q Question) Answer {
	b.forget(q)
	if q.Layouts == nil || q.Layouts.Index(q.Node) < 0 {
		return Answer{Granted: true} // it owns nothing
	}
	zone := q.Layouts.Nodes()[q.Layouts.Index(q.Node)].Zone
	for _, id := range b.open() {
		if other := b.grants[id]; id != q.Node && other.zone != zone {
			return refused("the node %v in the zone %s has leave, and one zone leaves at a time", id, other.zone)
		}
	}
	for _, id := range Neighbours(q.Layouts, q.Node) {
		if _, leaving := b.grants[id]; leaving {
			return refused("the node %v, which holds copies of the same chunks, has leave and is not back", id)
		}
		if !q.Members[id].Present {
			return refused("the node %v, which holds copies of the same chunks, is away or has only just come back", id)
		}
	}
	if b.grants == nil {
		b.grants = map[chunk.NodeID]grant{}
	}
	b.grants[q.Node] = grant{zone: zone, process: q.Process, until: q.Now.Add(ValidFor + slack)}
	return Answer{Granted: true}
}

// Open is the nodes that have leave and are not back, sorted by ID.
func (b *Book) Open(q Question) []chunk.NodeID {
	b.forget(q)
	return b.open()
}

func (b *Book) open() []chunk.NodeID {
	ids := make([]chunk.NodeID, 0, len(b.grants))
	for id := range b.grants {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(x, y chunk.NodeID) int { return bytes.Compare(x[:], y[:]) })
	return ids
}

// forget closes the grants that have ended.
func (b *Book) forget(q Question) {
	for id, g := range b.grants {
		m := q.Members[id]
		switch back := m.Present && m.Process != g.process; {
		case back, !q.Now.Before(g.until):
			delete(b.grants, id)
		}
	}
}

func refused(format string, args ...any) Answer { return Answer{Reason: fmt.Sprintf(format, args...)} }

// Neighbours are the other nodes that own a partition of which a node is an owner, in the same layout in force, sorted by ID.
func Neighbours(a *layout.Active, id chunk.NodeID) []chunk.NodeID {
	shared := make([]bool, len(a.Nodes()))
	for _, l := range a.Placements() {
		nodes := l.Assignment.Nodes()
		together := make([]bool, len(nodes))
		for p := range chunk.Partition(chunk.Partitions) {
			owners := l.Assignment.Owners(p)
			if slices.ContainsFunc(owners, func(o uint16) bool { return nodes[o] == id }) {
				for _, o := range owners {
					together[o] = true
				}
			}
		}
		for i, is := range together {
			at := a.Index(nodes[i])
			shared[at] = shared[at] || is
		}
	}
	var others []chunk.NodeID
	for i, n := range a.Nodes() {
		if shared[i] && n.ID != id {
			others = append(others, n.ID)
		}
	}
	return others
}
