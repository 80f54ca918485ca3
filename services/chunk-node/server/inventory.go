package server

import (
	"context"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/remote"
	"deuxfleurs.fr/garage/pkg/errors"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

// compared lets a request in that compares what nodes hold; leave must follow.
func (s *server) compared(ctx context.Context, number uint64) (leave func(), err error) {
	if err := s.addressed(ctx); err != nil {
		return nil, err
	}
	adopted, err := s.Layouts.Enter(number)
	if err != nil {
		return nil, err
	}
	return func() { s.Layouts.Leave(adopted) }, nil
}

func partition(number uint32) (chunk.Partition, error) {
	if number >= chunk.Partitions {
		return 0, errors.Newf(errors.Invalid, "partitions have numbers below %d, not %d", chunk.Partitions, number)
	}
	return chunk.Partition(number), nil
}

// GetPartitionSums sums up partitions.
func (s *server) GetPartitionSums(ctx context.Context, req *chunknodev1.GetPartitionSumsRequest) (*chunknodev1.GetPartitionSumsResponse, error) {
	leave, err := s.compared(ctx, req.Layout)
	if err != nil {
		return nil, err
	}
	defer leave()
	if len(req.Partitions) > chunk.Partitions {
		return nil, errors.Newf(errors.Invalid, "there are %d partitions, not %d", chunk.Partitions, len(req.Partitions))
	}
	partitions := make([]chunk.Partition, len(req.Partitions))
	for i, number := range req.Partitions {
		if partitions[i], err = partition(number); err != nil {
			return nil, err
		}
	}
	sums, err := s.node.PartitionSums(ctx, partitions)
	if err != nil {
		return nil, err
	}
	return &chunknodev1.GetPartitionSumsResponse{Sums: remote.SumsTo(sums)}, nil
}

// GetBucketSums sums up the buckets of a partition.
func (s *server) GetBucketSums(ctx context.Context, req *chunknodev1.GetBucketSumsRequest) (*chunknodev1.GetBucketSumsResponse, error) {
	leave, err := s.compared(ctx, req.Layout)
	if err != nil {
		return nil, err
	}
	defer leave()
	p, err := partition(req.Partition)
	if err != nil {
		return nil, err
	}
	sums, err := s.node.BucketSums(ctx, p)
	if err != nil {
		return nil, err
	}
	return &chunknodev1.GetBucketSumsResponse{Sums: remote.SumsTo(sums[:])}, nil
}

// ListEntries lists what the node has of a bucket.
func (s *server) ListEntries(ctx context.Context, req *chunknodev1.ListEntriesRequest) (*chunknodev1.ListEntriesResponse, error) {
	leave, err := s.compared(ctx, req.Layout)
	if err != nil {
		return nil, err
	}
	defer leave()
	p, err := partition(req.Partition)
	if err != nil {
		return nil, err
	}
	if req.Bucket >= chunk.Buckets {
		return nil, errors.Newf(errors.Invalid, "buckets have numbers below %d, not %d", chunk.Buckets, req.Bucket)
	}
	after, err := remote.HashFrom(req.After)
	if err != nil {
		return nil, err
	}
	entries, err := s.node.Entries(ctx, p, uint8(req.Bucket), after, int(min(req.Limit, remote.MaxEntries)))
	if err != nil {
		return nil, err
	}
	answer, references := &chunknodev1.ListEntriesResponse{}, 0
	for _, e := range entries {
		answer.Entries = append(answer.Entries, remote.EntryTo(e))
		if references += len(e.Refs); references >= remote.MaxReferences {
			break // who asks goes on behind it
		}
	}
	return answer, nil
}
