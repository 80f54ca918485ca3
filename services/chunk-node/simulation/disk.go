package simulation

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"time"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/services/chunk-node/heal"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

// contents are what a disk holds.
type contents struct {
	incarnation uint64
	chunks      map[chunk.Hash]*record
	debts       map[debt]time.Time
	notes       map[string][]byte
	layouts     *layout.Active
}

// record is what a disk knows of a chunk.
type record struct {
	state.Chunk
	data []byte // of the copy; nil, or not the chunk's bytes: it was damaged
	refs map[chunk.Ref]state.Ref
	at   map[chunk.Ref]time.Duration // of those that are in the trash
}

type debt struct {
	hash  chunk.Hash
	ref   chunk.Ref
	owner chunk.NodeID
}

func newContents(incarnation uint64) *contents {
	return &contents{incarnation: incarnation, chunks: make(map[chunk.Hash]*record), debts: make(map[debt]time.Time), notes: make(map[string][]byte)}
}

func (r *record) clone() *record {
	c := *r
	c.refs, c.at = maps.Clone(r.refs), maps.Clone(r.at)
	return &c
}

// clone is what is there after a crash, if r is what was durable.
func (c *contents) clone() *contents {
	n := &contents{c.incarnation, make(map[chunk.Hash]*record, len(c.chunks)), maps.Clone(c.debts), maps.Clone(c.notes), c.layouts}
	for h, r := range c.chunks {
		n.chunks[h] = r.clone()
	}
	return n
}

func (r *record) known() bool { return r.Known() }

func (r *record) referenced() bool { return r.Known() && r.Unreferenced.IsZero() }

// live are the live references, in order.
func (r *record) live() []chunk.Ref { return r.of(state.Live) }

// of are the references in a state, in order.
func (r *record) of(state state.Ref) (refs []chunk.Ref) {
	for ref, s := range r.refs {
		if s == state {
			refs = append(refs, ref)
		}
	}
	slices.SortFunc(refs, chunk.Ref.Compare)
	return refs
}

// good reports whether the copy is there and has the right bytes.
func (r *record) good(h chunk.Hash) bool {
	return r.Place != state.Nowhere && r.data != nil && chunk.HashOf(buffer.FromBytes(r.data)) == h
}

// disk is heal.Local over contents that are lost unless they were synced. All decisions are those of package state. One
// decision about a chunk is durable before the next one is taken, as with the writers of package disk.
type disk struct {
	n       *node
	now     *contents // what the node sees
	durable *contents // what a crash leaves
	busy    map[chunk.Hash]bool
}

var _ heal.Local = (*disk)(nil)

func openDisk(n *node, durable *contents) *disk {
	return &disk{n: n, now: durable.clone(), durable: durable, busy: make(map[chunk.Hash]bool)}
}

// read takes the time of reading; at times the disk has much else to do.
func (d *disk) read() {
	most := 2 * time.Millisecond
	if !d.n.w.stopping && d.n.w.chance(200) {
		most = 10 * time.Second
	}
	d.n.w.pause(d.n.w.between(0, most))
}

func (d *disk) sync() { d.n.w.pause(d.n.w.between(time.Millisecond, 20*time.Millisecond)) }

// change decides about a chunk and makes it durable.
func (d *disk) change(h chunk.Hash, decide func(r *record)) {
	for d.busy[h] {
		d.n.w.pause(time.Millisecond)
	}
	d.busy[h] = true
	defer delete(d.busy, h)
	d.read()
	r := d.now.chunks[h]
	if r == nil {
		r = &record{refs: make(map[chunk.Ref]state.Ref), at: make(map[chunk.Ref]time.Duration)}
		d.now.chunks[h] = r
	}
	before := r.good(h)
	decide(r)
	d.sync()
	if len(r.refs) == 0 && !r.Known() {
		delete(d.now.chunks, h)
		delete(d.durable.chunks, h)
	} else {
		d.durable.chunks[h] = r.clone()
	}
	if before && !r.good(h) {
		d.n.w.model.lost(d.n, h)
	}
}

// take notes the effects of a decision.
func (r *record) take(next state.Chunk, e state.Effects, ref chunk.Ref, offered []byte) chunk.Outcome {
	if e.Recall {
		delete(r.refs, ref)
	}
	if e.AddRef {
		r.refs[ref] = state.Live
	}
	if e.RemoveRef {
		r.refs[ref] = state.Removed
	}
	if e.ToTrash {
		r.refs[ref] = state.InTrash
	}
	if e.Unrefer {
		maps.DeleteFunc(r.refs, func(_ chunk.Ref, s state.Ref) bool { return s == state.Live })
	}
	if e.Install {
		r.data = offered
	}
	if e.Changed {
		r.Chunk = next
	}
	if r.Place == state.Nowhere {
		r.data = nil
	}
	return e.Outcome
}

func (d *disk) copyOf(data []byte) state.Copy {
	return state.Copy{Place: state.InFile, Length: uint32(len(data)), Stored: uint32(len(data))}
}

func (d *disk) clock() time.Time { return d.n.clock.Now() }

// ref is what is known of a reference.
func (d *disk) ref(r *record, ref chunk.Ref) state.Ref {
	if known := r.refs[ref]; known != state.Removed || !d.n.w.Broken.Tombstones {
		return known
	}
	return state.Unknown
}

// Get implements chunk.Store.
func (d *disk) Get(_ context.Context, h chunk.Hash) (*buffer.Buffer, error) {
	d.read()
	r := d.now.chunks[h]
	switch {
	case r == nil || !r.Known():
		return nil, errors.E(errors.NotFound, errors.Chunk, h.String(), "not stored here")
	case r.good(h):
		return buffer.FromBytes(bytes.Clone(r.data)), nil
	}
	d.suspect(h)
	return nil, errors.E(errors.Corrupted, errors.Chunk, h.String(), "there is no good copy here")
}

