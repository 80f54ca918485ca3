package plan

import (
	"fmt"
	"strings"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/layout"
)

// even is the share of the capacity that may be unused before it is worth a word.
const even = 0.02

// remarks are what limits the room, and how far copies are apart.
func remarks(l layout.Layout, slot uint64, p Plan) []string {
	var all []string
	zones := l.Zones()
	if zones < l.Replication {
		all = append(all, fmt.Sprintf("%d copies in %d zones: a zone that is lost may take more than one copy of a chunk with it", l.Replication, zones))
	}
	var capacity, unused uint64
	for _, n := range p.Nodes {
		capacity += n.After.Capacity
		unused += n.Unused
	}
	if float64(unused) > even*float64(capacity) {
		all = append(all, limits(l, slot, p)...)
	}
	if p.Unsent > 0 {
		all = append(all, fmt.Sprintf("%d copies of partitions can be sent by nobody now, because their owners are away: they move when these are back", p.Unsent))
	}
	return all
}

// limits says why capacity is left: which zones and nodes hold all that one may.
func limits(l layout.Layout, slot uint64, p Plan) []string {
	var zones, nodes []string
	mayHold := (l.Replication - min(l.Replication, l.Zones()) + 1) * chunk.Partitions // in one zone
	for _, z := range p.Zones {
		if z.After.Partitions == mayHold && z.Unused >= slot {
			zones = append(zones, z.Zone)
		}
	}
	for _, n := range p.Nodes {
		if n.After.Partitions == chunk.Partitions && n.Unused >= slot {
			nodes = append(nodes, n.ID.String())
		}
	}
	var all []string
	if len(zones) > 0 {
		all = append(all, fmt.Sprintf("the zones hold unequally much: %s has all the copies that one zone may have, and cannot use the rest of its capacity; capacity in the other zones, or in a new one, makes more room",
			strings.Join(zones, ", ")))
	}
	if len(nodes) > 0 {
		all = append(all, fmt.Sprintf("the nodes hold unequally much: %s has a copy of every chunk, and cannot use the rest of its capacity; capacity in other nodes makes more room", strings.Join(nodes, ", ")))
	}
	return all
}
