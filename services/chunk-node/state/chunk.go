package state

import (
	"time"

	"deuxfleurs.fr/garage/pkg/chunk"
)

// Defaults of Rules.
const (
	DefaultGrace      = 10 * time.Minute
	DefaultTombstones = 7 * 24 * time.Hour
)

// Rules are the operator's settings.
type Rules struct {
	Grace      time.Duration // how long a chunk is kept after its last reference went
	Tombstones time.Duration // how long a removed reference is remembered
}

// Place is where the good copy of a chunk's bytes is.
type Place uint8

const (
	Nowhere Place = iota // there is no good copy
	InFile
	InIndex
)

// Copy describes stored bytes.
type Copy struct {
	Place      Place
	Length     uint32 // plain bytes
	Stored     uint32 // bytes as stored: fewer than Length if compressed
	Compressed bool
}

// Chunk is what a node knows about one hash, without the references
// themselves. The zero Chunk is one that the node knows nothing about.
type Chunk struct {
	Copy
	Bad          bool      // its copy turned out bad or missing, and no good one came since
	Awaited      bool      // other nodes have references of it, and no copy has ever come here
	Verified     time.Time // when its copy was last found good
	Unreferenced time.Time // since when it has no reference; zero: it has, or there is no chunk
	Trashed      uint32    // how many of its references are in the trash: it is kept for them
	Search       Search    // for a good copy; zero: none is looked for
}

// Search is how the search for a good copy goes. A copy is looked for as long as there is none and a reference is live.
type Search struct {
	Since   time.Time
	Due     time.Time // when to try next
	Tries   uint32
	Problem string // of the last try
}

// Known reports whether the node keeps anything about the chunk besides tombstones.
func (c Chunk) Known() bool { return c.Place != Nowhere || c.Bad || c.Awaited }

// Sought reports whether a good copy is looked for.
func (c Chunk) Sought() bool { return !c.Search.Since.IsZero() }

// Queued reports whether the chunk waits for collection: what is in the trash keeps it from that.
func (c Chunk) Queued() bool { return !c.Unreferenced.IsZero() && c.Trashed == 0 }

// searching begins the search for a good copy, or ends it, as the rest of c asks for.
func (c Chunk) searching(now time.Time) Chunk {
	switch lacking := c.Known() && c.Place == Nowhere && c.Unreferenced.IsZero(); {
	case lacking && !c.Sought():
		c.Search = Search{Since: now, Due: now}
	case !lacking:
		c.Search = Search{}
	}
	return c
}

// Ref is what a node knows about one reference.
type Ref uint8

const (
	Unknown Ref = iota
	Live
	Removed // there is a tombstone
	InTrash // there is one of Trash: Untrash takes it back, and so does whoever brings the reference again; Purge and Delete end that
)

// Effects are what a decision wants done, besides keeping the new Chunk.
type Effects struct {
	Outcome   chunk.Outcome
	Changed   bool // the Chunk differs from what was known
	AddRef    bool // make the reference live
	RemoveRef bool // make the reference a tombstone of this moment
	ToTrash   bool // with RemoveRef: one that Untrash takes back
	Recall    bool // remove the tombstone
	Install   bool // put the offered copy in place, before anything refers to it
	Discard   bool // drop the offered copy
	Enqueue   bool // the chunk is Queued now, as of Chunk.Unreferenced
	Dequeue   bool // it does so no more (since the previous Chunk.Unreferenced)
	Forget    bool // remove all that is known of the chunk, then its copy, if there is one
	Unrefer   bool // remove the live references, without tombstones
}

// Put decides about an offered copy, already verified and synced, and a
// reference. intact says that the copy known of was found where it should be,
// with its size.
func (c Chunk) Put(ref Ref, offered Copy, intact bool, now time.Time) (Chunk, Effects) {
	if ref == Removed {
		return c, Effects{Outcome: chunk.Gone, Discard: true}
	}
	if c.Place != Nowhere && intact {
		next, e := c.PutRef(ref, true, now)
		e.Discard = true
		return next, e
	}
	next := Chunk{Copy: offered, Verified: now, Trashed: c.without(ref).Trashed}
	return next, Effects{
		Outcome: chunk.Stored, Changed: true, AddRef: ref != Live, Recall: ref == InTrash, Install: true,
		Dequeue: c.Queued(),
	}
}

// PutRef decides about a reference alone. intact says that the copy was found
// where it should be, with its size.
func (c Chunk) PutRef(ref Ref, intact bool, now time.Time) (Chunk, Effects) {
	switch {
	case ref == Removed:
		return c, Effects{Outcome: chunk.Gone}
	case c.Place == Nowhere:
		return c, Effects{Outcome: chunk.SendData}
	case !intact:
		next, e := c.Lost(now)
		e.Outcome = chunk.SendData
		return next, e
	case ref == Live:
		return c, Effects{Outcome: chunk.Stored}
	}
	next, e := c.refer(ref, now)
	e.Outcome = chunk.Stored
	return next, e
}

// Want decides about a reference that another node has of a chunk of so many bytes. The copy may come later: it is looked for.
func (c Chunk) Want(ref Ref, intact bool, length uint32, now time.Time) (Chunk, Effects) {
	if ref == Removed {
		return c, Effects{}
	}
	next := c
	if c.Place != Nowhere && !intact {
		next, _ = c.Lost(now)
	}
	if !next.Known() {
		next.Awaited, next.Length = true, length
	}
	next, e := next.refer(ref, now)
	next = next.searching(now)
	e.AddRef, e.Changed = ref != Live, next != c
	return next, e
}

