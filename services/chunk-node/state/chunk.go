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
	Verified     time.Time // when its copy was last found good
	Unreferenced time.Time // since when it has no reference; zero: it has, or there is no chunk
}

// Known reports whether the node keeps anything about the chunk besides tombstones.
func (c Chunk) Known() bool { return c.Place != Nowhere || c.Bad }

// Ref is what a node knows about one reference.
type Ref uint8

const (
	Unknown Ref = iota
	Live
	Removed // there is a tombstone
)

// Effects are what a decision wants done, besides keeping the new Chunk.
type Effects struct {
	Outcome   chunk.Outcome
	Changed   bool // the Chunk differs from what was known
	AddRef    bool // make the reference live
	RemoveRef bool // make the reference a tombstone of this moment
	Install   bool // put the offered copy in place, before anything refers to it
	Discard   bool // drop the offered copy
	Enqueue   bool // the chunk waits for collection since Chunk.Unreferenced
	Dequeue   bool // it does so no more (since the previous Chunk.Unreferenced)
	Forget    bool // remove all that is known of the chunk, then its copy, if there is one
}

// Put decides about an offered copy, already verified and synced, and a
// reference. intact says that the copy known of was found where it should be,
// with its size.
func (c Chunk) Put(ref Ref, offered Copy, intact bool, now time.Time) (Chunk, Effects) {
	if ref == Removed {
		return c, Effects{Outcome: chunk.Gone, Discard: true}
	}
	if c.Place != Nowhere && intact {
		next, e := c.PutRef(ref, true)
		e.Discard = true
		return next, e
	}
	next := Chunk{Copy: offered, Verified: now}
	return next, Effects{
		Outcome: chunk.Stored, Changed: true, AddRef: ref == Unknown, Install: true,
		Dequeue: !c.Unreferenced.IsZero(),
	}
}

// PutRef decides about a reference alone. intact says that the copy was found
// where it should be, with its size.
func (c Chunk) PutRef(ref Ref, intact bool) (Chunk, Effects) {
	switch {
	case ref == Removed:
		return c, Effects{Outcome: chunk.Gone}
	case c.Place == Nowhere:
		return c, Effects{Outcome: chunk.SendData}
	case !intact:
		next, e := c.Lost()
		e.Outcome = chunk.SendData
		return next, e
	case ref == Live:
		return c, Effects{Outcome: chunk.Stored}
	}
	next, e := c.referenced()
	e.Outcome, e.AddRef = chunk.Stored, true
	return next, e
}

func (c Chunk) referenced() (Chunk, Effects) {
	if c.Unreferenced.IsZero() {
		return c, Effects{}
	}
	c.Unreferenced = time.Time{}
	return c, Effects{Changed: true, Dequeue: true}
}

// Delete decides about the removal of a reference. others says that another
// one is live. A repeated Delete renews the tombstone, since it shows that
// messages about the reference are still under way.
func (c Chunk) Delete(others bool, now time.Time) (Chunk, Effects) {
	e := Effects{RemoveRef: true}
	if others || !c.Known() || !c.Unreferenced.IsZero() {
		return c, e
	}
	c.Unreferenced = now
	e.Changed, e.Enqueue = true, true
	return c, e
}

// Collectable is the moment from which a chunk without references may go.
func (r Rules) Collectable(c Chunk) time.Time { return c.Unreferenced.Add(r.Grace) }

// Collect decides whether the chunk goes. live says that a reference exists
// after all: the queue was wrong, and the chunk stays.
func (c Chunk) Collect(r Rules, live bool, now time.Time) (Chunk, Effects) {
	switch {
	case !c.Known() || c.Unreferenced.IsZero():
		return c, Effects{}
	case live:
		return c.referenced()
	case now.Before(r.Collectable(c)):
		return c, Effects{}
	}
	return Chunk{}, Effects{Changed: true, Dequeue: true, Forget: true}
}

// Lost notes that the copy is missing, or was found bad and moved aside. The
// references stay, and with them the wish for a good copy.
func (c Chunk) Lost() (Chunk, Effects) {
	if c.Place == Nowhere {
		return c, Effects{}
	}
	c.Copy = Copy{Length: c.Length}
	c.Bad, c.Verified = true, time.Time{}
	return c, Effects{Changed: true}
}

// Repair decides about an offered copy that brings no reference: it is taken
// where a reference is live and no good copy is there.
func (c Chunk) Repair(live bool, offered Copy, now time.Time) (Chunk, Effects) {
	if c.Place != Nowhere || !live {
		return c, Effects{Discard: true}
	}
	next := Chunk{Copy: offered, Verified: now}
	return next, Effects{Changed: true, Install: true, Dequeue: !c.Unreferenced.IsZero()}
}

// Expired reports whether a tombstone of the moment removed may be forgotten.
func (r Rules) Expired(removed, now time.Time) bool { return !now.Before(removed.Add(r.Tombstones)) }
