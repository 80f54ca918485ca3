package migrate

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

const (
	rows           = 100 // chunks read at a time
	progressEvery  = 30 * time.Second
	referredAtOnce = 8 // chunks of an attempt
	chunkMemory    = 32 << 20
	firstWait      = 250 * time.Millisecond
	lastWait       = 8 * time.Second
)

// errChanged is that an object is not what it was when it was read: another pass will find what it is now.
var errChanged = errors.New("the object changed")

// outcome is what became of an object.
type outcome uint8

const (
	isSame    outcome = iota // it was here
	isCopied                 // it is here now, or was deleted or replaced at the standalone meanwhile
	isDamaged                // at the standalone
)

// object makes an object here as it is at the standalone.
func (m *migration) object(ctx context.Context, b meta.Bucket, key string) (is outcome, err error) {
	err = m.retrySteps(ctx, func() (err error) { is, err = m.objectOnce(ctx, b, key); return err })
	return is, err
}

func (m *migration) objectOnce(ctx context.Context, b meta.Bucket, key string) (outcome, error) {
	var o meta.Object
	err := once(ctx, func(ctx context.Context) (err error) { o, err = m.source.Object(ctx, b.ID, key); return err })
	if errors.Is(err, errors.NotFound) {
		return isCopied, nil // it is a difference until the next pass
	}
	if err != nil {
		return 0, err
	}
	var t meta.Object
	err = once(ctx, func(ctx context.Context) (err error) { t, err = m.Store.Object(ctx, b.ID, key); return err })
	if err == nil && same(&o, &t) {
		return isSame, nil
	}
	if err != nil && !errors.Is(err, errors.NotFound) {
		return 0, err
	}
	if err = m.copyAs(ctx, b, &o); err == nil {
		err = m.visible(ctx, b, &o)
	}
	if !damages(err) {
		return isCopied, err
	}
	// It may have been replaced or deleted while it was read.
	var now meta.Object
	again := once(ctx, func(ctx context.Context) (err error) { now, err = m.source.Object(ctx, b.ID, key); return err })
	if errors.Is(again, errors.NotFound) || again == nil && now.Version != o.Version {
		return isCopied, nil
	}
	if again != nil {
		return 0, again
	}
	m.foundDamaged(name(b, key), err)
	return isDamaged, nil
}

// copyAs writes an object here as it was read at the standalone. Kinds: Corrupted, or NotFound (Chunk), if it cannot be read there.
func (m *migration) copyAs(ctx context.Context, b meta.Bucket, o *meta.Object) error {
	if len(o.Parts) == 0 {
		return m.commit(ctx, b, o, uuid.Nil)
	}
	err := m.upload(ctx, b, o)
	if err == errChanged {
		err = errors.E(errors.Corrupted, errors.Object, o.Key, "its list of chunks is not whole")
	}
	return err
}

// visible looks whether a copy shows. A database may remember a deletion of the key that is later than the object, and hide
// what is older: then the object gets the time of now.
func (m *migration) visible(ctx context.Context, b meta.Bucket, o *meta.Object) error {
	err := once(ctx, func(ctx context.Context) error { _, err := m.Store.Object(ctx, b.ID, o.Key); return err })
	if !errors.Is(err, errors.NotFound) {
		return err
	}
	late := *o
	late.Timestamp = 0
	return m.copyAs(ctx, b, &late)
}

// damages tells whether an error says that the standalone lacks bytes that it should have.
func damages(err error) bool {
	return errors.Is(err, errors.Corrupted) || errors.IsEntity(err, errors.NotFound, errors.Chunk)
}

// same tells whether a copy is what it should be. One that came above something newer has a later time.
func same(o, t *meta.Object) bool {
	return o.Size == t.Size && o.ETag == t.ETag && t.Timestamp >= o.Timestamp && o.Checksum == t.Checksum && o.Multipart == t.Multipart &&
		bytes.Equal(o.Inline, t.Inline) && o.ContentType == t.ContentType && o.StorageClass == t.StorageClass &&
		maps.Equal(o.Headers, t.Headers) && maps.Equal(o.User, t.User) && maps.Equal(o.Tags, t.Tags) &&
		slices.EqualFunc(o.Parts, t.Parts, func(a, b meta.ObjectPart) bool {
			return a.Number == b.Number && a.Size == b.Size && a.ETag == b.ETag && a.Checksum == b.Checksum
		})
}

