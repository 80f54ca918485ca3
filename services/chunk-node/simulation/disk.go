package simulation

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/chunk-node/heal"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

// disk is heal.Local over contents. All decisions are those of package state, and what is written is written in the order and with the syncs of
// package disk: a file is synced before it is put in place, its folder before the index, and a file goes after its entry. What is in a
// state that no crash leaves is not seen by anybody. One decision about a chunk is carried out before the next one is taken.
type disk struct {
	n *node
	*contents
	busy   map[chunk.Hash]bool
	writes []*write // under way, in the order in which they began
}

// write is under way: a crash leaves its first steps, or none, or all.
type write struct {
	hash  chunk.Hash // zero: it is not about a chunk
	steps []step
}

var _ heal.Local = (*disk)(nil)

func openDisk(n *node) *disk {
	return &disk{n: n, contents: n.contents, busy: make(map[chunk.Hash]bool)}
}

// read takes the time of reading; at times the disk has much else to do.
func (d *disk) read() {
	most := 2 * time.Millisecond
	if !d.n.w.stopping && d.n.w.chance(200) {
		most = 10 * time.Second
	}
	d.n.w.pause(d.n.w.between(0, most))
}

// crashAmid is how many writes of several steps there are to a crash amid one.
const crashAmid = 200

// write carries out the steps and takes the time of the syncs.
func (d *disk) write(h chunk.Hash, steps ...step) {
	if d.n.w.Broken.Sync {
		for i := range steps {
			steps[i].lazy = true
		}
		d.carryOut(&write{h, steps}, len(steps), d.contents)
		return
	}
	w := &write{h, steps}
	d.writes = append(d.writes, w)
	if len(steps) > 1 && d.n.w.chance(crashAmid) {
		d.n.w.after(0, func() { d.n.w.operator.crash(d.n) })
	}
	d.n.w.pause(d.n.w.between(time.Millisecond, 20*time.Millisecond))
	d.writes = slices.DeleteFunc(d.writes, func(o *write) bool { return o == w })
	d.carryOut(w, len(steps), d.contents)
}

// carryOut does the first steps of a write to contents.
func (d *disk) carryOut(w *write, steps int, to *contents) {
	had := w.hash != (chunk.Hash{}) && to.good(w.hash)
	for _, s := range w.steps[:steps] {
		to.apply(s, d.n.w.now)
	}
	if had && to == d.contents && !to.good(w.hash) {
		d.n.w.model.lost(d.n, w.hash)
	}
}

// interrupt leaves, in contents that are those of the disk or a copy, what was written by now: a part of each write that is under way.
func (d *disk) interrupt(to *contents) {
	for _, w := range d.writes {
		steps := d.n.w.random.IntN(len(w.steps) + 1)
		if steps > 0 && steps < len(w.steps) {
			d.n.w.Counts.Torn++
		}
		d.carryOut(w, steps, to)
	}
}

// decision is what is decided about a chunk, and what becomes of its file.
type decision struct {
	*record
	put    []byte // it is put in place before the entry says so
	aside  bool   // it is moved away before the entry says so
	remove bool   // it is removed after the entry says so
	debts  []step // written with the entry
}

// change decides about a chunk and carries that out.
func (d *disk) change(h chunk.Hash, decide func(r *decision)) {
	for d.busy[h] {
		d.n.w.pause(time.Millisecond)
	}
	d.busy[h] = true
	defer delete(d.busy, h)
	d.read()
	r := &decision{record: d.record(h)}
	decide(r)
	var steps []step
	if r.put != nil {
		steps = append(steps, d.place(h, r.put))
	}
	if r.aside {
		steps = append(steps, file(h, nil))
	}
	steps = append(steps, index(h, r.record, r.debts...))
	if r.remove {
		steps = append(steps, removal(h))
	}
	d.write(h, steps...)
}

// place puts a file in place.
func (d *disk) place(h chunk.Hash, data []byte) step {
	s := file(h, data)
	switch {
	case d.n.w.Broken.Folder:
		s.lazy = true
	case d.n.w.Broken.Bytes:
		torn := slices.Clone(data[:d.n.w.random.IntN(len(data))])
		if d.n.w.chance(2) { // it has its size, and zeros
			torn = append(torn, make([]byte, len(data)-len(torn))...)
		}
		s = step{file: h, lazy: true, do: func(c *contents) func() {
			c.setFile(h, data)
			return func() { c.setFile(h, torn) }
		}}
	}
	return s
}

// take notes the effects of a decision.
func (r *decision) take(next state.Chunk, e state.Effects, ref chunk.Ref, offered []byte) chunk.Outcome {
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
	if e.Forget && r.Place == state.InFile {
		r.remove = true
	}
	if e.Changed {
		r.Chunk = next
	}
	if r.Place != state.InIndex {
		r.data = nil
	}
	if e.Install && r.Place == state.InFile {
		r.put = offered
	} else if e.Install {
		r.data = offered
	}
	return e.Outcome
}

// offer is the copy that a node makes of bytes: in the index or in a file, as the operator set the threshold last.
func (d *disk) offer(data []byte) state.Copy {
	c := state.Copy{Place: state.InFile, Length: uint32(len(data)), Stored: uint32(len(data))}
	if d.n.w.chance(4) {
		c.Place = state.InIndex
	}
	return c
}

func (d *disk) clock() time.Time { return d.n.clock.Now() }

// ref is what is known of a reference.
func (d *disk) ref(r *decision, ref chunk.Ref) state.Ref {
	if known := r.refs[ref]; known != state.Removed || !d.n.w.Broken.Tombstones {
		return known
	}
	return state.Unknown
}

