package disk

import (
	"slices"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

// decide asks the rules about one op and notes the effects.
func (c *changes) decide(o *op) error {
	switch o.kind {
	case opOwe, opPaid:
		return c.debt(o)
	case opExpire:
		return c.expire(o)
	}
	r, err := c.record(o.hash)
	if err != nil {
		return err
	}
	switch o.kind {
	case opWant, opTrash, opUntrash, opPurge:
		for _, o.ref = range o.refs {
			next, e, err := c.ask(o, r)
			if err == nil {
				err = c.apply(o, r, next, e)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	next, e, err := c.ask(o, r)
	if err != nil {
		return err
	}
	o.outcome, o.discarded = e.Outcome, e.Discard
	if err := c.apply(o, r, next, e); err != nil || o.owner == (chunk.NodeID{}) || e.Outcome != chunk.Stored {
		return err
	}
	return c.debt(o) // a stand-in's, as durable as what it stores
}

// ask calls the rule for the op.
func (c *changes) ask(o *op, r *record) (next state.Chunk, e state.Effects, err error) {
	switch o.kind {
	case opPut, opPutRef, opWant:
		return c.askPut(o, r)
	case opDelete, opTrash:
		return c.askDelete(o, r)
	case opUntrash, opPurge:
		ref, err := c.ref(r, o.hash, o.ref)
		if err != nil {
			return next, e, err
		}
		if next, e = r.Purge(ref); o.kind == opUntrash {
			next, e = r.Untrash(ref, c.now)
		}
	case opDrop:
		refs, err := c.refs(r, o.hash)
		if err != nil {
			return next, e, err
		}
		next, e, o.dropped = r.Drop(slices.Equal(refs, o.refs) && o.still(), c.now)
	case opTried:
		next, e = r.Tried(o.problem, o.due)
	case opRepair:
		next, e, err = c.withLive(o, r, func(live bool) (state.Chunk, state.Effects) {
			return r.Repair(live, o.offered.Copy, c.now)
		})
	case opCollect:
		if !o.since.Equal(r.Unreferenced) || !r.Queued() { // a queue entry that means nothing any more
			return r.Chunk, state.Effects{}, c.batch.Delete(timeKey(keyPending, o.since, o.hash), nil)
		}
		next, e, err = c.withLive(o, r, func(live bool) (state.Chunk, state.Effects) {
			return r.Collect(c.v.o.Rules, live, c.now)
		})
	case opSuspect:
		next, e, err = c.suspect(o, r)
	case opFound:
		next, e, err = c.found(o, r)
	default:
		err = errors.Newf(errors.Internal, "unknown operation %d", o.kind)
	}
	return next, e, err
}

func (c *changes) askDelete(o *op, r *record) (next state.Chunk, e state.Effects, err error) {
	others := false
	if r.Known() && r.Unreferenced.IsZero() {
		if others, err = c.live(r, o.hash, &o.ref); err != nil {
			return next, e, err
		}
	}
	ref := state.Unknown
	if o.kind == opTrash || r.Trashed > 0 {
		if ref, err = c.ref(r, o.hash, o.ref); err != nil {
			return next, e, err
		}
	}
	if next, e = r.Delete(ref, others, c.now); o.kind == opTrash {
		next, e = r.Chunk.Trash(ref, others, c.now)
	}
	return next, e, nil
}

func (c *changes) askPut(o *op, r *record) (next state.Chunk, e state.Effects, err error) {
	ref, err := c.ref(r, o.hash, o.ref)
	if err != nil {
		return next, e, err
	}
	intact := false
	if ref != state.Removed && r.Place != state.Nowhere {
		if intact, err = c.intact(o.hash, r); err != nil {
			return next, e, err
		}
	}
	switch o.kind {
	case opPut:
		next, e = r.Put(ref, o.offered.Copy, intact, c.now)
	case opWant:
		next, e = r.Want(ref, intact, o.length, c.now)
	default:
		next, e = r.PutRef(ref, intact, c.now)
	}
	return next, e, nil
}

// intact also knows of copies that this group is only about to put in place.
func (c *changes) intact(h chunk.Hash, r *record) (bool, error) {
	if r.installed {
		return true, nil
	}
	return c.v.intact(h, r.Copy)
}

func (c *changes) withLive(o *op, r *record, rule func(live bool) (state.Chunk, state.Effects)) (next state.Chunk, e state.Effects, err error) {
	live, err := c.live(r, o.hash, nil)
	if err != nil {
		return next, e, err
	}
	next, e = rule(live)
	return next, e, nil
}

// apply notes the effects of a decision.
func (c *changes) apply(o *op, r *record, next state.Chunk, e state.Effects) error {
	before := r.Chunk
	if e.Install {
		if err := c.install(o, r); err != nil {
			return err
		}
	}
	if e.Recall {
		c.key = appendRefKey(c.key[:0], keyTombstone, o.hash, o.ref)
		if err := c.batch.Delete(c.key, nil); err != nil {
			return err
		}
		r.touch(o.ref, state.Unknown)
	}
	if e.AddRef {
		c.key = appendRefKey(c.key[:0], keyLive, o.hash, o.ref)
		if err := c.batch.Set(c.key, nil, nil); err != nil {
			return err
		}
		r.touch(o.ref, state.Live)
	}
	if e.RemoveRef {
		c.key = appendRefKey(c.key[:0], keyLive, o.hash, o.ref)
		if err := c.batch.Delete(c.key, nil); err != nil {
			return err
		}
		c.key[0] = keyTombstone
		removed, value := state.Removed, appendTime(nil, c.now)
		if e.ToTrash {
			removed, value = state.InTrash, appendTrashed(nil, o.at)
		}
		if err := c.batch.Set(c.key, value, nil); err != nil {
			return err
		}
		r.touch(o.ref, removed)
	}
	if e.Unrefer {
		if err := c.unrefer(o, r); err != nil {
			return err
		}
	}
	if e.Dequeue {
		if err := c.batch.Delete(timeKey(keyPending, before.Unreferenced, o.hash), nil); err != nil {
			return err
		}
	}
	if e.Enqueue {
		if err := c.batch.Set(timeKey(keyPending, next.Unreferenced, o.hash), nil, nil); err != nil {
			return err
		}
	}
	if err := c.search(o.hash, before.Search, next.Search); err != nil {
		return err
	}
	if e.Forget {
		if err := c.forget(o.hash, r); err != nil {
			return err
		}
	}
	if !e.Changed {
		return nil
	}
	r.Chunk = next
	c.totals.count(before, -1)
	c.totals.count(next, 1)
	if next.Bad && !before.Bad {
		c.totals.Damaged++
	} else if before.Bad && next.Place != state.Nowhere {
		c.totals.Mended++
	}
	if !next.Known() {
		return c.batch.Delete(hashKey(keyEntry, o.hash), nil)
	}
	return c.batch.Set(hashKey(keyEntry, o.hash), appendEntry(nil, next), nil)
}

// unrefer removes the live references, which the op lists.
func (c *changes) unrefer(o *op, r *record) error {
	for _, ref := range o.refs {
		c.key = appendRefKey(c.key[:0], keyLive, o.hash, ref)
		if err := c.batch.Delete(c.key, nil); err != nil {
			return err
		}
		r.touch(ref, state.Unknown)
	}
	return nil
}

// search notes how the search for a good copy goes now.
func (c *changes) search(h chunk.Hash, before, next state.Search) error {
	if before == next {
		return nil
	}
	if !before.Since.IsZero() {
		if err := c.batch.Delete(timeKey(keyDue, before.Due, h), nil); err != nil {
			return err
		}
	}
	if next.Since.IsZero() {
		return c.batch.Delete(hashKey(keySearch, h), nil)
	}
	if err := c.batch.Set(timeKey(keyDue, next.Due, h), nil, nil); err != nil {
		return err
	}
	return c.batch.Set(hashKey(keySearch, h), appendSearch(nil, next), nil)
}

// install puts the offered copy in place: a file by a rename before the index
// is written, a value by the same batch.
func (c *changes) install(o *op, r *record) error {
	h := o.hash
	if o.offered.Place != state.InIndex {
		if err := c.folder(h.Partition()); err != nil {
			return err
		}
	}
	r.installed = true
	if r.Bad {
		c.removed[c.v.quarantinePath(h)] = struct{}{}
	}
	if o.offered.Place == state.InIndex {
		size := int(o.offered.Stored)
		d := c.batch.SetDeferred(1+chunk.HashSize, size)
		d.Key[0] = keyBlob
		copy(d.Key[1:], h[:])
		at := d.Value
		for _, s := range o.offered.segments {
			at = at[copy(at, s):]
		}
		return d.Finish()
	}
	to := c.v.blobPath(h, o.offered.Compressed)
	delete(c.removed, to)
	c.move(o.temporary, to, c.v.partitionPath(h.Partition()))
	return nil
}

// move has a file renamed, and the folders synced, before the index is written.
func (c *changes) move(from, to string, folders ...string) {
	c.renames = append(c.renames, rename{from, to})
	for _, f := range folders {
		c.folders[f] = struct{}{}
	}
}

// forget removes the entry now and the copy once that is durable.
func (c *changes) forget(h chunk.Hash, r *record) error {
	r.installed = false
	if r.Bad {
		c.removed[c.v.quarantinePath(h)] = struct{}{}
	}
	switch r.Place {
	case state.InFile:
		c.removed[c.v.blobPath(h, r.Compressed)] = struct{}{}
	case state.InIndex:
		return c.batch.Delete(hashKey(keyBlob, h), nil)
	}
	return nil
}

// debt notes or strikes out what another node lacks.
func (c *changes) debt(o *op) error {
	key := owedKey(o.owner, o.hash, o.ref)
	owed, decided := c.debts[string(key)]
	if !decided {
		var err error
		if owed, err = lookup(c.v.db, key, ignore); err != nil {
			return err
		}
	}
	if owed == (o.kind != opPaid) {
		return nil
	}
	if c.debts == nil {
		c.debts = make(map[string]bool)
	}
	c.debts[string(key)] = !owed
	if o.kind == opPaid {
		c.totals.Owed--
		return c.batch.Delete(key, nil)
	}
	c.totals.Owed++
	return c.batch.Set(key, appendTime(nil, c.now), nil)
}

// expire forgets a tombstone that was not renewed since it was seen.
func (c *changes) expire(o *op) error {
	c.key = appendRefKey(c.key[:0], keyTombstone, o.hash, o.ref)
	expired := false
	if _, err := lookup(c.v.db, c.key, func(p []byte) error {
		expired = c.v.expired(p, c.now)
		return nil
	}); err != nil || !expired {
		return err
	}
	if r := c.records[o.hash]; r != nil {
		for _, t := range r.refs {
			if t.ref == o.ref { // renewed by this group
				return nil
			}
		}
	}
	return c.batch.Delete(c.key, nil)
}
