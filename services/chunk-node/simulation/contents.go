package simulation

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

// contents are a node's folder: an index, which changes by batches that are there or not, and files beside it.
type contents struct {
	chunks  map[chunk.Hash]*record // of the index; a record is replaced, never changed
	files   map[chunk.Hash][]byte  // of the blobs that are not in the index
	debts   map[debt]time.Time
	notes   map[string][]byte
	layouts *layout.Active

	incarnation uuid.UUID    // drawn for each empty disk
	fresh       bool         // no process has run on it yet
	before      []*reference // that lived when it took the place of another disk; nil: it did not, or all owners have been compared with since

	unsynced []unsynced // in the order in which it was written
}

// unsynced is what everybody sees, and what a power cut takes back unless the operating system has written it by then.
type unsynced struct {
	file  chunk.Hash // whose file it is about; zero: none
	until time.Time
	undo  func()
}

// writtenAfter is how long the operating system keeps what nobody syncs.
const writtenAfter = 30 * time.Second

// record is what the index knows of a chunk.
type record struct {
	state.Chunk
	data []byte // of a copy in the index; nil, or not the chunk's bytes: it was damaged
	refs map[chunk.Ref]state.Ref
	at   map[chunk.Ref]time.Duration // of those that are in the trash
}

type debt struct {
	hash  chunk.Hash
	ref   chunk.Ref
	owner chunk.NodeID
}

// newContents are those of an empty disk.
func (w *World) newContents() *contents {
	var incarnation uuid.UUID
	_, _ = w.bytes().Read(incarnation[:]) // never fails
	return &contents{incarnation: incarnation, fresh: true, chunks: make(map[chunk.Hash]*record), files: make(map[chunk.Hash][]byte), debts: make(map[debt]time.Time), notes: make(map[string][]byte)}
}

// clone is what a copy of the folder has.
func (c *contents) clone() *contents {
	return &contents{incarnation: c.incarnation, fresh: c.fresh, before: c.before, chunks: maps.Clone(c.chunks), files: maps.Clone(c.files), debts: maps.Clone(c.debts), notes: maps.Clone(c.notes), layouts: c.layouts}
}

// record is a copy of what the index knows of a chunk, to be changed.
func (c *contents) record(h chunk.Hash) *record {
	r := c.chunks[h]
	if r == nil {
		return &record{refs: make(map[chunk.Ref]state.Ref), at: make(map[chunk.Ref]time.Duration)}
	}
	next := *r
	next.refs, next.at = maps.Clone(r.refs), maps.Clone(r.at)
	return &next
}

// copyOf are the bytes of a chunk's copy, wherever it is: nil if they are missing.
func (c *contents) copyOf(h chunk.Hash) []byte {
	switch r := c.chunks[h]; {
	case r == nil:
		return nil
	case r.Place == state.InFile:
		return c.files[h]
	case r.Place == state.InIndex:
		return r.data
	}
	return nil
}

// good reports whether the copy is there and has the right bytes.
func (c *contents) good(h chunk.Hash) bool { return sound(c.copyOf(h), h) }

func sound(data []byte, h chunk.Hash) bool {
	return data != nil && chunk.HashOf(buffer.FromBytes(data)) == h
}

// intact reports whether the copy is there and has the right size.
func (c *contents) intact(h chunk.Hash) bool {
	data := c.copyOf(h)
	return data != nil && len(data) == int(c.chunks[h].Stored)
}

// damage changes a bit of a copy, or takes it away.
func (c *contents) damage(h chunk.Hash, lose bool) {
	data := flipped(c.copyOf(h))
	if lose {
		data = nil
	}
	if c.chunks[h].Place == state.InFile {
		c.setFile(h, data)
		return
	}
	r := c.record(h)
	r.data = data
	c.chunks[h] = r
}

// rotten reports whether damage changed a bit of the copy.
func (c *contents) rotten(h chunk.Hash) bool {
	data := c.copyOf(h)
	return len(data) > 0 && sound(flipped(data), h)
}

func flipped(data []byte) []byte {
	data = bytes.Clone(data)
	data[0] ^= 1
	return data
}

