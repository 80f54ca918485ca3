package disk

import (
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

// changes is what a group of ops does to the disk, gathered before it is done:
// renames first, then the folders' syncs, then the index, then removals.
type changes struct {
	v       *volume
	batch   *pebble.Batch
	now     time.Time
	records map[chunk.Hash]*record
	renames []rename
	folders map[string]struct{} // to be synced
	made    []chunk.Partition   // whose folders are new
	removed map[string]struct{} // files to remove once the index is durable
	totals  totals
	debts   map[string]bool // keys of debts that this group changed, and whether they are owed now
	key     []byte          // scratch
}

type rename struct {
	from, to string
}

// record is what a group knows of one hash: the index and what earlier ops of
// the same group changed.
type record struct {
	state.Chunk
	refs      []touched
	installed bool // this group puts its copy in place
}

type touched struct {
	ref   chunk.Ref
	state state.Ref
}

func (c *changes) begin(v *volume, t totals) {
	c.v, c.now, c.totals = v, v.o.Clock.Now(), t
	c.batch = v.db.NewBatch()
	if c.records == nil {
		c.records = make(map[chunk.Hash]*record)
		c.folders = make(map[string]struct{})
		c.removed = make(map[string]struct{})
	}
	clear(c.records)
	clear(c.folders)
	clear(c.removed)
	clear(c.debts)
	c.renames, c.made = c.renames[:0], c.made[:0]
}

// process decides and carries out a group.
func (w *writer) process(group []*op) {
	if err := w.v.failed(); err != nil {
		answer(group, err)
		return
	}
	c := &w.changes
	c.begin(w.v, w.totals)
	defer w.v.closeBatch(c.batch)
	for _, o := range group {
		if o.err = c.decide(o); o.err != nil && errors.Is(o.err, errors.Internal) {
			o.err = w.v.fail(o.err, "reading the index")
		}
	}
	if err := w.v.failed(); err != nil {
		answer(group, err)
		return
	}
	if err := w.carryOut(c); err != nil {
		answer(group, err)
		return
	}
	w.totals = c.totals
	w.statsMu.Lock()
	w.published = c.totals
	w.statsMu.Unlock()
}

func answer(group []*op, err error) {
	for _, o := range group {
		o.err = err
	}
}

// carryOut makes the changes durable in the order that the package promises.
func (w *writer) carryOut(c *changes) error {
	v := w.v
	for _, r := range c.renames {
		if err := v.fs.Rename(r.from, r.to); err != nil {
			return v.fail(err, "renaming %s", r.from)
		}
	}
	if !v.o.NoSync {
		for f := range c.folders {
			if err := v.syncFolder(f); err != nil {
				return v.fail(err, "syncing %s", f)
			}
		}
	}
	for _, p := range c.made {
		v.folders[p/64].Or(1 << (p % 64))
	}
	if err := w.index(c); err != nil {
		return err
	}
	for path := range c.removed {
		v.removeBlob(path)
	}
	return nil
}

// index writes what changed in the index.
func (w *writer) index(c *changes) error {
	v := w.v
	if c.batch.Empty() {
		return nil
	}
	if c.totals != w.totals {
		if err := c.batch.Set(w.totalsKey(), c.totals.encode(), nil); err != nil {
			return v.fail(err, "writing the index")
		}
	}
	return v.commit(c.batch)
}

// folder makes a partition's folder where it is not there yet. It is durable
// when this group is: its parent is synced with the folders that got files.
func (c *changes) folder(p chunk.Partition) error {
	v := c.v
	if v.folders[p/64].Load()&(1<<(p%64)) != 0 {
		return nil
	}
	path := v.partitionPath(p)
	if err := v.fs.MkdirAll(path, 0o700); err != nil {
		return v.writeFailed(err, "making", path)
	}
	c.folders[v.blobs] = struct{}{}
	c.made = append(c.made, p)
	return nil
}

// record loads what is known of a hash.
func (c *changes) record(h chunk.Hash) (*record, error) {
	if r := c.records[h]; r != nil {
		return r, nil
	}
	known, err := entryOf(c.v.db, h)
	if err != nil {
		return nil, err
	}
	r := &record{Chunk: known}
	c.records[h] = r
	return r, nil
}

// ref is what is known of a reference.
func (c *changes) ref(r *record, h chunk.Hash, ref chunk.Ref) (state.Ref, error) {
	for _, t := range r.refs {
		if t.ref == ref {
			return t.state, nil
		}
	}
	c.key = appendRefKey(c.key[:0], keyTombstone, h, ref)
	removed := state.Removed
	found, err := lookup(c.v.db, c.key, func(p []byte) error {
		if _, trashed := parseTrashed(p); trashed {
			removed = state.InTrash
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if found {
		return removed, nil
	}
	c.key[0] = keyLive
	if found, err = lookup(c.v.db, c.key, ignore); err != nil || !found {
		return state.Unknown, err
	}
	return state.Live, nil
}

func (r *record) touch(ref chunk.Ref, s state.Ref) {
	for i := range r.refs {
		if r.refs[i].ref == ref {
			r.refs[i].state = s
			return
		}
	}
	r.refs = append(r.refs, touched{ref, s})
}

// live reports whether a reference other than except is live.
func (c *changes) live(r *record, h chunk.Hash, except *chunk.Ref) (found bool, err error) {
	for _, t := range r.refs {
		if t.state == state.Live && (except == nil || t.ref != *except) {
			return true, nil
		}
	}
	err = c.eachRef(r, h, func(ref chunk.Ref) bool {
		found = except == nil || ref != *except
		return !found
	})
	return found, err
}

// eachRef calls visit, until it returns false, with the live references that the index has and this group left alone, in order.
func (c *changes) eachRef(r *record, h chunk.Hash, visit func(chunk.Ref) bool) error {
	return c.v.each(hashKey(keyLive, h), func(key, _ []byte) bool {
		ref := parseRef(key[1+chunk.HashSize:])
		return slices.ContainsFunc(r.refs, func(t touched) bool { return t.ref == ref }) || visit(ref)
	})
}

// refs are the live references, in order.
func (c *changes) refs(r *record, h chunk.Hash) (all []chunk.Ref, err error) {
	for _, t := range r.refs {
		if t.state == state.Live {
			all = append(all, t.ref)
		}
	}
	err = c.eachRef(r, h, func(ref chunk.Ref) bool {
		all = append(all, ref)
		return true
	})
	slices.SortFunc(all, chunk.Ref.Compare)
	return all, err
}
