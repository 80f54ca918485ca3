package snapshot

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/convert"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// Bucket holds the snapshots that are kept in chunks. Clients cannot name it, and nobody has a right on it.
const Bucket = ".metadata-snapshots"

const (
	page      = 500              // keys read at a time
	readers   = 16               // objects read at the same time
	rows      = 1000             // chunks in a record
	patience  = 30 * time.Second // for one call of the store
	rereads   = 3                // of an object whose chunks vanish
	sayEvery  = 1000             // objects between two words about progress
	listLimit = 1000
)

// Progress is told now and then how far something is. It must not wait.
type Progress func(Manifest)

type taker struct {
	store    meta.Store
	w        *writer
	m        Manifest
	progress Progress
}

// Take writes a snapshot of the store as it is from now on. Kinds: those of the store's reads; Internal if it cannot be written.
func Take(ctx context.Context, store meta.Store, now time.Time, w io.Writer, progress Progress) (Manifest, error) {
	info, err := call(ctx, store.Info)
	if err != nil {
		return Manifest{}, err
	}
	t := &taker{store: store, m: Manifest{ClusterID: info.ClusterID, Taken: now.UTC().Truncate(time.Microsecond)}, progress: progress}
	if t.w, err = newWriter(w); err != nil {
		return Manifest{}, err
	}
	err = t.w.write(&metadatav1.SnapshotRecord{Record: &metadatav1.SnapshotRecord_Begin{Begin: &metadatav1.SnapshotBegin{
		ClusterId: t.m.ClusterID[:], Taken: convert.Time(t.m.Taken),
	}}})
	if err != nil {
		return Manifest{}, err
	}
	buckets, err := t.buckets(ctx)
	if err != nil {
		return Manifest{}, err
	}
	if err := t.keys(ctx); err != nil {
		return Manifest{}, err
	}
	for _, b := range buckets {
		if err := t.objects(ctx, b); err != nil {
			return Manifest{}, errors.Annotate(err, "reading the bucket %s", b.Name)
		}
	}
	return t.m, t.w.end(t.m)
}

// call gives a call of the store its time.
func call[T any](ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return f(ctx)
}

func (t *taker) buckets(ctx context.Context) (all []meta.Bucket, err error) {
	for r := (meta.ListBuckets{Limit: listLimit}); ; {
		list, err := call(ctx, func(ctx context.Context) (meta.BucketPage, error) { return t.store.ListBuckets(ctx, r) })
		if err != nil {
			return nil, err
		}
		for _, b := range list.Buckets {
			r.After = b.Name
			if b.Name == Bucket {
				continue
			}
			all = append(all, b)
			t.m.Buckets++
			if err := t.w.write(&metadatav1.SnapshotRecord{Record: &metadatav1.SnapshotRecord_Bucket{Bucket: convert.Bucket(b)}}); err != nil {
				return nil, err
			}
		}
		if !list.More {
			return all, nil
		}
	}
}

func (t *taker) keys(ctx context.Context) error {
	for after := ""; ; {
		list, err := call(ctx, func(ctx context.Context) (meta.KeyPage, error) { return t.store.ListKeys(ctx, after, listLimit) })
		if err != nil {
			return err
		}
		for _, k := range list.Keys {
			after = k.AccessKey
			t.m.Keys++
			if err := t.w.write(&metadatav1.SnapshotRecord{Record: &metadatav1.SnapshotRecord_Key{Key: convert.Key(k)}}); err != nil {
				return err
			}
		}
		if !list.More {
			return nil
		}
	}
}

// objects writes the objects of a bucket. One that is deleted meanwhile has none any more.
func (t *taker) objects(ctx context.Context, b meta.Bucket) error {
	for r := (meta.List{Bucket: b.ID, Limit: page}); ; {
		list, err := call(ctx, func(ctx context.Context) (meta.Page, error) { return t.store.List(ctx, r) })
		if errors.IsEntity(err, errors.NotFound, errors.Bucket) {
			return nil
		}
		if err != nil {
			return err
		}
		found, err := t.readAll(ctx, b.ID, list.Objects)
		if err != nil {
			return err
		}
		for i := range found {
			if err := t.object(ctx, b.ID, list.Objects[i].Key, found[i]); err != nil {
				return err
			}
		}
		if !list.More {
			return nil
		}
		r.After = list.Next
	}
}

