package disk

import (
	"context"
	"encoding/hex"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

func (v *volume) quarantinePath(h chunk.Hash) string {
	return v.quarantine + "/" + hex.EncodeToString(h[:])
}

// sound reads a copy again, inside the writer. Only errors that say nothing
// about the copy are returned.
func (v *volume) sound(h chunk.Hash, c state.Copy) (bool, error) {
	// The writer must not wait for other requests' memory.
	account := buffer.NewPool(4*(chunk.MaxSize+buffer.SegmentSize), v.o.Clock).Open(nil)
	b := account.New()
	defer b.Release()
	err := v.readInto(context.Background(), b, h, c)
	var suspect suspicion
	if errors.As(err, &suspect) {
		v.metrics.bad.Inc()
		v.log.Error("a copy of a chunk is damaged or missing", "hash", h, "problem", suspect.err)
		return false, nil
	}
	return err == nil, err
}

// suspect looks again at a copy of which a reader said that it is bad. A bad
// one is moved aside before the index says so.
func (c *changes) suspect(o *op, r *record) (state.Chunk, state.Effects, error) {
	h := o.hash
	if r.Place == state.Nowhere || r.installed {
		return r.Chunk, state.Effects{}, nil
	}
	sound, err := c.v.sound(h, r.Copy)
	if err != nil || sound {
		return r.Chunk, state.Effects{}, err
	}
	if err := c.moveAside(h, r.Copy); err != nil {
		return r.Chunk, state.Effects{}, err
	}
	next, e := r.Lost(c.now)
	return next, e, nil
}

// moveAside keeps a bad copy where nobody reads it as the chunk.
func (c *changes) moveAside(h chunk.Hash, bad state.Copy) error {
	v := c.v
	to := v.quarantinePath(h)
	if bad.Place == state.InFile {
		from := v.blobPath(h, bad.Compressed)
		if _, err := v.fs.Stat(from); err != nil {
			return nil // it is missing: nothing to keep
		}
		c.move(from, to, v.quarantine, v.partitionPath(h.Partition()))
		return nil
	}
	key := hashKey(keyBlob, h)
	if _, err := lookup(v.db, key, func(p []byte) error {
		f, err := v.fs.Create(to, fileCategory)
		if err != nil {
			return err
		}
		return errors.Join(v.write(f, p), f.Close())
	}); err != nil {
		v.log.Warn("the damaged copy of a chunk could not be kept for inspection", "hash", h, "error", err)
	}
	return c.batch.Delete(key, nil)
}

// found looks at a file that a walk saw, or missed, and decides about it.
func (c *changes) found(o *op, r *record) (next state.Chunk, e state.Effects, err error) {
	v, h := c.v, o.hash
	if r.installed {
		return r.Chunk, e, nil
	}
	path := v.blobPath(h, o.compressed)
	info, err := v.fs.Stat(path)
	if err != nil && !isNotExist(err) {
		return next, e, err
	}
	f := state.File{Exists: err == nil}
	if r.Place == state.InFile && r.Compressed != o.compressed {
		if f.Exists { // the entry knows the other form
			c.removed[path] = struct{}{}
		}
		return r.Chunk, e, nil
	}
	if r.Examine(f.Exists) {
		if f.Copy, err = v.measure(h, o.compressed, info.Size()); err != nil {
			return next, e, err
		}
		if f.Sound, err = v.sound(h, f.Copy); err != nil {
			return next, e, err
		}
	}
	live, err := c.live(r, h, nil)
	if err != nil {
		return next, e, err
	}
	next, e = r.Found(f, live, c.now)
	if e.Discard {
		c.removed[path] = struct{}{}
	} else if f.Sound {
		c.folders[v.partitionPath(h.Partition())] = struct{}{}
	}
	return next, e, nil
}

// measure is what a file without entry seems to be.
func (v *volume) measure(h chunk.Hash, compressed bool, size int64) (state.Copy, error) {
	c := state.Copy{Place: state.InFile, Compressed: compressed, Stored: uint32(min(size, chunk.MaxSize+1)), Length: uint32(min(size, chunk.MaxSize+1))}
	if !compressed || size < headerSize {
		return c, nil
	}
	f, err := v.fs.Open(v.blobPath(h, true))
	if err != nil {
		return c, err
	}
	header := make([]byte, headerSize)
	_, err = f.ReadAt(header, 0)
	c.Length = headerLength(header)
	return c, errors.Join(err, f.Close())
}