// Get implements chunk.Store.
func (d *disk) Get(_ context.Context, h chunk.Hash) (*buffer.Buffer, error) {
	d.read()
	r := d.chunks[h]
	switch {
	case r == nil || !r.Known():
		return nil, errors.E(errors.NotFound, errors.Chunk, h.String(), "not stored here")
	case d.good(h):
		return buffer.FromBytes(bytes.Clone(d.copyOf(h))), nil
	}
	d.suspect(h)
	return nil, errors.E(errors.Corrupted, errors.Chunk, h.String(), "there is no good copy here")
}

func (d *disk) suspect(h chunk.Hash) {
	d.change(h, func(r *decision) {
		if r.Place != state.Nowhere && !d.good(h) {
			r.aside = r.Place == state.InFile && d.files[h] != nil
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
	d.change(h, func(r *decision) {
		next, e := r.Put(d.ref(r, ref), d.offer(offered), d.intact(h), d.clock())
		outcome = r.take(next, e, ref, offered)
		if outcome == chunk.Stored && owner != (chunk.NodeID{}) {
			r.debts = append(r.debts, d.owe(debt{h, ref, owner}))
		}
	})
	return outcome, d.vouch(h, outcome)
}

// PutRef implements chunk.Store.
func (d *disk) PutRef(_ context.Context, h chunk.Hash, ref chunk.Ref) (outcome chunk.Outcome, err error) {
	d.change(h, func(r *decision) {
		next, e := r.PutRef(d.ref(r, ref), d.intact(h), d.clock())
		outcome = r.take(next, e, ref, nil)
	})
	return outcome, d.vouch(h, outcome)
}

// vouch fails the run if the node has just said that it has a chunk and has no good copy, unless the bytes went bad and nobody has looked at them
// since. It returns nil.
func (d *disk) vouch(h chunk.Hash, outcome chunk.Outcome) error {
	if outcome == chunk.Stored && !d.good(h) && !d.rotten(h) {
		d.n.w.fail("node %d says that it has %x, and has no good copy", d.n.id[0], h[:2])
	}
	return nil
}

// Delete implements chunk.Store.
func (d *disk) Delete(_ context.Context, h chunk.Hash, ref chunk.Ref) error {
	d.change(h, func(r *decision) {
		others := slices.ContainsFunc(r.live(), func(o chunk.Ref) bool { return o != ref })
		next, e := r.Chunk.Delete(r.refs[ref], others, d.clock())
		r.take(next, e, ref, nil)
	})
	return nil
}

// Trash implements heal.Local.
func (d *disk) Trash(_ context.Context, h chunk.Hash, refs []chunk.Ref, at time.Duration) error {
	d.change(h, func(r *decision) {
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
	d.change(h, func(r *decision) {
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
	d.change(h, func(r *decision) {
		for _, ref := range refs {
			next, e := r.Chunk.Purge(r.refs[ref])
			r.take(next, e, ref, nil)
		}
	})
	return nil
}

// owe notes a debt, unless it is owed already.
func (d *disk) owe(o debt) step {
	since := d.debts[o]
	if since.IsZero() {
		since = d.clock()
	}
	return owing(o, since)
}

// Owe implements chunk.Node.
func (d *disk) Owe(_ context.Context, h chunk.Hash, ref chunk.Ref, owner chunk.NodeID) error {
	d.write(chunk.Hash{}, d.owe(debt{h, ref, owner}))
	return nil
}

// Repair implements chunk.Node.
func (d *disk) Repair(_ context.Context, h chunk.Hash, data *buffer.Buffer) error {
	if r := d.chunks[h]; r != nil && r.Known() && !d.good(h) {
		d.suspect(h)
	}
	offered := data.Bytes()
	d.change(h, func(r *decision) {
		next, e := r.Chunk.Repair(len(r.live()) > 0, d.offer(offered), d.clock())
		r.take(next, e, chunk.Ref{}, offered)
	})
	return nil
}

// Status implements chunk.Node.
func (d *disk) Status(context.Context) (chunk.NodeStatus, error) {
	st := chunk.NodeStatus{ID: d.n.id, Incarnation: d.incarnation, Owed: int64(len(d.debts))}
	if d.n.w.Broken.Empty {
		st.Incarnation = uuid.Nil
	}
	for _, r := range d.chunks {
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
		d.change(h, func(r *decision) {
			next, e := r.Collect(rules, len(r.live()) > 0, d.clock())
			r.take(next, e, chunk.Ref{}, nil)
		})
	}
}

// check compares files and entries, as a node does after a stop that was not in order.
func (d *disk) check() {
	for _, h := range d.strays() {
		d.change(h, func(r *decision) {
			data := d.files[h]
			f := state.File{Exists: data != nil}
			if r.Examine(f.Exists) {
				f.Copy = state.Copy{Place: state.InFile, Length: uint32(len(data)), Stored: uint32(len(data))}
				f.Sound = sound(data, h) || d.n.w.Broken.Found
			}
			next, e := r.Found(f, len(r.live()) > 0, d.clock())
			if r.take(next, e, chunk.Ref{}, nil); e.Discard {
				r.remove = true
			} else if f.Sound {
				r.put = data // its folder is synced
				d.n.w.Counts.Adopted++
			}
		})
	}
	for _, h := range d.hashes(func(r *record) bool { return r.Place == state.InFile }) {
		if !d.intact(h) {
			d.suspect(h)
		}
	}
}
