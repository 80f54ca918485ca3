package chunk

import "context"

// PartitionSet is a set of partitions. Its first bit, the most significant of the first byte, is partition 0.
type PartitionSet [Partitions / 8]byte

// Add puts a partition into the set.
func (s *PartitionSet) Add(p Partition) { s[p/8] |= 0x80 >> (p % 8) }

// Has reports whether a partition is in the set; nothing is in a nil one.
func (s *PartitionSet) Has(p Partition) bool { return s != nil && s[p/8]&(0x80>>(p%8)) != 0 }

// Gaps are the partitions of which a node knows that copies are missing.
type Gaps struct {
	Wanted PartitionSet             // it lacks a good copy of a chunk, and looks for one
	Owed   map[NodeID]*PartitionSet // it owes a chunk to another node, which lacks it
	Failed PartitionSet             // they are on a disk of it that is out of use
}

// GapTeller is a node that tells its gaps.
type GapTeller interface {
	// Gaps are what the node knows now. The cost follows the number of partitions in them, not of chunks.
	Gaps(ctx context.Context) (*Gaps, error)
}