// Tried notes that a try to get a good copy failed, and when to try again.
func (c Chunk) Tried(problem string, next time.Time) (Chunk, Effects) {
	if !c.Sought() {
		return c, Effects{}
	}
	c.Search.Due, c.Search.Tries, c.Search.Problem = next, c.Search.Tries+1, problem
	return c, Effects{Changed: true}
}

func (c Chunk) referenced(now time.Time) (Chunk, Effects) {
	if c.Unreferenced.IsZero() {
		return c, Effects{}
	}
	e := Effects{Changed: true, Dequeue: c.Queued()}
	c.Unreferenced = time.Time{}
	return c.searching(now), e
}

// refer makes a reference live.
func (c Chunk) refer(ref Ref, now time.Time) (Chunk, Effects) {
	next, e := c.referenced(now)
	next = next.without(ref)
	e.AddRef, e.Recall, e.Changed = true, ref == InTrash, next != c
	return next, e
}

// without is the chunk when a reference is in the trash no more.
func (c Chunk) without(ref Ref) Chunk {
	if ref == InTrash && c.Trashed > 0 {
		c.Trashed--
	}
	return c
}

// Delete decides about the removal of a reference. others says that another
// one is live. A repeated Delete renews the tombstone, since it shows that
// messages about the reference are still under way. It takes the reference out
// of the trash for good; ref matters only where Chunk.Trashed is not 0.
func (c Chunk) Delete(ref Ref, others bool, now time.Time) (Chunk, Effects) {
	next := c.without(ref)
	if !others && c.Known() && c.Unreferenced.IsZero() {
		next.Unreferenced = now
		next = next.searching(now)
	}
	return next, Effects{RemoveRef: true, Changed: next != c, Enqueue: next.Queued() && !c.Queued()}
}

// Trash decides about the removal of a reference that nobody asked for and whose attempt nobody knows: as Delete does, but it can be taken
// back, and the chunk is kept until Purge, also where its other references go first by Delete. What is in the trash is put there anew.
func (c Chunk) Trash(ref Ref, others bool, now time.Time) (Chunk, Effects) {
	switch {
	case ref == InTrash:
		return c, Effects{RemoveRef: true, ToTrash: true}
	case ref != Live || !c.Known():
		return c, Effects{}
	}
	next := c
	next.Trashed++
	next, e := next.Delete(ref, others, now)
	e.ToTrash, e.Changed = true, true
	return next, e
}

// Untrash takes Trash back. If nothing is left of the chunk, which must not be, other nodes can bring both.
func (c Chunk) Untrash(ref Ref, now time.Time) (Chunk, Effects) {
	switch {
	case ref != InTrash:
		return c, Effects{}
	case !c.Known():
		return c, Effects{Recall: true}
	}
	return c.refer(ref, now)
}

// Purge forgets a reference that is in the trash. A chunk that has no other there, and none that is live, waits for collection then.
func (c Chunk) Purge(ref Ref) (Chunk, Effects) {
	if ref != InTrash {
		return c, Effects{}
	}
	next := c.without(ref)
	return next, Effects{Recall: true, Changed: next != c, Enqueue: next.Queued() && !c.Queued()}
}

// Drop decides whether a chunk goes that other nodes hold now. same says that they have confirmed just the references that are live. One that
// has others in the trash goes when these are purged.
func (c Chunk) Drop(same bool, now time.Time) (next Chunk, e Effects, dropped bool) {
	switch {
	case !same:
		return c, Effects{}, false
	case !c.Known():
		return c, Effects{}, true
	case c.Trashed > 0:
		next, e = c.Delete(Unknown, false, now)
		e.RemoveRef, e.Unrefer = false, true
		return next, e, true
	}
	return Chunk{}, Effects{Changed: true, Dequeue: c.Queued(), Unrefer: true, Forget: true}, true
}

// Collectable is the moment from which a chunk without references may go.
func (r Rules) Collectable(c Chunk) time.Time {
	return c.Unreferenced.Add(r.Grace)
}

// Collect decides whether the chunk goes. live says that a reference exists
// after all: the queue was wrong, and the chunk stays.
func (c Chunk) Collect(r Rules, live bool, now time.Time) (Chunk, Effects) {
	switch {
	case !c.Known() || !c.Queued():
		return c, Effects{}
	case live:
		return c.referenced(now)
	case now.Before(r.Collectable(c)):
		return c, Effects{}
	}
	return Chunk{}, Effects{Changed: true, Dequeue: true, Forget: true}
}

// Lost notes that the copy is missing, or was found bad and moved aside. The
// references stay, and with them the wish for a good copy.
func (c Chunk) Lost(now time.Time) (Chunk, Effects) {
	if c.Place == Nowhere {
		return c, Effects{}
	}
	c.Copy = Copy{Length: c.Length}
	c.Bad, c.Verified = true, time.Time{}
	return c.searching(now), Effects{Changed: true}
}

// Repair decides about an offered copy that brings no reference: it is taken
// where a reference is live and no good copy is there.
func (c Chunk) Repair(live bool, offered Copy, now time.Time) (Chunk, Effects) {
	if c.Place != Nowhere || !live {
		return c, Effects{Discard: true}
	}
	next := Chunk{Copy: offered, Verified: now, Trashed: c.Trashed}
	return next, Effects{Changed: true, Install: true, Dequeue: c.Queued()}
}

// Expired reports whether a tombstone of the moment removed may be forgotten. That of a reference in the trash goes by Purge.
func (r Rules) Expired(removed, now time.Time) bool { return !now.Before(removed.Add(r.Tombstones)) }
