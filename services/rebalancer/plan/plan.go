// Package plan says what a layout change does before it is made: which node and zone has how much before and
// after, and what would move. It is pure: two layouts and their assignments in, figures out.
package plan

import (
	"bytes"
	"slices"
	"strings"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/layout"
)

// Share is what a node or a zone has before and after a change. A node that is not in one of the layouts has nothing there.
type Share struct {
	ID     chunk.NodeID // of a node; zero for a zone
	Zone   string       // after the change, or before for a node that is taken out
	Before Amount
	After  Amount
	Gained int // partitions it owns after and did not own before
}

// Amount is what a node or a zone has.
type Amount struct {
	Partitions int
	Capacity   uint64 // bytes
}

// Plan is what a change does.
type Plan struct {
	Nodes        []Share // sorted by ID
	Zones        []Share // sorted by name
	Moved        int     // copies of partitions that nodes own after and did not own before
	Lost         int     // copies of partitions that nodes owned before and do not own after
	UsableBefore uint64  // bytes, each counted once
	UsableAfter  uint64
}

// SameOwners reports whether each partition keeps exactly the owners it had: then no data has to move.
func (p Plan) SameOwners() bool { return p.Moved == 0 && p.Lost == 0 }

// side is one of the two layouts.
type side struct {
	layout     layout.Layout
	assignment *layout.Assignment // nil: no layout
}

// Make compares. before and its assignment are zero where there is no layout yet.
func Make(before layout.Layout, owners *layout.Assignment, after layout.Layout, next *layout.Assignment) Plan {
	var p Plan
	nodes, zones := map[chunk.NodeID]*Share{}, map[string]*Share{}
	count := func(s side, of func(*Share) *Amount) {
		if s.assignment == nil {
			return
		}
		slots := s.assignment.Slots()
		for i, n := range s.layout.Nodes {
			node := entry(nodes, n.ID)
			node.ID, node.Zone = n.ID, n.Zone
			zone := entry(zones, n.Zone)
			zone.Zone = n.Zone
			for _, share := range []*Share{node, zone} {
				amount := of(share)
				amount.Partitions += slots[i]
				amount.Capacity += n.Bytes()
			}
		}
	}
	count(side{before, owners}, func(s *Share) *Amount { return &s.Before })
	count(side{after, next}, func(s *Share) *Amount { return &s.After })
	for _, id := range gains(next, owners) {
		entry(nodes, id).Gained++
		entry(zones, after.Nodes[after.Index(id)].Zone).Gained++
		p.Moved++
	}
	p.Lost = len(gains(owners, next))
	p.Nodes, p.Zones = values(nodes), values(zones)
	slices.SortFunc(p.Nodes, func(a, b Share) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	slices.SortFunc(p.Zones, func(a, b Share) int { return strings.Compare(a.Zone, b.Zone) })
	if owners != nil {
		p.UsableBefore = owners.Usable()
	}
	p.UsableAfter = next.Usable()
	return p
}

// gains lists the owner of each copy that a has and b has not; b may be nil, and then all are.
func gains(a, b *layout.Assignment) []chunk.NodeID {
	if a == nil {
		return nil
	}
	var all []chunk.NodeID
	for p := range chunk.Partition(chunk.Partitions) {
		for _, o := range a.Owners(p) {
			if id := a.Nodes()[o]; b == nil || !owns(b, p, id) {
				all = append(all, id)
			}
		}
	}
	return all
}

func owns(a *layout.Assignment, p chunk.Partition, id chunk.NodeID) bool {
	return slices.ContainsFunc(a.Owners(p), func(o uint16) bool { return a.Nodes()[o] == id })
}

func entry[K comparable](m map[K]*Share, key K) *Share {
	s := m[key]
	if s == nil {
		s = &Share{}
		m[key] = s
	}
	return s
}

func values[K comparable](m map[K]*Share) []Share {
	all := make([]Share, 0, len(m))
	for _, s := range m {
		all = append(all, *s)
	}
	return all
}