// hashes are the chunks of some kind, in order.
func (c *contents) hashes(of func(*record) bool) (all []chunk.Hash) {
	for h, r := range c.chunks {
		if of(r) {
			all = append(all, h)
		}
	}
	return inOrder(all)
}

// strays are the files that no entry describes, in order.
func (c *contents) strays() (all []chunk.Hash) {
	for h := range c.files {
		if r := c.chunks[h]; r == nil || r.Place != state.InFile {
			all = append(all, h)
		}
	}
	return inOrder(all)
}

func inOrder(all []chunk.Hash) []chunk.Hash {
	slices.SortFunc(all, func(a, b chunk.Hash) int { return bytes.Compare(a[:], b[:]) })
	return all
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

// step is a part of what is written, after which the next one begins. It returns what takes it back.
type step struct {
	file chunk.Hash // whose file it is about; zero: it is about the index
	lazy bool       // nobody syncs it
	do   func(*contents) (undo func())
}

// index writes the entry of a chunk, and debts with it.
func index(h chunk.Hash, r *record, debts ...step) step {
	return step{do: func(c *contents) func() {
		before := c.chunks[h]
		c.setRecord(h, r)
		undo := func() { c.setRecord(h, before) }
		for _, s := range debts {
			first, then := undo, s.do(c)
			undo = func() { then(); first() }
		}
		return undo
	}}
}

func (c *contents) setRecord(h chunk.Hash, r *record) {
	if r == nil || len(r.refs) == 0 && !r.Known() {
		delete(c.chunks, h)
		return
	}
	c.chunks[h] = r
}

// file puts a file in place, or takes it away if data is nil.
func file(h chunk.Hash, data []byte) step {
	return step{file: h, do: func(c *contents) func() {
		before := c.files[h]
		c.setFile(h, data)
		return func() { c.setFile(h, before) }
	}}
}

func (c *contents) setFile(h chunk.Hash, data []byte) {
	if data == nil {
		delete(c.files, h)
		return
	}
	c.files[h] = data
}

// owing notes a debt of some time, or strikes it out if since is zero.
func owing(o debt, since time.Time) step {
	return step{do: func(c *contents) func() {
		before := c.debts[o]
		c.setDebt(o, since)
		return func() { c.setDebt(o, before) }
	}}
}

func (c *contents) setDebt(o debt, since time.Time) {
	if since.IsZero() {
		delete(c.debts, o)
		return
	}
	c.debts[o] = since
}

// noting keeps a note.
func noting(name string, value []byte) step {
	return step{do: func(c *contents) func() {
		before := c.notes[name]
		c.notes[name] = value
		return func() { c.notes[name] = before }
	}}
}

// adopting keeps layouts, if they are newer than what is there.
func adopting(a *layout.Active) step {
	return step{do: func(c *contents) func() {
		before := c.layouts
		if a.Newer(before) {
			c.layouts = a
		}
		return func() { c.layouts = before }
	}}
}

// removal takes a file away whose entry is gone. Nobody syncs that: the file may be there again after a power cut.
func removal(h chunk.Hash) step {
	s := file(h, nil)
	s.lazy = true
	return s
}

// apply does a step. What syncs the folder of a file syncs all that was done to that file before.
func (c *contents) apply(s step, now time.Time) {
	undo := s.do(c)
	c.unsynced = slices.DeleteFunc(c.unsynced, func(u unsynced) bool {
		return !u.until.After(now) || !s.lazy && u.file == s.file && s.file != (chunk.Hash{})
	})
	if s.lazy {
		c.unsynced = append(c.unsynced, unsynced{s.file, now.Add(writtenAfter), undo})
	}
}

// cut takes the power away: the last of what is not synced was never written. draw says how much of n is left.
func (c *contents) cut(now time.Time, draw func(n int) int) {
	c.unsynced = slices.DeleteFunc(c.unsynced, func(u unsynced) bool { return !u.until.After(now) })
	if len(c.unsynced) == 0 {
		return
	}
	for _, u := range slices.Backward(c.unsynced[draw(len(c.unsynced)+1):]) {
		u.undo()
	}
	c.unsynced = nil
}