// commit writes an object that one attempt wrote, or none.
func (m *migration) commit(ctx context.Context, b meta.Bucket, o *meta.Object, upload uuid.UUID) error {
	p := meta.Put{Bucket: b.ID, Key: o.Key, Upload: upload, Size: o.Size, ETag: o.ETag, Attributes: o.Attributes, Checksum: o.Checksum,
		Inline: o.Inline, First: o.First, Written: o.Timestamp}
	return m.write(ctx, b.ID, func(ctx context.Context) error { _, err := m.Store.PutObject(ctx, p); return err }, o.Key)
}

// upload copies an object whose body is in chunks.
func (m *migration) upload(ctx context.Context, b meta.Bucket, o *meta.Object) error {
	id, err := meta.NewUploadID(m.Clock.Now(), m.Random)
	if err != nil {
		return err
	}
	up := meta.Upload{UploadRef: meta.UploadRef{Bucket: b.ID, Key: o.Key, ID: id}, Multipart: o.Multipart, Attributes: o.Attributes,
		Checksum: meta.Checksum{Algorithm: o.Checksum.Algorithm, Type: o.Checksum.Type}}
	if err := m.onceSure(ctx, func(ctx context.Context) error { return m.Store.BeginUpload(ctx, up) }); err != nil {
		return err
	}
	if o.Multipart {
		err = m.multipart(ctx, o, up.UploadRef)
	} else if _, err = m.attempt(ctx, up.UploadRef, o.Parts[0].Attempt, o.Parts[0].Size, id); err == nil {
		err = m.commit(ctx, b, o, id)
	}
	if err != nil {
		// What was stored of it becomes garbage; an upload that is not ended by this is given up in time.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		if e := m.Store.AbortUpload(ctx, up.UploadRef); e != nil && !errors.Is(e, errors.NotFound) {
			m.Logger.Warn("an upload of a migration was not aborted", "bucket", b.Name, "key", o.Key, "error", e)
		}
	}
	return err
}

func (m *migration) multipart(ctx context.Context, o *meta.Object, ref meta.UploadRef) error {
	c := meta.Complete{UploadRef: ref, ETag: o.ETag, Checksum: o.Checksum, Written: o.Timestamp}
	for _, part := range o.Parts {
		p := meta.Part{Number: part.Number, Size: part.Size, ETag: part.ETag}
		if part.Checksum != "" {
			p.Checksum = meta.Checksum{Algorithm: o.Checksum.Algorithm, Type: o.Checksum.Type, Value: part.Checksum}
		}
		p, err := m.part(ctx, ref, p, part.Attempt)
		if err != nil {
			return err
		}
		c.Parts = append(c.Parts, p)
	}
	return m.write(ctx, c.Bucket, func(ctx context.Context) error { _, err := m.Store.CompleteUpload(ctx, c); return err }, c.Key)
}

// part copies a part that an attempt at the standalone wrote.
func (m *migration) part(ctx context.Context, ref meta.UploadRef, p meta.Part, from uuid.UUID) (meta.Part, error) {
	var err error
	if p.Attempt, err = clock.NewUUID(m.Random); err != nil {
		return p, errors.Wrap(errors.Internal, err, "drawing an attempt")
	}
	if err := m.onceSure(ctx, func(ctx context.Context) error { return m.Store.BeginPart(ctx, ref, p.Number, p.Attempt) }); err != nil {
		return p, err
	}
	if p.First, err = m.attempt(ctx, ref, from, p.Size, p.Attempt); err != nil {
		return p, err
	}
	return p, m.onceSure(ctx, func(ctx context.Context) error { _, err := m.Store.FinishPart(ctx, ref, p, nil); return err })
}

