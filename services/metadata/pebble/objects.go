package pebble

import (
	"context"
	"encoding/binary"
	"slices"

	cockroach "github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/convert"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// Object implements meta.Objects.
func (s *Store) Object(ctx context.Context, bucket uuid.UUID, key string) (meta.Object, error) {
	if err := s.gate.enter(ctx); err != nil {
		return meta.Object{}, err
	}
	defer s.gate.leave()
	o, err := s.object(bucket, key)
	if wait := s.settled(ctx, bucket, key); wait != nil {
		return meta.Object{}, wait
	}
	return o, err
}

func (s *Store) object(bucket uuid.UUID, key string) (meta.Object, error) {
	var p metadatav1.Object
	found, err := s.read(rowOf(tableObject, bucket, key), &p)
	if err != nil {
		return meta.Object{}, err
	}
	if !found {
		return meta.Object{}, errors.E(errors.NotFound, errors.Object, key, "there is no such object")
	}
	o, err := convert.ObjectFrom(&p)
	o.Key = key
	return o, err
}

// Chunks implements meta.Objects.
func (s *Store) Chunks(ctx context.Context, attempt uuid.UUID, from uint64, limit int) ([]meta.Chunk, error) {
	if err := meta.CheckLimit(limit); err != nil {
		return nil, err
	}
	if err := s.gate.enter(ctx); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	prefix := row(tableChunk, attempt[:])
	it, err := s.db.NewIter(&cockroach.IterOptions{LowerBound: prefix, UpperBound: end(prefix)})
	if err != nil {
		return nil, errors.Wrap(errors.Internal, err, "reading metadata")
	}
	var chunks []meta.Chunk
	start := number64(int64(from))
	// The chunk that holds the byte begins at it or before it.
	if !it.SeekGE(append(slices.Clone(prefix), start...)) || chunkOffset(it.Key()) != from {
		if !it.Prev() {
			it.First()
		}
	}
	var problem error
	for ; it.Valid() && len(chunks) < limit; it.Next() {
		c, err := decodeChunk(it.Key(), it.Value())
		if problem = err; err != nil {
			break
		}
		if c.Offset+uint64(c.Length) > from {
			chunks = append(chunks, c)
		}
	}
	if err := it.Close(); err != nil && problem == nil {
		problem = errors.Wrap(errors.Internal, err, "reading metadata")
	}
	return chunks, problem
}

func chunkOffset(key []byte) uint64 { return binary.BigEndian.Uint64(key[1+idSize:]) }

func decodeChunk(key, value []byte) (meta.Chunk, error) {
	var p metadatav1.Chunk
	if err := unmarshal(value, &p); err != nil {
		return meta.Chunk{}, err
	}
	c, err := convert.ChunkFrom(&p)
	c.Offset = chunkOffset(key)
	return c, err
}

// addChunks writes rows of an attempt.
func (t *txn) addChunks(attempt uuid.UUID, chunks []meta.Chunk) {
	for _, c := range chunks {
		t.put(row(tableChunk, attempt[:], number64(int64(c.Offset))), &metadatav1.Chunk{Length: c.Length, Hash: c.Hash[:]})
	}
}

// current is what a write must know of the newest object of its key.
type current struct {
	exists    bool
	chunked   bool // it holds attempts
	timestamp clock.Timestamp
	size      int64
	etag      string
}

func (t *txn) current(bucket uuid.UUID, key string) (current, error) {
	value, closer, err := t.s.db.Get(rowOf(tableListed, bucket, key))
	if errors.IsTarget(err, cockroach.ErrNotFound) {
		return current{}, nil
	}
	if err != nil {
		return current{}, errors.Wrap(errors.Internal, err, "reading metadata")
	}
	defer closer.Close()
	var l meta.Listed
	chunked, err := decodeListed(value, &l)
	return current{exists: true, chunked: chunked, timestamp: l.Timestamp, size: l.Size, etag: l.ETag}, err
}

// forget removes the newest object of a key; what it holds becomes garbage.
func (t *txn) forget(bucket uuid.UUID, key string, c current) error {
	t.usage.Objects--
	t.usage.Bytes -= c.size
	if !c.chunked {
		return nil
	}
	var p metadatav1.Object
	if _, err := t.s.read(rowOf(tableObject, bucket, key), &p); err != nil {
		return err
	}
	o, err := convert.ObjectFrom(&p)
	if err != nil {
		return err
	}
	t.discard(bucket, key, o.Attempts())
	return nil
}

// install makes o the newest object of its key, above what c says is there; written is that of meta.Put.
func (t *txn) install(bucket uuid.UUID, o meta.Object, c current, written clock.Timestamp) (meta.Version, error) {
	if o.ID == uuid.Nil {
		var err error
		if o.ID, err = clock.NewUUID(t.s.random); err != nil {
			return meta.Version{}, errors.Wrap(errors.Internal, err, "drawing a version ID")
		}
	}
	if c.exists {
		if err := t.forget(bucket, o.Key, c); err != nil {
			return meta.Version{}, err
		}
	}
	if o.Timestamp = written; written <= c.timestamp {
		o.Timestamp = t.s.hybrid.After(c.timestamp)
	}
	t.usage.Objects++
	t.usage.Bytes += o.Size
	listed := convert.Listed(o.Listed())
	listed.Key, listed.Chunked = nil, len(o.Parts) > 0
	t.put(rowOf(tableListed, bucket, o.Key), listed)
	key := o.Key
	o.Key = ""
	t.put(rowOf(tableObject, bucket, key), convert.Object(&o))
	return o.Version, nil
}

// PutObject implements meta.Objects.
func (s *Store) PutObject(ctx context.Context, p meta.Put) (meta.Version, error) {
	if err := p.Check(); err != nil {
		return meta.Version{}, err
	}
	t, err := s.begin(ctx, adds)
	if err != nil {
		return meta.Version{}, err
	}
	if !t.enter(p.Bucket) {
		return meta.Version{}, t.decided(noBucket(p.Bucket))
	}
	if p.Upload != uuid.Nil {
		t.hold(s.uploads.lock(p.Upload[:]))
	}
	t.lock(rowOf(tableListed, p.Bucket, p.Key))
	before, happened, err := s.committed(p.Commit)
	if err != nil {
		return meta.Version{}, t.abandon(err)
	}
	if happened {
		return before, t.decided(nil)
	}
	c, err := t.current(p.Bucket, p.Key)
	if err != nil {
		return meta.Version{}, t.abandon(err)
	}
	if p.Upload != uuid.Nil {
		ref := meta.UploadRef{Bucket: p.Bucket, Key: p.Key, ID: p.Upload}
		open, err := s.openSingle(ref)
		if err != nil {
			return meta.Version{}, t.abandon(err)
		}
		if !open {
			return t.repeated(ref, c)
		}
	}
	if err := p.Condition.Check(p.Key, c.exists, c.etag); err != nil {
		return meta.Version{}, t.decided(err)
	}
	v, err := t.install(p.Bucket, p.Object(), c, p.Written)
	if err != nil {
		return meta.Version{}, t.abandon(err)
	}
	if p.Upload != uuid.Nil {
		t.addChunks(p.Upload, p.Chunks)
		t.dropSingle(p.Upload)
	}
	t.remember(p.Commit, v.Timestamp)
	return v, t.commit()
}

// repeated answers the commit of a single upload that is not open: it may have been committed.
func (t *txn) repeated(ref meta.UploadRef, c current) (meta.Version, error) {
	if c.chunked {
		o, err := t.s.object(ref.Bucket, ref.Key)
		if err != nil {
			return meta.Version{}, t.abandon(err)
		}
		if o.Wrote(ref.ID) {
			return o.Version, t.decided(nil)
		}
	}
	return meta.Version{}, t.decided(noUpload(ref))
}

// DeleteObjects implements meta.Objects.
func (s *Store) DeleteObjects(ctx context.Context, bucket uuid.UUID, deletes []meta.Delete) ([]meta.DeleteResult, error) {
	if err := meta.CheckDeletes(deletes); err != nil {
		return nil, err
	}
	t, err := s.begin(ctx, frees)
	if err != nil {
		return nil, err
	}
	if !t.enter(bucket) {
		return nil, t.decided(noBucket(bucket))
	}
	rows := make([][]byte, len(deletes))
	for i, d := range deletes {
		rows[i] = rowOf(tableListed, bucket, d.Key)
	}
	t.lock(rows...)
	results := make([]meta.DeleteResult, len(deletes))
	gone := make(map[string]struct{}, len(deletes))
	for i, d := range deletes {
		_, happened, err := s.committed(d.Commit)
		if err != nil {
			return nil, t.abandon(err)
		}
		if happened {
			results[i].Existed = true
			continue
		}
		c, err := t.current(bucket, d.Key)
		if err != nil {
			return nil, t.abandon(err)
		}
		if _, twice := gone[d.Key]; twice {
			c = current{}
		}
		results[i].Existed = c.exists
		if results[i].Err = d.Condition.Check(d.Key, c.exists, c.etag); results[i].Err != nil || !c.exists {
			continue
		}
		if err := t.forget(bucket, d.Key, c); err != nil {
			return nil, t.abandon(err)
		}
		gone[d.Key] = struct{}{}
		t.remember(d.Commit, 0)
		t.delete(rows[i])
		t.delete(rowOf(tableObject, bucket, d.Key))
	}
	return results, t.commit()
}
