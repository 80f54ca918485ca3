package remote

import (
	"context"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

// Limits of one answer, so that it fits into a message.
const (
	MaxEntries    = 1000    // entries, or damaged chunks
	MaxReferences = 100_000 // in these together, before the last entry
)

// PartitionSums implements chunk.Inventory.
func (c *Client) PartitionSums(ctx context.Context, partitions []chunk.Partition) ([]chunk.Sum, error) {
	request := &chunknodev1.GetPartitionSumsRequest{Layout: c.number()}
	for _, p := range partitions {
		request.Partitions = append(request.Partitions, uint32(p))
	}
	answer, err := small(ctx, c, c.mending.GetPartitionSums, request)
	if err != nil {
		return nil, err
	}
	sums := make([]chunk.Sum, len(partitions))
	return sums, c.sums(sums, answer.Sums)
}

// BucketSums implements chunk.Inventory.
func (c *Client) BucketSums(ctx context.Context, p chunk.Partition) (*[chunk.Buckets]chunk.Sum, error) {
	answer, err := small(ctx, c, c.mending.GetBucketSums, &chunknodev1.GetBucketSumsRequest{Partition: uint32(p), Layout: c.number()})
	if err != nil {
		return nil, err
	}
	sums := new([chunk.Buckets]chunk.Sum)
	return sums, c.sums(sums[:], answer.Sums)
}

// sums reads sums from the wire.
func (c *Client) sums(into []chunk.Sum, from []byte) error {
	const size = len(chunk.Sum{})
	if len(from) != size*len(into) {
		return errors.E(errors.Internal, errors.Node, c.o.ID.String(), "it answered with %d bytes instead of %d sums", len(from), len(into))
	}
	for i := range into {
		copy(into[i][:], from[size*i:])
	}
	return nil
}

// SumsTo are sums on the wire.
func SumsTo(sums []chunk.Sum) []byte {
	out := make([]byte, 0, len(sums)*len(chunk.Sum{}))
	for _, s := range sums {
		out = append(out, s[:]...)
	}
	return out
}

// Entries implements chunk.Inventory; it makes as many calls as that takes.
func (c *Client) Entries(ctx context.Context, p chunk.Partition, bucket uint8, after chunk.Hash, limit int) ([]chunk.Entry, error) {
	var all []chunk.Entry
	for len(all) < limit {
		asked := min(limit-len(all), MaxEntries)
		answer, err := small(ctx, c, c.mending.ListEntries, &chunknodev1.ListEntriesRequest{
			Partition: uint32(p), Bucket: uint32(bucket), After: after[:], Limit: uint32(asked), Layout: c.number()})
		if err != nil {
			return nil, err
		}
		references := 0
		for _, e := range answer.Entries {
			references += len(e.Refs)
			entry, err := entryFrom(e)
			if err != nil {
				return nil, c.failed(err)
			}
			all, after = append(all, entry), entry.Hash
		}
		if len(answer.Entries) < asked && references < MaxReferences {
			break
		}
	}
	return all, nil
}

// EntryTo is an entry on the wire.
func EntryTo(e chunk.Entry) *chunknodev1.Entry {
	return &chunknodev1.Entry{Hash: e.Hash[:], Length: e.Length, Good: e.Good, Refs: refsTo(e.Refs)}
}

func entryFrom(e *chunknodev1.Entry) (chunk.Entry, error) {
	h, err := HashFrom(e.Hash)
	if err != nil {
		return chunk.Entry{}, err
	}
	refs, err := refsFrom(e.Refs)
	return chunk.Entry{Hash: h, Length: e.Length, Good: e.Good, Refs: refs}, err
}

func refsTo(refs []chunk.Ref) []*chunknodev1.Ref {
	out := make([]*chunknodev1.Ref, len(refs))
	for i, r := range refs {
		out[i] = refTo(r)
	}
	return out
}

func refsFrom(refs []*chunknodev1.Ref) (out []chunk.Ref, err error) {
	for _, r := range refs {
		ref, err := RefFrom(r)
		if err != nil {
			return nil, err
		}
		out = append(out, ref)
	}
	return out, nil
}
