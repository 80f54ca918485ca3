package simulation

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/chunk-node/heal"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

// PartitionSums implements chunk.Inventory.
func (d *disk) PartitionSums(_ context.Context, partitions []chunk.Partition) ([]chunk.Sum, error) {
	d.read()
	summers := make(map[chunk.Partition]*chunk.Summer)
	for _, h := range d.hashes((*record).referenced) {
		p := h.Partition()
		if !slices.Contains(partitions, p) {
			continue
		}
		if summers[p] == nil {
			summers[p] = new(chunk.Summer)
		}
		for _, ref := range d.chunks[h].live() {
			summers[p].Add(h, ref)
		}
	}
	sums := make([]chunk.Sum, len(partitions))
	for i, p := range partitions {
		if summers[p] != nil {
			sums[i] = chunk.SumOf(summers[p].Sums())
		}
	}
	return sums, nil
}

// BucketSums implements chunk.Inventory.
func (d *disk) BucketSums(_ context.Context, p chunk.Partition) (*[chunk.Buckets]chunk.Sum, error) {
	d.read()
	var sums chunk.Summer
	for _, h := range d.hashes((*record).referenced) {
		if h.Partition() != p {
			continue
		}
		for _, ref := range d.chunks[h].live() {
			sums.Add(h, ref)
		}
	}
	return sums.Sums(), nil
}

// Entries implements chunk.Inventory.
func (d *disk) Entries(_ context.Context, p chunk.Partition, bucket uint8, after chunk.Hash, limit int) (all []chunk.Entry, err error) {
	d.read()
	for _, h := range d.hashes((*record).referenced) {
		if h.Partition() == p && h.Bucket() == bucket && bytes.Compare(h[:], after[:]) > 0 && len(all) < limit {
			all = append(all, d.chunks[h].entry(h))
		}
	}
	return all, nil
}

func (r *record) entry(h chunk.Hash) chunk.Entry {
	return chunk.Entry{Hash: h, Length: r.Length, Good: r.Place != state.Nowhere, Refs: r.live()}
}

// Held implements heal.Local.
func (d *disk) Held(context.Context) (held, unreadable []chunk.Partition, err error) {
	for _, h := range d.hashes((*record).known) {
		held = append(held, h.Partition())
	}
	return slices.Compact(held), nil, nil
}

// Hashes implements heal.Local.
func (d *disk) Hashes(_ context.Context, p chunk.Partition, after chunk.Hash, limit int) (all []chunk.Hash, err error) {
	d.read()
	for _, h := range d.hashes((*record).known) {
		if h.Partition() == p && bytes.Compare(h[:], after[:]) > 0 && len(all) < limit {
			all = append(all, h)
		}
	}
	return all, nil
}

// Trashed implements heal.Local.
func (d *disk) Trashed(_ context.Context, p chunk.Partition, after heal.Trashed, limit int) (all []heal.Trashed, err error) {
	d.read()
	for _, h := range d.hashes(func(*record) bool { return true }) {
		r := d.chunks[h]
		for _, ref := range r.of(state.InTrash) {
			above := cmp.Or(bytes.Compare(h[:], after.Hash[:]), ref.Compare(after.Ref)) > 0
			if h.Partition() == p && above && len(all) < limit {
				all = append(all, heal.Trashed{Hash: h, Ref: ref, At: r.at[ref]})
			}
		}
	}
	return all, nil
}

// InTrash implements heal.Local.
func (d *disk) InTrash(_ context.Context, h chunk.Hash, ref chunk.Ref) (bool, error) {
	d.read()
	r := d.chunks[h]
	return r != nil && r.refs[ref] == state.InTrash, nil
}

// Chunk implements heal.Local.
func (d *disk) Chunk(_ context.Context, h chunk.Hash) (chunk.Entry, error) {
	d.read()
	r := d.chunks[h]
	if r == nil || !r.Known() {
		return chunk.Entry{}, errors.E(errors.NotFound, errors.Chunk, h.String(), "not stored here")
	}
	return r.entry(h), nil
}

// Drop implements heal.Local.
func (d *disk) Drop(_ context.Context, h chunk.Hash, refs []chunk.Ref, still func() bool) (dropped bool, err error) {
	d.change(h, func(r *decision) {
		var next state.Chunk
		var e state.Effects
		next, e, dropped = r.Chunk.Drop(slices.Equal(refs, r.live()) && (still() || d.n.w.Broken.Still), d.clock())
		r.take(next, e, chunk.Ref{}, nil)
	})
	if dropped {
		d.n.w.Counts.Dropped++
	}
	return dropped, nil
}

