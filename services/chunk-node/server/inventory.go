package server

import (
	"context"
	"slices"

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
	rest := after // the chunk of which the other references are asked for
	var told chunk.Ref
	if req.AfterRef != nil {
		if told, err = remote.RefFrom(req.AfterRef); err != nil {
			return nil, err
		}
		after = before(after)
	}
	entries, err := s.node.Entries(ctx, p, uint8(req.Bucket), after, int(min(req.Limit, remote.MaxEntries)))
	if err != nil {
		return nil, err
	}
	answer, room := &chunknodev1.ListEntriesResponse{}, remote.MaxReferences
	for _, e := range entries {
		if req.AfterRef != nil && e.Hash == rest {
			at, found := slices.BinarySearchFunc(e.Refs, told, chunk.Ref.Compare)
			if found {
				at++
			}
			e.Refs = e.Refs[at:]
		}
		more := len(e.Refs) > room
		e.Refs = e.Refs[:min(len(e.Refs), room)]
		one := remote.EntryTo(e)
		one.More = more
		answer.Entries = append(answer.Entries, one)
		if room -= len(e.Refs); room == 0 {
			break // who asks goes on behind it
		}
	}
	return answer, nil
}

// before is the hash that precedes h.
func before(h chunk.Hash) chunk.Hash {
	for i := len(h) - 1; i >= 0; i-- {
		if h[i]--; h[i] != 0xff {
			break
		}
	}
	return h
}