func (d *disk) suspect(h chunk.Hash) {
	d.change(h, func(r *record) {
		if !r.good(h) {
			next, e := r.Lost(d.clock())
			r.take(next, e, chunk.Ref{}, nil)
		}
	})
}

// Put implements chunk.Store.
func (d *disk) Put(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref) (chunk.Outcome, error) {
	return d.PutFor(ctx, h, data, ref, chunk.NodeID{})
}

// PutFor implements chunk.Node.
func (d *disk) PutFor(_ context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref, owner chunk.NodeID) (outcome chunk.Outcome, err error) {
	offered := data.Bytes()
	d.change(h, func(r *record) {
		next, e := r.Put(d.ref(r, ref), d.copyOf(offered), r.data != nil, d.clock())
		outcome = r.take(next, e, ref, offered)
		if outcome == chunk.Stored && owner != (chunk.NodeID{}) {
			d.owe(debt{h, ref, owner})
		}
	})
	return outcome, nil
}

// PutRef implements chunk.Store.
func (d *disk) PutRef(_ context.Context, h chunk.Hash, ref chunk.Ref) (outcome chunk.Outcome, err error) {
	d.change(h, func(r *record) {
		next, e := r.PutRef(d.ref(r, ref), r.data != nil, d.clock())
		outcome = r.take(next, e, ref, nil)
	})
	return outcome, nil
}

// Delete implements chunk.Store.
func (d *disk) Delete(_ context.Context, h chunk.Hash, ref chunk.Ref) error {
	d.change(h, func(r *record) {
		others := slices.ContainsFunc(r.live(), func(o chunk.Ref) bool { return o != ref })
		next, e := r.Chunk.Delete(r.refs[ref], others, d.clock())
		r.take(next, e, ref, nil)
	})
	return nil
}

// Trash implements heal.Local.
func (d *disk) Trash(_ context.Context, h chunk.Hash, refs []chunk.Ref, at time.Duration) error {
	d.change(h, func(r *record) {
		for _, ref := range refs {
			if r.refs[ref] == state.Live {
				d.n.w.model.trashed(d.n, ref)
			}
			others := slices.ContainsFunc(r.live(), func(o chunk.Ref) bool { return o != ref })
			next, e := r.Chunk.Trash(r.refs[ref], others, d.clock())
			if d.n.w.Broken.Trash {
				next, e = r.Chunk.Delete(r.refs[ref], others, d.clock())
			}
			r.take(next, e, ref, nil)
			r.at[ref] = at
		}
	})
	return nil
}

// Untrash implements heal.Local.
func (d *disk) Untrash(_ context.Context, h chunk.Hash, refs []chunk.Ref) error {
	d.change(h, func(r *record) {
		for _, ref := range refs {
			next, e := r.Chunk.Untrash(r.refs[ref], d.clock())
			if r.take(next, e, ref, nil); e.AddRef {
				d.n.w.Counts.HadBack++
			}
		}
	})
	return nil
}

// Purge implements heal.Local.
func (d *disk) Purge(_ context.Context, h chunk.Hash, refs []chunk.Ref) error {
	d.change(h, func(r *record) {
		for _, ref := range refs {
			next, e := r.Chunk.Purge(r.refs[ref])
			r.take(next, e, ref, nil)
		}
	})
	return nil
}

// owe notes a debt as durably as what is decided with it.
func (d *disk) owe(o debt) {
	if _, owed := d.now.debts[o]; !owed {
		d.now.debts[o] = d.clock()
	}
	d.durable.debts[o] = d.now.debts[o]
}

// Owe implements chunk.Node.
func (d *disk) Owe(_ context.Context, h chunk.Hash, ref chunk.Ref, owner chunk.NodeID) error {
	d.sync()
	d.owe(debt{h, ref, owner})
	return nil
}

// Repair implements chunk.Node.
func (d *disk) Repair(_ context.Context, h chunk.Hash, data *buffer.Buffer) error {
	if d.now.chunks[h] != nil && !d.now.chunks[h].good(h) {
		d.suspect(h)
	}
	offered := data.Bytes()
	d.change(h, func(r *record) {
		next, e := r.Chunk.Repair(len(r.live()) > 0, d.copyOf(offered), d.clock())
		r.take(next, e, chunk.Ref{}, offered)
	})
	return nil
}

// Status implements chunk.Node.
func (d *disk) Status(context.Context) (chunk.NodeStatus, error) {
	st := chunk.NodeStatus{ID: d.n.id, Owed: int64(len(d.now.debts))}
	for _, r := range d.now.chunks {
		if r.Known() && r.Unreferenced.IsZero() {
			st.Chunks++
		}
		if r.Sought() {
			st.Wanted++
		}
	}
	return st, nil
}

// collect removes what had no reference for the grace period.
func (d *disk) collect() {
	for _, h := range d.hashes(func(r *record) bool { return r.Known() && !r.Unreferenced.IsZero() }) {
		d.change(h, func(r *record) {
			next, e := r.Collect(rules, len(r.live()) > 0, d.clock())
			r.take(next, e, chunk.Ref{}, nil)
		})
	}
}

// hashes are the chunks of some kind, in order.
func (d *disk) hashes(of func(*record) bool) (all []chunk.Hash) {
	for h, r := range d.now.chunks {
		if of(r) {
			all = append(all, h)
		}
	}
	slices.SortFunc(all, func(a, b chunk.Hash) int { return bytes.Compare(a[:], b[:]) })
	return all
}
