package disk

import (
	"context"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/telemetry"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

// suspicion says that the copy was not what the entry said: it was bad,
// missing, or it has just been collected or replaced.
type suspicion struct{ err error }

func (s suspicion) Error() string { return s.err.Error() }
func (s suspicion) Unwrap() error { return s.err }

func notStored(h chunk.Hash) error {
	return errors.E(errors.NotFound, errors.Chunk, h.String(), "not stored here")
}

// get reads and verifies a chunk.
func (v *volume) get(ctx context.Context, h chunk.Hash) (*buffer.Buffer, error) {
	for attempt := 0; ; attempt++ {
		c, err := entryOf(v.db, h)
		if err != nil {
			return nil, indexDamaged(h, err)
		}
		switch {
		case c.Bad:
			return nil, errors.E(errors.Corrupted, errors.Chunk, h.String(), "the copy here was found damaged and waits for repair")
		case c.Awaited:
			return nil, errors.E(errors.Corrupted, errors.Chunk, h.String(), "it should be here, and a copy is still to come from another node")
		case c.Place == state.Nowhere:
			return nil, notStored(h)
		}
		b, err := v.read(ctx, h, c.Copy)
		var suspect suspicion
		if !errors.As(err, &suspect) {
			return b, err
		}
		if attempt > 0 {
			return nil, errors.E(errors.Corrupted, errors.Chunk, h.String(), "the copy here is damaged: %v", suspect.err)
		}
		// The writer looks again: it sees the copy and the entry at one moment.
		if err := v.writerOf(h).submit(ctx, &op{kind: opSuspect, hash: h}); err != nil {
			return nil, errors.E(errors.Corrupted, errors.Chunk, h.String(), "the copy here is damaged (%v) and could not be moved aside: %v", suspect.err, err)
		}
	}
}

func indexDamaged(h chunk.Hash, err error) error {
	return errors.E(errors.Corrupted, errors.Chunk, h.String(), "the index of the disk cannot be read: %v", err)
}

// read returns a verified copy, or a suspicion.
func (v *volume) read(ctx context.Context, h chunk.Hash, c state.Copy) (*buffer.Buffer, error) {
	account := v.o.Pool.Open(nil)
	defer account.Close()
	b := account.New()
	ctx, span := telemetry.StartSpan(ctx, "disk.read")
	err := v.readInto(ctx, b, h, c)
	telemetry.EndSpan(span, err)
	if err != nil {
		b.Release()
		return nil, err
	}
	return b, nil
}

func (v *volume) readInto(ctx context.Context, b *buffer.Buffer, h chunk.Hash, c state.Copy) error {
	hasher := chunk.NewHasher()
	var err error
	switch {
	case c.Compressed:
		err = v.readCompressed(ctx, b, hasher, h, c)
	case c.Place == state.InIndex:
		err = v.withValue(h, func(p []byte) error { return appendHashed(ctx, b, hasher, p) })
	default:
		err = v.withFile(h, c, func(f vfs.File) error { return readHashed(ctx, b, hasher, f, int(c.Length)) })
	}
	got := hasher.Sum()
	if err == nil {
		v.metrics.read.Add(float64(c.Stored))
	}
	if err != nil {
		return err
	}
	if b.Len() != int(c.Length) {
		return suspicion{errors.Newf(errors.Corrupted, "it has %d bytes instead of %d", b.Len(), c.Length)}
	}
	if got != h {
		return suspicion{errors.Newf(errors.Corrupted, "its bytes have the hash %v", got)}
	}
	return nil
}

// readHashed fills b from a file and hashes each piece while the processor has it near.
func readHashed(ctx context.Context, b *buffer.Buffer, hasher *chunk.Hasher, f vfs.File, length int) error {
	for b.Len() < length {
		tail, err := b.Tail(ctx)
		if err != nil {
			return err
		}
		tail = tail[:min(len(tail), length-b.Len())]
		n, err := f.ReadAt(tail, int64(b.Len()))
		_, _ = hasher.Write(tail[:n])
		b.Advance(n)
		if err != nil && (err != io.EOF || b.Len() < length) {
			return suspicion{err}
		}
	}
	return nil
}

func appendHashed(ctx context.Context, b *buffer.Buffer, hasher *chunk.Hasher, p []byte) error {
	_, _ = hasher.Write(p)
	return b.Append(ctx, p)
}

func (v *volume) readCompressed(ctx context.Context, b *buffer.Buffer, hasher *chunk.Hasher, h chunk.Hash, c state.Copy) error {
	expand := func(stored []byte) error {
		scratch := v.codec.take()
		defer v.codec.give(scratch)
		plain, err := v.codec.expand(stored, (*scratch)[:0])
		if err != nil {
			return suspicion{err}
		}
		*scratch = plain
		return appendHashed(ctx, b, hasher, plain)
	}
	if c.Place == state.InIndex {
		return v.withValue(h, expand)
	}
	return v.withFile(h, c, func(f vfs.File) error {
		scratch := v.codec.take()
		defer v.codec.give(scratch)
		if cap(*scratch) < int(c.Stored) {
			*scratch = make([]byte, c.Stored)
		}
		*scratch = (*scratch)[:c.Stored]
		if n, err := f.ReadAt(*scratch, 0); n < int(c.Stored) {
			return suspicion{err}
		}
		return expand(*scratch)
	})
}

func (v *volume) withValue(h chunk.Hash, use func([]byte) error) error {
	var key [1 + chunk.HashSize]byte
	key[0] = keyBlob
	copy(key[1:], h[:])
	found, err := lookup(v.db, key[:], use)
	var suspect suspicion
	switch {
	case errors.As(err, &suspect) || err != nil && found:
		return err
	case err != nil:
		return indexDamaged(h, err)
	case !found:
		return suspicion{errors.Newf(errors.Corrupted, "it is missing from the index")}
	}
	return nil
}

func (v *volume) withFile(h chunk.Hash, c state.Copy, use func(vfs.File) error) error {
	f, err := v.fs.Open(v.blobPath(h, c.Compressed))
	if scarce(err) {
		return v.short(err)
	}
	if err != nil {
		return suspicion{err}
	}
	err = use(f)
	if e := f.Close(); err == nil && e != nil {
		err = suspicion{e}
	}
	return err
}
