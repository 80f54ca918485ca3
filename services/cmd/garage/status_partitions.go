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

// newPartitions are the sums of an answer; nil without a layout.
func newPartitions(answer *adminv1.GetPartitionsResponse) *partitionsJSON {
	if len(answer.GetByState()) == 0 {
		return nil
	}
	in := func(state adminv1.PartitionState) int {
		if i := int(state); i < len(answer.GetByState()) {
			return int(answer.GetByState()[i])
		}
		return 0
	}
	return &partitionsJSON{ByCopies: append([]uint32{}, answer.GetByCopies()...), Problems: append([]string{}, answer.GetProblems()...),
		Complete: in(adminv1.PartitionState_PARTITION_STATE_COMPLETE), Moving: in(adminv1.PartitionState_PARTITION_STATE_MOVING),
		UnderReplicated: in(adminv1.PartitionState_PARTITION_STATE_UNDER_REPLICATED), Unreadable: in(adminv1.PartitionState_PARTITION_STATE_UNREADABLE)}
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
