package disk

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/chunk-node/heal"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

var _ heal.Local = (*Store)(nil)

// Drop implements heal.Local.
func (s *Store) Drop(ctx context.Context, h chunk.Hash, refs []chunk.Ref, still func() bool) (bool, error) {
	o := &op{kind: opDrop, hash: h, refs: refs, still: still}
	err := s.submit(ctx, o)
	return o.dropped && err == nil, err
}

// Trash implements heal.Local.
func (s *Store) Trash(ctx context.Context, h chunk.Hash, refs []chunk.Ref, at time.Duration) error {
	return s.submit(ctx, &op{kind: opTrash, hash: h, refs: refs, at: at})
}

// Untrash implements heal.Local.
func (s *Store) Untrash(ctx context.Context, h chunk.Hash, refs []chunk.Ref) error {
	return s.submit(ctx, &op{kind: opUntrash, hash: h, refs: refs})
}

// Purge implements heal.Local.
func (s *Store) Purge(ctx context.Context, h chunk.Hash, refs []chunk.Ref) error {
	return s.submit(ctx, &op{kind: opPurge, hash: h, refs: refs})
}

// InTrash implements heal.Local.
func (s *Store) InTrash(ctx context.Context, h chunk.Hash, ref chunk.Ref) (in bool, err error) {
	v, err := s.enter(ctx, h)
	if err != nil {
		return false, err
	}
	defer s.leave()
	if _, err := lookup(v.db, appendRefKey(nil, keyTombstone, h, ref), func(p []byte) error {
		_, in = parseTrashed(p)
		return nil
	}); err != nil {
		return false, indexDamaged(h, err)
	}
	return in, nil
}

// wantSize is about how many bytes a chunk takes in the index without its blob.
const wantSize = 256

// Want implements heal.Local. On a disk that is nearly full it fails, with kind Full, unless the chunk is there.
func (s *Store) Want(ctx context.Context, h chunk.Hash, length uint32, refs []chunk.Ref) error {
	if length == 0 || length > chunk.MaxSize {
		return errors.E(errors.Invalid, errors.Chunk, h.String(), "a chunk has 1 to %d bytes, not %d", chunk.MaxSize, length)
	}
	v, err := s.enter(ctx, h)
	if err != nil {
		return err
	}
	defer s.leave()
	c, err := entryOf(v.db, h)
	if err != nil {
		return indexDamaged(h, err)
	}
	if !c.Known() {
		if err := v.writable(wantSize); err != nil {
			return err
		}
	}
	return v.submit(ctx, &op{kind: opWant, hash: h, length: length, refs: refs})
}

// maxProblem is how many bytes of a problem are kept.
const maxProblem = 300

// Tried implements heal.Local.
func (s *Store) Tried(ctx context.Context, h chunk.Hash, problem string, next time.Time) error {
	return s.submit(ctx, &op{kind: opTried, hash: h, problem: problem[:min(len(problem), maxProblem)], due: next})
}

// Wanted implements heal.Local.
func (s *Store) Wanted(ctx context.Context, now time.Time, limit int) ([]chunk.Damage, error) {
	type due struct {
		at time.Time
		chunk.Damage
	}
	var all []due
	err := s.onWorking(func(v *volume) (n int, err error) {
		// Those whose time has come, and those whose time was set by a clock that was ahead.
		from, to := bounds([]byte{keyDue}), bounds([]byte{keyDue})
		from.UpperBound = timeKey(keyDue, now.Add(time.Microsecond), chunk.Hash{})
		to.LowerBound = timeKey(keyDue, now.Add(heal.LatestTry+time.Microsecond), chunk.Hash{})
		for _, o := range []*pebble.IterOptions{from, to} {
			if err := eachIn(ctx, v.db, o, func(key, _ []byte) (bool, error) {
				at, h := parseTimeKey(key)
				if n++; n > limit {
					return false, nil
				}
				d, sought, err := v.damage(h)
				if sought {
					all = append(all, due{at, d})
				}
				return true, err
			}); err != nil {
				return n, err
			}
		}
		return n, nil
	})
	slices.SortStableFunc(all, func(a, b due) int { return a.at.Compare(b.at) })
	damages := make([]chunk.Damage, 0, min(len(all), limit))
	for _, d := range all[:min(len(all), limit)] {
		damages = append(damages, d.Damage)
	}
	return damages, err
}

// Damaged lists up to limit chunks with hashes above after that have live references and no good copy here, in order; fewer: the end.
func (s *Store) Damaged(ctx context.Context, after chunk.Hash, limit int) (all []chunk.Damage, err error) {
	_, err = s.onEach(func(v *volume) (int, error) {
		n := 0
		return n, eachIn(ctx, v.db, above(bounds([]byte{keySearch}), after), func(key, _ []byte) (bool, error) {
			d, sought, err := v.damage(chunk.Hash(key[1:]))
			if sought {
				n++
				all = append(all, d)
			}
			return n < limit, err
		})
	})
	slices.SortFunc(all, func(a, b chunk.Damage) int { return bytes.Compare(a.Hash[:], b.Hash[:]) })
	return all[:min(len(all), limit)], err
}

// damageRefs is how many references of a damaged chunk are told.
const damageRefs = 8

// damage describes a chunk for which a good copy is looked for, unless that has ended meanwhile.
func (v *volume) damage(h chunk.Hash) (d chunk.Damage, sought bool, err error) {
	c, err := entryOf(v.db, h)
	if err != nil || !c.Sought() {
		return d, false, err
	}
	d = chunk.Damage{Hash: h, Since: c.Search.Since, Tries: int(c.Search.Tries), Problem: c.Search.Problem}
	err = v.each(hashKey(keyLive, h), func(key, _ []byte) bool {
		d.Refs = append(d.Refs, parseRef(key[1+chunk.HashSize:]))
		return len(d.Refs) < damageRefs
	})
	return d, true, err
}

// Verify implements heal.Local.
func (s *Store) Verify(ctx context.Context, h chunk.Hash) (read int64, good bool, err error) {
	v, err := s.enter(ctx, h)
	if err != nil {
		return 0, false, err
	}
	defer s.leave()
	c, err := entryOf(v.db, h)
	switch {
	case err != nil:
		return 0, false, indexDamaged(h, err)
	case !c.Known():
		return 0, false, notStored(h)
	case c.Place == state.Nowhere:
		return 0, false, nil
	}
	b, err := v.get(ctx, h)
	switch {
	case err == nil:
		b.Release()
		return int64(c.Stored), true, nil
	case errors.Is(err, errors.Corrupted):
		// It is in quarantine, unless that failed, or the index cannot be read.
		if now, e := entryOf(v.db, h); e == nil && now.Known() && now.Place == state.Nowhere {
			return int64(c.Stored), false, nil
		}
	}
	return 0, false, err
}

// submit has an op decided by the disk of its hash.
func (s *Store) submit(ctx context.Context, o *op) error {
	v, err := s.enter(ctx, o.hash)
	if err != nil {
		return err
	}
	defer s.leave()
	return v.submit(ctx, o)
}
