package heal

import (
	"cmp"
	"context"
	"slices"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/services/chunk-node/tasks"
)

// sumsAtOnce is how many partitions are compared in one request.
const sumsAtOnce = 64

// compare compares what the node holds with what the other owners of the same partitions hold, and takes over what it lacks. Both sides
// do so, each for itself. with says which nodes to compare with. left says what was in the way; the nodes with which not everything was compared are
// added to incomplete. What concerns one partition, or one disk, is in the way of no other.
func (r *repair) compare(ctx context.Context, p *tasks.Progress, a *layout.Active, partitions []chunk.Partition, with func(chunk.NodeID) bool, incomplete map[chunk.NodeID]bool) (left string, err error) {
	var out outage
	unreadable := 0
	for batch := range slices.Chunk(partitions, sumsAtOnce) {
		mine, err := r.local.PartitionSums(ctx, batch)
		if err != nil {
			return "", err
		}
		for _, n := range a.Nodes() {
			if n.ID == r.deps.ID || !with(n.ID) {
				continue
			}
			shared, sums := sharedWith(a, n.ID, batch, mine)
			if len(shared) == 0 {
				continue
			}
			if out.away(r.peers, n.ID) {
				incomplete[n.ID] = true
				left = "not compared with node " + n.ID.String() + ", which is away"
				continue
			}
			failed, err := r.compareWith(ctx, p, a, n.ID, shared, sums)
			if final(ctx, err) {
				return "", err
			}
			if failed = cmp.Or(err, failed); failed != nil {
				incomplete[n.ID] = true
				out.note(failed)
				left = failed.Error()
				p.Note("comparing: %v", failed)
			}
		}
		for _, sum := range mine {
			if sum == chunk.UnknownSum {
				unreadable++
			}
		}
		p.Add(int64(len(batch)), 0)
	}
	if unreadable > 0 {
		left = unreadableNote(unreadable)
	}
	return left, nil
}

// comparable are the partitions that the node owns and need not get from a walk of others.
func (r *repair) comparable(a *layout.Active) []chunk.Partition {
	var all []chunk.Partition
	for p := range chunk.Partition(chunk.Partitions) {
		if a.Owns(r.deps.ID, p) && ownedAlways(a, r.deps.ID, p) {
			all = append(all, p)
		}
	}
	return all
}

// sharedWith are those of the partitions that the other node owns and that can be read here, and their sums here.
func sharedWith(a *layout.Active, id chunk.NodeID, batch []chunk.Partition, mine []chunk.Sum) (shared []chunk.Partition, sums []chunk.Sum) {
	for i, p := range batch {
		if a.Owns(id, p) && mine[i] != chunk.UnknownSum {
			shared, sums = append(shared, p), append(sums, mine[i])
		}
	}
	return shared, sums
}

// compareWith compares partitions with one node; left is why some of them were not compared.
func (r *repair) compareWith(ctx context.Context, p *tasks.Progress, a *layout.Active, id chunk.NodeID, shared []chunk.Partition, mine []chunk.Sum) (left, err error) {
	var theirs []chunk.Sum
	err = r.ask(ctx, a, id, func(ctx context.Context, peer chunk.Peer) (err error) {
		theirs, err = peer.PartitionSums(ctx, shared)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(theirs) != len(shared) {
		return nil, fromPeer(id, errors.Newf(errors.Internal, "it answered %d sums for %d partitions", len(theirs), len(shared)))
	}
	for i, partition := range shared {
		switch theirs[i] {
		case mine[i], chunk.Sum{}:
			continue
		case chunk.UnknownSum:
			left = fromPeer(id, errors.E(errors.Unavailable, errors.Folder, "", "it cannot read the partition %v: one of its disks cannot be used", partition))
			continue
		}
		err := r.comparePartition(ctx, p, a, id, partition)
		if of := (*peerError)(nil); final(ctx, err) || errors.As(err, &of) && !chunk.DiskFailed(err) {
			return nil, err
		}
		if err != nil {
			left = err
		}
	}
	return left, nil
}

func (r *repair) comparePartition(ctx context.Context, p *tasks.Progress, a *layout.Active, id chunk.NodeID, partition chunk.Partition) error {
	mine, err := r.local.BucketSums(ctx, partition)
	if err != nil {
		return err
	}
	var theirs *[chunk.Buckets]chunk.Sum
	err = r.ask(ctx, a, id, func(ctx context.Context, peer chunk.Peer) (err error) {
		theirs, err = peer.BucketSums(ctx, partition)
		return err
	})
	if err != nil {
		return err
	}
	for b := range chunk.Buckets {
		if mine[b] == theirs[b] || theirs[b] == (chunk.Sum{}) {
			continue
		}
		if err := r.compareBucket(ctx, p, a, id, partition, uint8(b)); err != nil {
			return err
		}
	}
	return nil
}

func (r *repair) compareBucket(ctx context.Context, p *tasks.Progress, a *layout.Active, id chunk.NodeID, partition chunk.Partition, bucket uint8) error {
	var after chunk.Hash
	for {
		var theirs []chunk.Entry
		err := r.ask(ctx, a, id, func(ctx context.Context, peer chunk.Peer) (err error) {
			theirs, err = peer.Entries(ctx, partition, bucket, after, page)
			return err
		})
		if err != nil {
			return err
		}
		for _, entry := range theirs {
			if entry.Hash.Partition() != partition {
				return fromPeer(id, errors.Newf(errors.Internal, "it lists the chunk %v in the partition %v", entry.Hash, partition))
			}
			if err := r.take(ctx, p, a, id, entry); err != nil {
				return err
			}
		}
		if len(theirs) < page {
			return nil
		}
		after = theirs[len(theirs)-1].Hash
	}
}

// take takes over the references of a chunk that the other node has and this one lacks, and wants the chunk if it is not there. What was
// removed here is removed there, unless it is in the trash.
func (r *repair) take(ctx context.Context, p *tasks.Progress, a *layout.Active, id chunk.NodeID, theirs chunk.Entry) error {
	mine, err := r.local.Chunk(ctx, theirs.Hash)
	if err != nil && !errors.Is(err, errors.NotFound) {
		return err
	}
	var wanted []chunk.Ref
	for _, ref := range theirs.Refs {
		if _, has := slices.BinarySearchFunc(mine.Refs, ref, chunk.Ref.Compare); has {
			continue
		}
		// What is in the trash here is for the other node to judge itself: who is wrong takes no other along.
		if trashed, err := r.local.InTrash(ctx, theirs.Hash, ref); trashed || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		outcome, err := r.local.PutRef(ctx, theirs.Hash, ref)
		switch {
		case err != nil:
			return err
		case outcome == chunk.SendData:
			wanted = append(wanted, ref)
		case outcome == chunk.Gone:
			err := r.ask(ctx, a, id, func(ctx context.Context, peer chunk.Peer) error { return peer.Delete(ctx, theirs.Hash, ref) })
			if err != nil {
				return err
			}
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	p.Note("node %v has chunk %v, which was missing here", id, theirs.Hash)
	return r.local.Want(ctx, theirs.Hash, theirs.Length, wanted)
}