// attempt copies what an attempt wrote: the rows of some chunks, then a reference to each.
func (m *migration) attempt(ctx context.Context, ref meta.UploadRef, from uuid.UUID, size int64, to uuid.UUID) (first meta.Chunk, err error) {
	for at := uint64(0); at < uint64(size); {
		var some []meta.Chunk
		err := once(ctx, func(ctx context.Context) (err error) { some, err = m.source.Chunks(ctx, from, at, rows); return err })
		if err != nil {
			return first, err
		}
		for _, c := range some {
			if c.Offset != at || c.Length == 0 {
				return first, errChanged
			}
			if at == 0 {
				first = c
			}
			at += uint64(c.Length)
		}
		if len(some) == 0 || at > uint64(size) {
			return first, errChanged
		}
		if err := m.retrySure(ctx, func(ctx context.Context) error { return m.Store.AddChunks(ctx, ref, to, some) }); err != nil {
			return first, err
		}
		alive := atomic.Int64{} // when it was told that the upload is
		alive.Store(m.Clock.Now().UnixNano())
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(referredAtOnce)
		for _, c := range some {
			g.Go(func() error {
				if err := m.refer(ctx, c, chunk.Ref{Attempt: to, Offset: c.Offset}); err != nil {
					return err
				}
				last, now := alive.Load(), m.Clock.Now().UnixNano()
				if now-last < int64(progressEvery) || !alive.CompareAndSwap(last, now) {
					return nil
				}
				return m.retrySure(ctx, func(ctx context.Context) error { return m.Store.Progress(ctx, ref) })
			})
		}
		if err := g.Wait(); err != nil {
			return first, err
		}
	}
	return first, nil
}

// refer adds a reference to a chunk, and brings the chunk if the cluster lacks it.
func (m *migration) refer(ctx context.Context, c meta.Chunk, ref chunk.Ref) error {
	var outcome chunk.Outcome
	err := m.retry(ctx, func(ctx context.Context) (err error) { outcome, err = m.Chunks.PutRef(ctx, c.Hash, ref); return err })
	if err == nil && outcome == chunk.SendData {
		outcome, err = m.bring(ctx, c, ref)
	}
	if err == nil && outcome != chunk.Stored {
		return errors.E(errors.Internal, errors.Chunk, c.Hash.String(), "a new reference to it was refused as one that was removed before")
	}
	return err
}

func (m *migration) bring(ctx context.Context, c meta.Chunk, ref chunk.Ref) (outcome chunk.Outcome, err error) {
	if c.Length > chunk.MaxSize {
		return 0, errors.E(errors.Corrupted, errors.Chunk, c.Hash.String(), "the standalone lists it with %d bytes", c.Length)
	}
	if err := m.room.Acquire(ctx, int64(c.Length)); err != nil {
		return 0, err
	}
	defer m.room.Release(int64(c.Length))
	if err := m.limit.take(ctx, int64(c.Length)); err != nil {
		return 0, err
	}
	var data []byte
	if err := m.retry(ctx, func(ctx context.Context) (err error) { data, err = m.fetch(ctx, c); return err }); err != nil {
		return 0, err
	}
	m.bytes.Add(int64(len(data)))
	// The store looks whether the data has the hash.
	b := buffer.FromBytes(data)
	defer b.Release()
	err = m.retry(ctx, func(ctx context.Context) (err error) { outcome, err = m.Chunks.Put(ctx, c.Hash, b, ref); return err })
	return outcome, err
}

// fetch reads a chunk of the standalone. Kinds: NotFound, Corrupted.
func (m *migration) fetch(ctx context.Context, c meta.Chunk) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	stream, err := m.peer.GetChunk(ctx, &metadatav1.GetChunkRequest{Hash: c.Hash[:]})
	if err != nil {
		return nil, err
	}
	data := make([]byte, 0, c.Length)
	for {
		frame, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if data = append(data, frame.GetData()...); len(data) > int(c.Length) {
			break
		}
	}
	if len(data) != int(c.Length) {
		return nil, errors.E(errors.Corrupted, errors.Chunk, c.Hash.String(), "the standalone has it with another length than %d bytes", c.Length)
	}
	return data, nil
}