// Creditors implements heal.Local.
func (d *disk) Creditors(context.Context) (all []chunk.NodeID, err error) {
	for o := range d.debts {
		all = append(all, o.owner)
	}
	slices.SortFunc(all, func(a, b chunk.NodeID) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(all), nil
}

// Debts implements heal.Local.
func (d *disk) Debts(_ context.Context, owner chunk.NodeID, after heal.Debt, limit int) (all []heal.Debt, err error) {
	d.read()
	order := func(a, b heal.Debt) int { return cmp.Or(bytes.Compare(a.Hash[:], b.Hash[:]), a.Ref.Compare(b.Ref)) }
	for o, since := range d.debts {
		if one := (heal.Debt{Hash: o.hash, Ref: o.ref, Since: since}); o.owner == owner && (after == heal.Debt{} || order(one, after) > 0) {
			all = append(all, one)
		}
	}
	slices.SortFunc(all, order)
	return all[:min(len(all), limit)], nil
}

// Paid implements heal.Local.
func (d *disk) Paid(_ context.Context, h chunk.Hash, ref chunk.Ref, owner chunk.NodeID) error {
	d.write(chunk.Hash{}, owing(debt{h, ref, owner}, time.Time{}))
	return nil
}

// Want implements heal.Local.
func (d *disk) Want(_ context.Context, h chunk.Hash, length uint32, refs []chunk.Ref) error {
	d.change(h, func(r *decision) {
		for _, ref := range refs {
			next, e := r.Chunk.Want(d.ref(r, ref), d.intact(h), length, d.clock())
			r.take(next, e, ref, nil)
		}
	})
	return nil
}

// Wanted implements heal.Local.
func (d *disk) Wanted(_ context.Context, now time.Time, limit int) (all []chunk.Damage, err error) {
	d.read()
	due := d.hashes(func(r *record) bool {
		return r.Sought() && (!r.Search.Due.After(now) || r.Search.Due.After(now.Add(heal.LatestTry)))
	})
	slices.SortStableFunc(due, func(a, b chunk.Hash) int { return d.chunks[a].Search.Due.Compare(d.chunks[b].Search.Due) })
	for _, h := range due[:min(len(due), limit)] {
		r := d.chunks[h]
		all = append(all, chunk.Damage{Hash: h, Refs: r.live(), Since: r.Search.Since, Tries: int(r.Search.Tries), Problem: r.Search.Problem})
	}
	return all, nil
}

// Tried implements heal.Local.
func (d *disk) Tried(_ context.Context, h chunk.Hash, problem string, next time.Time) error {
	d.change(h, func(r *decision) {
		c, e := r.Chunk.Tried(problem, next)
		r.take(c, e, chunk.Ref{}, nil)
	})
	return nil
}

// Verify implements heal.Local.
func (d *disk) Verify(_ context.Context, h chunk.Hash) (read int64, good bool, err error) {
	d.read()
	r := d.chunks[h]
	switch {
	case r == nil || !r.Known():
		return 0, false, errors.E(errors.NotFound, errors.Chunk, h.String(), "not stored here")
	case r.Place == state.Nowhere:
		return 0, false, nil
	case !d.good(h) && !d.n.w.Broken.Verify:
		d.suspect(h)
		return int64(r.Stored), false, nil
	}
	return int64(r.Stored), true, nil
}

// Note implements heal.Local.
func (d *disk) Note(_ context.Context, name string) ([]byte, error) {
	return bytes.Clone(d.notes[name]), nil
}

// commands keep what a node's tasks were commanded, in no time: their lock is held meanwhile, and whoever waited for it would have the turn.
type commands struct{ *disk }

// SetNote implements tasks.Notes.
func (c commands) SetNote(_ context.Context, name string, value []byte) error {
	c.apply(noting(name, bytes.Clone(value)), c.n.w.now)
	return nil
}

// SetNote implements heal.Local.
func (d *disk) SetNote(_ context.Context, name string, value []byte) error {
	if name == heal.ComparedNote {
		d.n.w.model.compared(d.n)
	}
	d.write(chunk.Hash{}, noting(name, bytes.Clone(value)))
	return nil
}
