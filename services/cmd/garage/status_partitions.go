package main

import (
	"fmt"
	"strings"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// partitionsJSON is how many partitions are in which state.
type partitionsJSON struct {
	Complete        int      `json:"complete"`
	Moving          int      `json:"moving"`           // have all copies, and go to other nodes
	UnderReplicated int      `json:"under_replicated"` // have fewer good copies than wanted
	Unreadable      int      `json:"unreadable"`       // no owner is alive
	ByCopies        []uint32 `json:"by_copies"`        // how many have 0, 1, 2 … good copies
	Problems        []string `json:"problems"`         // of nodes that could not be asked what they lack
}

// newPartitions sums up the partitions; nil without a layout.
func newPartitions(answer *adminv1.GetPartitionsResponse) *partitionsJSON {
	if len(answer.GetPartitions()) == 0 {
		return nil
	}
	v := &partitionsJSON{ByCopies: append([]uint32{}, answer.GetByCopies()...), Problems: append([]string{}, answer.GetProblems()...)}
	for _, p := range answer.GetPartitions() {
		switch p.GetState() {
		case adminv1.PartitionState_PARTITION_STATE_COMPLETE:
			v.Complete++
		case adminv1.PartitionState_PARTITION_STATE_MOVING:
			v.Moving++
		case adminv1.PartitionState_PARTITION_STATE_UNDER_REPLICATED:
			v.UnderReplicated++
		case adminv1.PartitionState_PARTITION_STATE_UNREADABLE:
			v.Unreadable++
		}
	}
	return v
}

// text is the sum for people, the worst first.
func (v *partitionsJSON) text() string {
	var parts []string
	for _, one := range []struct {
		count int
		what  string
	}{{v.Unreadable, "without any owner alive"}, {v.UnderReplicated, "with too few good copies"}, {v.Moving, "complete and moving"}, {v.Complete, "complete"}} {
		if one.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", one.count, one.what))
		}
	}
	return strings.Join(parts, ", ")
}
