package disk

import (
	"context"
	"slices"
	"sync"
	"time"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

type opKind uint8

const (
	opPut opKind = iota
	opPutRef
	opDelete
	opRepair
	opCollect // what is due is taken from the queue
	opSuspect // a reader found the copy bad or missing
	opFound   // a walk found a file, or an entry without one
	opOwe
	opPaid
	opExpire // a tombstone is old
	opWant
	opTried
	opTrash
	opUntrash
	opPurge
	opDrop
)

// op is one thing a writer is asked to do.
type op struct {
	kind       opKind
	hash       chunk.Hash
	ref        chunk.Ref
	refs       []chunk.Ref   // opWant, opTrash, opUntrash, opPurge, opDrop
	owner      chunk.NodeID  // opOwe, opPaid; opPut, opPutRef: whom the node stands in for
	offered    content       // opPut, opRepair
	temporary  string        // file of the offered content, if it is to be a file
	compressed bool          // opFound: which form of file was seen
	since      time.Time     // opCollect: as the index had it
	at         time.Duration // opTrash: for how long the node has run
	length     uint32        // opWant: of the plain bytes
	still      func() bool   // opDrop: whether it is still wanted
	problem    string        // opTried
	due        time.Time     // opTried: when to try again

	// The answer.
	outcome   chunk.Outcome
	discarded bool // the temporary file was not used
	dropped   bool // opDrop
	err       error
	done      chan bool // gets one value: false when the op was decided, true if it is to lead
	taken     bool      // it is in a group or leads; guarded by writer.mu
}

// Limits of what is decided and synced together: ops, and bytes for the index.
const (
	maxGroup      = 512
	maxGroupBytes = 1 << 20
)

// writer serialises all decisions about the hashes of one range. It has no
// goroutine of its own: the first caller who finds nobody at work decides for
// all who wait, and hands over to the first who came meanwhile.
type writer struct {
	v      *volume
	number int

	mu      sync.Mutex
	waiting []*op
	leading bool

	// Used by the leader alone.
	group   []*op
	totals  totals
	changes changes

	statsMu   sync.Mutex
	published totals // those of the last durable group
}

func (v *volume) writerOf(h chunk.Hash) *writer {
	return v.writers[h[chunk.HashSize-1]%writersPerDisk]
}

// submit has an op decided and made durable. When ctx ends before the op was
// taken up, it has had no effect.
func (w *writer) submit(ctx context.Context, o *op) error {
	o.done = make(chan bool, 1)
	w.mu.Lock()
	w.waiting = append(w.waiting, o)
	lead := !w.leading
	if lead {
		w.leading = true
		o.taken = true
	}
	w.mu.Unlock()
	if !lead {
		var err error
		if lead, err = w.wait(ctx, o); err != nil {
			return err
		}
	}
	if lead {
		w.lead()
	}
	return o.err
}

// wait returns when the op was decided or, with true, is to lead.
func (w *writer) wait(ctx context.Context, o *op) (lead bool, err error) {
	select {
	case lead = <-o.done:
		return lead, nil
	case <-ctx.Done():
	}
	w.mu.Lock()
	if !o.taken {
		i := slices.Index(w.waiting, o)
		w.waiting = slices.Delete(w.waiting, i, i+1)
		w.mu.Unlock()
		return false, errors.Wrap(errors.KindOf(ctx.Err()), ctx.Err(), "waiting for the disk")
	}
	w.mu.Unlock()
	return <-o.done, nil // its group is under way: this takes as long as one sync
}

// groupSize is how many of the waiting ops make a group: at least one.
func groupSize(waiting []*op) int {
	size := 0
	for i, o := range waiting[:min(len(waiting), maxGroup)] {
		if o.offered.Place == state.InIndex {
			size += int(o.offered.Stored)
		}
		if size > maxGroupBytes && i > 0 {
			return i
		}
	}
	return min(len(waiting), maxGroup)
}

// lead decides for a group that begins with the caller's own op, then hands over.
func (w *writer) lead() {
	w.mu.Lock()
	n := groupSize(w.waiting)
	w.group = append(w.group[:0], w.waiting[:n]...)
	rest := copy(w.waiting, w.waiting[n:])
	clear(w.waiting[rest:])
	w.waiting = w.waiting[:rest]
	for _, o := range w.group {
		o.taken = true
	}
	w.mu.Unlock()

	w.process(w.group)
	for _, o := range w.group[1:] { // the first is the caller's own
		o.done <- false
	}
	clear(w.group)

	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		w.leading = false
		return
	}
	next := w.waiting[0]
	next.taken = true
	next.done <- true
}
