package state

import "time"

// File is what a walk over the blob files found for a hash.
type File struct {
	Exists bool
	Sound  bool // read, and its bytes have the hash; asked for only where Examine says so
	Copy   Copy // of a sound file
}

// Examine reports whether a file has to be read before Found can decide:
// where no entry says what it should be. size is its size in bytes.
func (c Chunk) Examine(exists bool) bool { return exists && c.Place != InFile }

// Found decides what to do with what a start after a crash, or a scrub, finds:
// an entry without its file is noted as lost; a file without entry is adopted,
// without reference, if it is sound, and removed if it is not. A chunk that has
// live references but is not in the queue leaves it; one without joins it.
func (c Chunk) Found(f File, live bool, now time.Time) (Chunk, Effects) {
	switch {
	case c.Place == InFile && !f.Exists:
		return c.Lost(now)
	case c.Place == InIndex && f.Exists:
		return c, Effects{Discard: true}
	case c.Place == Nowhere && f.Exists && !f.Sound:
		next := c.searching(now)
		return next, Effects{Discard: true, Changed: next != c}
	case c.Place == Nowhere && f.Exists:
		next := Chunk{Copy: f.Copy, Verified: now, Trashed: c.Trashed}
		e := Effects{Changed: true, Dequeue: c.Queued()}
		if !live {
			next.Unreferenced = now
			e.Enqueue = next.Queued()
		}
		return next, e
	case c.Known() && live && !c.Unreferenced.IsZero():
		return c.referenced(now)
	case c.Known() && !live && c.Unreferenced.IsZero():
		c.Unreferenced = now
		return c.searching(now), Effects{Changed: true, Enqueue: c.Queued()}
	}
	next := c.searching(now)
	return next, Effects{Changed: next != c}
}
