package layout

import (
	"math"
	"slices"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
)

// Assign gives every partition its owners in the layout. It moves as few
// copies as possible away from the owners in previous, which is nil for a first
// layout. Errors are of kind Invalid: the layout itself is, or its nodes
// are too small for one byte in each partition.
func Assign(previous *Assignment, l Layout) (*Assignment, error) {
	if err := l.Validate(); err != nil {
		return nil, err
	}
	a := &Assignment{number: l.Number, replication: l.Replication, nodes: make([]chunk.NodeID, len(l.Nodes))}
	for i, n := range l.Nodes {
		a.nodes[i] = n.ID
	}
	s := newSpread(l)
	if a.slot = s.largestSlot(); a.slot == 0 {
		return nil, invalid("nodes", "are too small for %d copies of %d partitions in %d zones", l.Replication, chunk.Partitions, l.Zones())
	}
	ring := NewRing(l)
	f := newFlow(flowSpec{
		partitions: chunk.Partitions,
		copies:     l.Replication,
		perZone:    s.perZone,
		zones:      s.zoneOf,
		room:       s.slots(a.slot),
		walk:       func(p int) []uint16 { return ring.Walk(chunk.Partition(p)) },
		held:       heldBefore(previous, a),
	})
	if err := f.solve(); err != nil {
		return nil, err
	}
	a.owners = f.ownersInOrder()
	if err := a.check(s); err != nil {
		return nil, err
	}
	return a, nil
}

// spread is what limits how copies may be spread.
type spread struct {
	copies  int
	perZone int   // copies of one partition that one zone may hold
	zoneOf  []int // of each node
	zones   int
	bytes   []uint64 // capacity of each node
}

func newSpread(l Layout) spread {
	s := spread{copies: l.Replication}
	numbers := make(map[string]int)
	for _, n := range l.Nodes {
		z, known := numbers[n.Zone]
		if !known {
			z = len(numbers)
			numbers[n.Zone] = z
		}
		s.zoneOf = append(s.zoneOf, z)
		s.bytes = append(s.bytes, n.Bytes())
	}
	s.zones = len(numbers)
	// With at most three copies this limit alone puts them into as many zones
	// as there are: of three copies in two zones, no zone may hold three.
	s.perZone = l.Replication - min(l.Replication, s.zones) + 1
	return s
}

// slots is how many partitions each node can take, when a slot has that many bytes.
func (s spread) slots(size uint64) []int {
	slots := make([]int, len(s.bytes))
	for i, b := range s.bytes {
		slots[i] = int(min(b/size, chunk.Partitions))
	}
	return slots
}

// fits reports whether all partitions find owners when a slot has that many
// bytes. If the nodes can take the total within what each and each zone may
// hold, then every partition taking the same fraction of each node is a
// fractional assignment, and so there is one in whole numbers as well.
func (s spread) fits(size uint64) bool {
	inZone := make([]int, s.zones)
	for i, n := range s.slots(size) {
		inZone[s.zoneOf[i]] += n
	}
	total := 0
	for _, n := range inZone {
		total += min(n, s.perZone*chunk.Partitions)
	}
	return total >= s.copies*chunk.Partitions
}

// largestSlot is the largest size, in bytes, that fits, or 0.
func (s spread) largestSlot() uint64 {
	low, high := uint64(0), slices.Max(s.bytes) // low fits or is 0; nothing above high fits
	for low < high {
		middle := high - (high-low)/2
		if s.fits(middle) {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low
}

// heldBefore marks, for each partition, the nodes of a that own it in previous.
func heldBefore(previous, a *Assignment) func(p int) []int {
	if previous == nil {
		return func(int) []int { return nil }
	}
	indexes := a.indexesOf(previous)
	held := make([]int, 0, MaxReplication)
	return func(p int) []int {
		held = held[:0]
		for _, o := range previous.Owners(chunk.Partition(p)) {
			if i := indexes[o]; i >= 0 {
				held = append(held, i)
			}
		}
		return held
	}
}

// check makes sure of what every assignment promises: a wrong one would lose data.
func (a *Assignment) check(s spread) error {
	room := s.slots(a.slot)
	inZone := make([]int, s.zones)
	for p := range chunk.Partition(chunk.Partitions) {
		clear(inZone)
		owners := a.Owners(p)
		for i, n := range owners {
			room[n]--
			inZone[s.zoneOf[n]]++
			if room[n] < 0 || inZone[s.zoneOf[n]] > s.perZone || slices.Contains(owners[:i], n) {
				return errors.E(errors.Internal, errors.Layout, "", "the owners %v of partition %v break a limit", owners, p)
			}
		}
	}
	if len(a.owners) != a.replication*chunk.Partitions || len(a.nodes) > math.MaxUint16 {
		return errors.E(errors.Internal, errors.Layout, "", "the assignment has %d owners", len(a.owners))
	}
	return nil
}