// readAll reads objects that were listed, some at the same time; nil is one that was deleted since.
func (t *taker) readAll(ctx context.Context, bucket uuid.UUID, listed []meta.Listed) ([]*meta.Object, error) {
	objects, problems := make([]*meta.Object, len(listed)), make([]error, len(listed))
	var work sync.WaitGroup
	for reader := range min(readers, len(listed)) {
		work.Go(func() {
			for i := reader; i < len(listed); i += readers {
				if objects[i], problems[i] = t.read(ctx, bucket, listed[i].Key); problems[i] != nil {
					return
				}
			}
		})
	}
	work.Wait()
	return objects, errors.Join(problems...)
}

func (t *taker) read(ctx context.Context, bucket uuid.UUID, key string) (*meta.Object, error) {
	o, err := call(ctx, func(ctx context.Context) (meta.Object, error) { return t.store.Object(ctx, bucket, key) })
	if errors.Is(err, errors.NotFound) {
		return nil, nil
	}
	return &o, err
}

// object writes an object with its chunks. When these are not all there it was replaced since it was read, or is damaged: it is read again.
func (t *taker) object(ctx context.Context, bucket uuid.UUID, key string, o *meta.Object) error {
	for tries := 0; o != nil; {
		whole, err := t.write(ctx, bucket, o)
		if err != nil {
			return err
		}
		if whole {
			t.m.Objects++
			t.m.Bytes += o.Size
			if t.m.Objects%sayEvery == 0 && t.progress != nil {
				t.progress(t.m)
			}
			return nil
		}
		again, err := t.read(ctx, bucket, key)
		if err != nil {
			return err
		}
		if again != nil && again.Version == o.Version {
			if tries++; tries == rereads {
				t.m.Incomplete++
				return nil
			}
		}
		o = again
	}
	return nil
}

// write writes an object and tells whether all of it was there.
func (t *taker) write(ctx context.Context, bucket uuid.UUID, o *meta.Object) (whole bool, err error) {
	err = t.w.write(&metadatav1.SnapshotRecord{Record: &metadatav1.SnapshotRecord_Object{Object: &metadatav1.SnapshotObject{
		Bucket: bucket[:], Object: convert.Object(o),
	}}})
	whole = true
	for i := 0; i < len(o.Parts) && whole && err == nil; i++ {
		whole, err = t.part(ctx, o, i)
	}
	if err != nil {
		return false, err
	}
	return whole, t.w.write(&metadatav1.SnapshotRecord{Record: &metadatav1.SnapshotRecord_ObjectEnd{ObjectEnd: &metadatav1.SnapshotObjectEnd{Incomplete: !whole}}})
}

func (t *taker) part(ctx context.Context, o *meta.Object, i int) (whole bool, err error) {
	part := o.Parts[i]
	for from := uint64(0); from < uint64(part.Size); {
		var chunks []meta.Chunk
		if len(o.Parts) == 1 && int64(o.First.Length) == part.Size {
			chunks = []meta.Chunk{o.First} // there is no other
		} else if chunks, err = call(ctx, func(ctx context.Context) ([]meta.Chunk, error) {
			return t.store.Chunks(ctx, part.Attempt, from, rows)
		}); err != nil {
			return false, err
		}
		for _, c := range chunks {
			if c.Offset != from || c.Length == 0 {
				return false, nil
			}
			from += uint64(c.Length)
		}
		if len(chunks) == 0 || from > uint64(part.Size) {
			return false, nil
		}
		if err := t.w.write(&metadatav1.SnapshotRecord{Record: &metadatav1.SnapshotRecord_Chunks{Chunks: &metadatav1.SnapshotChunks{
			Part: uint32(i), Chunks: convert.Chunks(chunks),
		}}}); err != nil {
			return false, err
		}
	}
	return true, nil
}
