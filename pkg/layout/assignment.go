package layout

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
)

// Assignment says which nodes own which partitions in a layout. It is not
// changed once made and may be shared.
type Assignment struct {
	number      uint64
	replication int
	slot        uint64         // bytes
	nodes       []chunk.NodeID // sorted, those of the layout
	owners      []uint16       // indexes into nodes: replication of them for each partition
}

// Number is the number of the layout.
func (a *Assignment) Number() uint64 { return a.number }

// Replication is the number of owners of each partition.
func (a *Assignment) Replication() int { return a.replication }

// SlotSize is the room, in bytes, that each owner of a partition has for it.
func (a *Assignment) SlotSize() uint64 { return a.slot }

// Usable is the plain bytes, every copy counted once, that fit if the
// partitions fill evenly.
func (a *Assignment) Usable() uint64 {
	if a.slot > math.MaxUint64/chunk.Partitions {
		return math.MaxUint64
	}
	return chunk.Partitions * a.slot
}

// Nodes are the nodes of the layout in the order of the owner indexes. The
// slice must not be changed.
func (a *Assignment) Nodes() []chunk.NodeID { return a.nodes }

// Owners are the owners of a partition, as indexes into Nodes and into the
// Nodes of the layout, most preferred first. The slice must not be changed.
func (a *Assignment) Owners(p chunk.Partition) []uint16 {
	from := int(p) * a.replication
	return a.owners[from : from+a.replication : from+a.replication]
}

// Slots is the number of partitions that each node owns.
func (a *Assignment) Slots() []int {
	slots := make([]int, len(a.nodes))
	for _, n := range a.owners {
		slots[n]++
	}
	return slots
}

// Moved is the number of copies of partitions that nodes own here and did not
// own in previous, which may be nil.
func (a *Assignment) Moved(previous *Assignment) int {
	if previous == nil {
		return len(a.owners)
	}
	old := a.indexesOf(previous)
	moved := 0
	for p := range chunk.Partition(chunk.Partitions) {
		before := previous.Owners(p)
		for _, n := range a.Owners(p) {
			if !slices.ContainsFunc(before, func(o uint16) bool { return old[o] == int(n) }) {
				moved++
			}
		}
	}
	return moved
}

// indexesOf gives for each node of previous its index here, or -1.
func (a *Assignment) indexesOf(previous *Assignment) []int { return indexesOf(previous.nodes, a.nodes) }

func indexesOf(from, to []chunk.NodeID) []int {
	indexes := make([]int, len(from))
	for i, id := range from {
		at, found := slices.BinarySearchFunc(to, id, func(a, b chunk.NodeID) int { return bytes.Compare(a[:], b[:]) })
		if !found {
			at = -1
		}
		indexes[i] = at
	}
	return indexes
}

// The encoding, all numbers with the most significant byte first:
//
//	"GLA1"  number (8)  slot (8)  replication (2)  nodes (2)
//	the 16 bytes of each node ID
//	the owners of partition 000, then of 001 … fff, two bytes each
const (
	encodingMagic = "GLA1"
	headerSize    = 24
)

// MarshalBinary is the assignment in 24 bytes, 16 for each node and 2 for each
// owner: 24 KiB and a little with three copies.
func (a *Assignment) MarshalBinary() ([]byte, error) {
	b := make([]byte, 0, headerSize+16*len(a.nodes)+2*len(a.owners))
	b = append(b, encodingMagic...)
	b = binary.BigEndian.AppendUint64(b, a.number)
	b = binary.BigEndian.AppendUint64(b, a.slot)
	b = binary.BigEndian.AppendUint16(b, uint16(a.replication))
	b = binary.BigEndian.AppendUint16(b, uint16(len(a.nodes)))
	for _, id := range a.nodes {
		b = append(b, id[:]...)
	}
	for _, n := range a.owners {
		b = binary.BigEndian.AppendUint16(b, n)
	}
	return b, nil
}

// UnmarshalBinary reads what MarshalBinary wrote. Anything else is refused
// with kind Corrupted, and the assignment then stays as it was.
func (a *Assignment) UnmarshalBinary(b []byte) error {
	if len(b) < headerSize || string(b[:4]) != encodingMagic {
		return damaged("it does not begin as an assignment does")
	}
	d := Assignment{
		number:      binary.BigEndian.Uint64(b[4:]),
		slot:        binary.BigEndian.Uint64(b[12:]),
		replication: int(binary.BigEndian.Uint16(b[20:])),
	}
	count := int(binary.BigEndian.Uint16(b[22:]))
	if d.replication < 1 || d.replication > MaxReplication || count < d.replication || count > MaxNodes {
		return damaged("it has %d copies on %d nodes", d.replication, count)
	}
	if want := headerSize + 16*count + 2*chunk.Partitions*d.replication; len(b) != want {
		return damaged("it has %d bytes instead of %d", len(b), want)
	}
	b = b[headerSize:]
	d.nodes = make([]chunk.NodeID, count)
	for i := range d.nodes {
		copy(d.nodes[i][:], b[16*i:])
		if i > 0 && bytes.Compare(d.nodes[i-1][:], d.nodes[i][:]) >= 0 {
			return damaged("its nodes are not sorted")
		}
	}
	b = b[16*count:]
	d.owners = make([]uint16, chunk.Partitions*d.replication)
	for i := range d.owners {
		n := binary.BigEndian.Uint16(b[2*i:])
		if int(n) >= count {
			return damaged("partition %v has the owner %d of %d nodes", chunk.Partition(i/d.replication), n, count)
		}
		if slices.Contains(d.owners[i-i%d.replication:i], n) {
			return damaged("partition %v has an owner twice", chunk.Partition(i/d.replication))
		}
		d.owners[i] = n
	}
	*a = d
	return nil
}

func damaged(format string, args ...any) error {
	return errors.E(errors.Corrupted, errors.Layout, "", "the stored assignment cannot be read: "+format, args...)
}
