package remote

import (
	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

// NodeKey is the metadata key of a request that names the node it is meant for.
const NodeKey = "garage-node"

// ClusterKey is the metadata key of a request about layouts that names the cluster of who asks.
const ClusterKey = "garage-cluster"

// HashFrom reads a hash from the wire.
func HashFrom(p []byte) (chunk.Hash, error) {
	if len(p) != chunk.HashSize {
		return chunk.Hash{}, errors.Newf(errors.Invalid, "a hash has %d bytes, not %d", chunk.HashSize, len(p))
	}
	return chunk.Hash(p), nil
}

// RefFrom reads a reference from the wire.
func RefFrom(r *chunknodev1.Ref) (chunk.Ref, error) {
	attempt, err := uuid.FromBytes(r.GetAttempt())
	if err != nil {
		return chunk.Ref{}, errors.Wrap(errors.Invalid, err, "a reference without attempt")
	}
	return chunk.Ref{Attempt: attempt, Offset: r.GetOffset()}, nil
}

func refTo(r chunk.Ref) *chunknodev1.Ref {
	return &chunknodev1.Ref{Attempt: r.Attempt[:], Offset: r.Offset}
}

// OutcomeTo is an outcome on the wire.
func OutcomeTo(o chunk.Outcome) chunknodev1.Outcome {
	switch o {
	case chunk.Stored:
		return chunknodev1.Outcome_OUTCOME_STORED
	case chunk.SendData:
		return chunknodev1.Outcome_OUTCOME_SEND_DATA
	case chunk.Gone:
		return chunknodev1.Outcome_OUTCOME_GONE
	}
	return chunknodev1.Outcome_OUTCOME_UNSPECIFIED
}

func outcomeFrom(o chunknodev1.Outcome) (chunk.Outcome, error) {
	switch o {
	case chunknodev1.Outcome_OUTCOME_STORED:
		return chunk.Stored, nil
	case chunknodev1.Outcome_OUTCOME_SEND_DATA:
		return chunk.SendData, nil
	case chunknodev1.Outcome_OUTCOME_GONE:
		return chunk.Gone, nil
	}
	return 0, errors.Newf(errors.Internal, "the node answered with an unknown outcome: %v", o)
}

// StatusTo is a status on the wire.
func StatusTo(s chunk.NodeStatus) *chunknodev1.StatusResponse {
	out := &chunknodev1.StatusResponse{
		Id: s.ID[:], Incarnation: s.Incarnation[:], ClusterId: s.ClusterID[:], Version: s.Version,
		Chunks: s.Chunks, Bytes: s.Bytes, StoredBytes: s.StoredBytes, Uncollected: s.Uncollected, Owed: s.Owed, Quarantined: s.Quarantined,
		Capacity: s.Capacity, Free: s.Free, ReadOnly: s.ReadOnly, Problem: s.Problem,
		Layout: s.Layout, Walked: s.Walked, Foreign: s.Foreign, Wanted: s.Wanted, Trashed: s.Trashed,
		Damaged: s.Damaged, Mended: s.Mended, Uncompared: s.Uncompared,
	}
	for _, t := range s.Tasks {
		out.Tasks = append(out.Tasks, TaskTo(t))
	}
	for _, d := range s.Disks {
		out.Disks = append(out.Disks, &chunknodev1.DiskStatus{Path: d.Path, Capacity: d.Capacity, Free: d.Free, Failed: d.Failed})
	}
	return out
}

func statusFrom(s *chunknodev1.StatusResponse) (chunk.NodeStatus, error) {
	out := chunk.NodeStatus{
		Version: s.Version, Chunks: s.Chunks, Bytes: s.Bytes, StoredBytes: s.StoredBytes, Uncollected: s.Uncollected, Owed: s.Owed,
		Quarantined: s.Quarantined, Capacity: s.Capacity, Free: s.Free, ReadOnly: s.ReadOnly, Problem: s.Problem,
		Layout: s.Layout, Walked: s.Walked, Foreign: s.Foreign, Wanted: s.Wanted, Trashed: s.Trashed,
		Damaged: s.Damaged, Mended: s.Mended, Uncompared: s.Uncompared,
	}
	for _, t := range s.Tasks {
		out.Tasks = append(out.Tasks, taskFrom(t))
	}
	for _, d := range s.Disks {
		out.Disks = append(out.Disks, chunk.DiskStatus{Path: d.Path, Capacity: d.Capacity, Free: d.Free, Failed: d.Failed})
	}
	for _, id := range []struct {
		to   *uuid.UUID
		from []byte
	}{{&out.ID, s.Id}, {&out.Incarnation, s.Incarnation}, {&out.ClusterID, s.ClusterId}} {
		var err error
		if *id.to, err = uuid.FromBytes(id.from); err != nil {
			return out, errors.Wrap(errors.Internal, err, "the node's status is malformed")
		}
	}
	return out, nil
}
