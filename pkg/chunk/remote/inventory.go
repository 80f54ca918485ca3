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
	MaxReferences = 100_000 // in these together: a chunk with more is told in several answers
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
	var told *chunknodev1.Ref // the last one of a chunk that has more
	for len(all) < limit || told != nil {
		asked := max(min(limit-len(all), MaxEntries), 1)
		answer, err := small(ctx, c, c.mending.ListEntries, &chunknodev1.ListEntriesRequest{
			Partition: uint32(p), Bucket: uint32(bucket), After: after[:], Limit: uint32(asked), Layout: c.number(), AfterRef: told})
		if err != nil {
			return nil, err
		}
		references, rest := 0, told != nil
		told = nil
		for _, e := range answer.Entries {
			references += len(e.Refs)
			entry, err := entryFrom(e)
			if err != nil {
				return nil, c.failed(err)
			}
			switch last := len(all) - 1; {
			case rest && entry.Hash == after:
				all[last].Refs = append(all[last].Refs, entry.Refs...)
			case len(all) < limit:
				all = append(all, entry)
			default: // the chunk that had more went meanwhile
				return all, nil
			}
			after = entry.Hash
			if e.More && len(e.Refs) > 0 {
				told = e.Refs[len(e.Refs)-1]
			}
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
