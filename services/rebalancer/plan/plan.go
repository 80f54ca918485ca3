// Package plan says what a layout change does before it is made: which node and zone has how much before and
// after, what would move, how long that takes, and what limits the room. It is pure: two layouts, their assignments and what
// nodes hold in, figures out. How much a partition holds and how fast nodes send are estimates, and so is what follows from them.
package plan

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"time"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/layout"
)

// Share is what a node or a zone has before and after a change. A node that is not in one of the layouts has nothing there.
type Share struct {
	ID       chunk.NodeID // of a node; zero for a zone
	Zone     string       // after the change, or before for a node that is taken out
	Before   Amount
	After    Amount
	Gained   int    // partitions it owns after and did not own before
	Lost     int    // partitions it owned before and does not own after
	Received uint64 // bytes that move to it
	Sent     uint64 // bytes that it sends, if owners of the same partition send equally much
	Unused   uint64 // bytes of its capacity after the change that no partition can use
}

// Amount is what a node or a zone has.
type Amount struct {
	Partitions int
	Capacity   uint64 // bytes
}

// Change is two layouts, and what is known of the nodes.
type Change struct {
	Before layout.Placement // zero where there is no layout yet
	After  layout.Placement
	// PartitionBytes is how much one copy of a partition takes on a disk, on average.
	PartitionBytes float64
	// Rate is how many bytes a second a node sends; 0: not known, or not limited.
	Rate int64
	// Away reports whether a node of the layout before cannot send; nil: all can.
	Away func(chunk.NodeID) bool
}

// Plan is what a change does.
type Plan struct {
	Nodes        []Share // sorted by ID
	Zones        []Share // sorted by name
	Moved        int     // copies of partitions that nodes own after and did not own before
	Lost         int     // copies of partitions that nodes owned before and do not own after
	Unsent       int     // copies among Moved that no owner of before can send, because all are away
	UsableBefore uint64  // bytes, each counted once
	UsableAfter  uint64
	Stored       uint64        // bytes that there are, each counted once
	Bytes        uint64        // that move
	Duration     time.Duration // of moving them; 0: not known, or nothing moves
	Remarks      []string      // what the operator should know about the room and the copies
}

// shares collects what nodes and zones have.
type shares struct {
	nodes map[chunk.NodeID]*Share
	zones map[string]*Share
}

// of are the shares to which something of a node counts.
func (s shares) of(n layout.Node) []*Share {
	node, zone := entry(s.nodes, n.ID), entry(s.zones, n.Zone)
	node.ID, node.Zone, zone.Zone = n.ID, n.Zone, n.Zone
	return []*Share{node, zone}
}

// count adds what the nodes of a layout have.
func (s shares) count(p layout.Placement, amount func(*Share) *Amount) {
	if p.Assignment == nil {
		return
	}
	slots := p.Assignment.Slots()
	for i, n := range p.Layout.Nodes {
		for _, share := range s.of(n) {
			a := amount(share)
			a.Partitions += slots[i]
			a.Capacity += n.Bytes()
		}
	}
}

// Make compares.
func Make(c Change) Plan {
	var p Plan
	s := shares{nodes: map[chunk.NodeID]*Share{}, zones: map[string]*Share{}}
	s.count(c.Before, func(s *Share) *Amount { return &s.Before })
	s.count(c.After, func(s *Share) *Amount { return &s.After })
	for of := range chunk.Partition(chunk.Partitions) {
		s.move(c, of, &p)
	}
	slot := c.After.Assignment.SlotSize()
	for _, n := range c.After.Layout.Nodes {
		unused := n.Bytes() - min(n.Bytes(), uint64(s.nodes[n.ID].After.Partitions)*slot)
		for _, share := range s.of(n) {
			share.Unused += unused
		}
	}
	p.Nodes, p.Zones = values(s.nodes), values(s.zones)
	slices.SortFunc(p.Nodes, func(a, b Share) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	slices.SortFunc(p.Zones, func(a, b Share) int { return strings.Compare(a.Zone, b.Zone) })
	if c.Before.Assignment != nil {
		p.UsableBefore = c.Before.Assignment.Usable()
	}
	p.UsableAfter = c.After.Assignment.Usable()
	p.Stored = uint64(c.PartitionBytes * chunk.Partitions)
	p.Bytes = uint64(c.PartitionBytes * float64(p.Moved))
	p.Duration = p.duration(c.Rate)
	p.Remarks = remarks(c.After.Layout, slot, p)
	return p
}

// move counts what happens to one partition: those who owned it before and can send share in sending it.
func (s shares) move(c Change, of chunk.Partition, p *Plan) {
	before, after := owners(c.Before, of), owners(c.After, of)
	var gained, senders []layout.Node
	for _, n := range after {
		if !has(before, n.ID) {
			gained = append(gained, n)
		}
	}
	for _, n := range before {
		if !has(after, n.ID) {
			p.Lost++
			for _, share := range s.of(n) {
				share.Lost++
			}
		}
		if c.Away == nil || !c.Away(n.ID) {
			senders = append(senders, n)
		}
	}
	for _, n := range gained {
		p.Moved++
		for _, share := range s.of(n) {
			share.Gained++
			share.Received += uint64(c.PartitionBytes)
		}
	}
	if len(senders) == 0 && len(before) > 0 {
		p.Unsent += len(gained)
		return
	}
	for _, n := range senders {
		for _, share := range s.of(n) {
			share.Sent += uint64(c.PartitionBytes * float64(len(gained)) / float64(len(senders)))
		}
	}
}

// duration is how long the node that sends most takes.
func (p Plan) duration(rate int64) time.Duration {
	if rate <= 0 {
		return 0
	}
	var most uint64
	for _, n := range p.Nodes {
		most = max(most, n.Sent)
	}
	seconds := float64(most) / float64(rate)
	if seconds >= math.MaxInt64/float64(time.Second) {
		return math.MaxInt64
	}
	return time.Duration(seconds * float64(time.Second))
}

// owners are the nodes that own a partition; none without a layout.
func owners(p layout.Placement, of chunk.Partition) []layout.Node {
	if p.Assignment == nil {
		return nil
	}
	var all []layout.Node
	for _, o := range p.Assignment.Owners(of) {
		all = append(all, p.Layout.Nodes[o])
	}
	return all
}

func has(nodes []layout.Node, id chunk.NodeID) bool {
	return slices.ContainsFunc(nodes, func(n layout.Node) bool { return n.ID == id })
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
