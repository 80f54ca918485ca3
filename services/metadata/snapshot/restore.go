package snapshot

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

const (
	restoredAtOnce = 16 // objects
	referredAtOnce = 8  // chunks of an object
	tries          = 5  // of what fails for want of an answer
	firstWait      = 500 * time.Millisecond
)

// Lost is an object that was not restored.
type Lost struct {
	Bucket, Key string
	Problem     error
}

// Marks keeps, beside the metadata, that a restore has begun and not ended.
type Marks interface {
	// Restoring is when the snapshot was taken of which a restore has begun and not ended; zero: there is none.
	Restoring(ctx context.Context) (taken time.Time, err error)
	// SetRestoring marks that one has begun, or with zero that it has ended. It is durable when it returns, and may be repeated.
	SetRestoring(ctx context.Context, taken time.Time) error
}

// Target is where a snapshot is restored to.
type Target struct {
	Store  meta.Store
	Chunks chunk.Store
	Clock  clock.Clock
	Random clock.Random
	// Marks is where the restore says that it has begun and ended; nil: nowhere.
	Marks Marks
	// Progress and Lost are told how far it is, one at a time.
	Progress Progress
	Lost     func(Lost)
}

// Restore brings back what a snapshot has into a store that is empty, or into which the same snapshot was restored in part. Rights and
// keys come last. From before the first change until all is there the store is marked. The manifest counts what is there at the end. Kinds: Conflict if the store holds something else; Invalid if it is of another cluster; Corrupted if the
// snapshot is damaged; and those of chunks and metadata that do not answer: then begin again.
func Restore(ctx context.Context, t Target, r io.Reader) (Manifest, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &restorer{Target: t, stop: cancel, slots: make(chan struct{}, restoredAtOnce), names: make(map[uuid.UUID]string)}
	var all *content
	m, err := read(r, func(c *content) error {
		all = c
		return s.begin(ctx, c)
	}, func(o *object) error { return s.enqueue(ctx, o) })
	s.work.Wait()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if err != nil {
		return s.done, err
	}
	s.done.Taken, s.done.ClusterID, s.done.Incomplete = m.Taken, m.ClusterID, m.Incomplete
	if err := s.finish(ctx, all); err != nil {
		return s.done, err
	}
	return s.done, s.mark(ctx, time.Time{})
}

// mark says that the restore of the snapshot taken at that time begins or, with zero, has ended.
func (s *restorer) mark(ctx context.Context, taken time.Time) error {
	if s.Marks == nil {
		return nil
	}
	return s.do(ctx, func(ctx context.Context) error { return s.Marks.SetRestoring(ctx, taken) })
}

// begun reports whether a restore of the same snapshot was begun and broken off. Kinds: Conflict if it was one of another.
func (s *restorer) begun(ctx context.Context, taken time.Time) (bool, error) {
	if s.Marks == nil {
		return false, nil
	}
	marked, err := call(ctx, s.Marks.Restoring)
	if err == nil && !marked.IsZero() && !marked.Equal(taken) {
		err = errors.Newf(errors.Conflict, "a restore of the snapshot taken at %s was begun and has not ended: restore that one, or set this metadata aside and begin with new metadata", marked.Format(time.RFC3339Nano))
	}
	return !marked.IsZero(), err
}

type restorer struct {
	Target
	stop  context.CancelCauseFunc
	slots chan struct{}
	work  sync.WaitGroup
	names map[uuid.UUID]string // of buckets

	mu   sync.Mutex
	done Manifest
}

// begin makes the buckets, without rights, if the store has nothing else.
func (s *restorer) begin(ctx context.Context, c *content) error {
	info, err := call(ctx, s.Store.Info)
	if err != nil {
		return err
	}
	if info.ClusterID != c.ClusterID {
		return errors.Newf(errors.Invalid, "the snapshot is of the cluster %v, and this is %v: chunks of another cluster are not here. "+
			"A new metadata service belongs to the cluster that cluster-id says", c.ClusterID, info.ClusterID)
	}
	there, err := call(ctx, func(ctx context.Context) (meta.BucketPage, error) {
		return s.Store.ListBuckets(ctx, meta.ListBuckets{Limit: len(c.buckets) + 2})
	})
	if err != nil {
		return err
	}
	again, err := s.begun(ctx, c.Taken)
	if err != nil {
		return err
	}
	exists := make(map[uuid.UUID]bool)
	for _, b := range there.Buckets {
		of := slices.IndexFunc(c.buckets, func(o meta.Bucket) bool { return o.ID == b.ID && o.Name == b.Name })
		if b.Name != Bucket && (of < 0 || len(b.Grants) > 0 && !again) {
			return errors.E(errors.Conflict, errors.Bucket, b.Name,
				"the metadata is not empty: it has this bucket. A snapshot is restored into new metadata only; set the old aside first")
		}
		exists[b.ID] = true
	}
	if err := s.mark(ctx, c.Taken); err != nil {
		return err
	}
	for _, b := range c.buckets {
		s.names[b.ID] = b.Name
		s.done.Buckets++
		if exists[b.ID] {
			continue
		}
		b.Grants = nil
		if _, err := s.retry(ctx, func(ctx context.Context) (chunk.Outcome, error) { return 0, s.Store.CreateBucket(ctx, b) }); err != nil {
			return err
		}
	}
	return nil
}

// enqueue restores an object beside others.
func (s *restorer) enqueue(ctx context.Context, o *object) error {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	s.work.Go(func() {
		defer func() { <-s.slots }()
		err := s.object(ctx, o)
		if err != nil && !errors.Is(err, errors.NotFound) {
			s.stop(errors.Annotate(err, "restoring the object %q of the bucket %s", o.Key, s.names[o.bucket]))
			return
		}
		s.count(o, err)
	})
	return nil
}

func (s *restorer) count(o *object, lost error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if lost != nil {
		if s.Lost != nil {
			s.Lost(Lost{s.names[o.bucket], o.Key, lost})
		}
		return
	}
	s.done.Objects++
	s.done.Bytes += o.Size
	if s.done.Objects%sayEvery == 0 && s.Progress != nil {
		s.Progress(s.done)
	}
}

// object restores an object. Kinds: NotFound if its chunks are gone.
func (s *restorer) object(ctx context.Context, o *object) error {
	_, err := call(ctx, func(ctx context.Context) (meta.Object, error) { return s.Store.Object(ctx, o.bucket, o.Key) })
	if !errors.Is(err, errors.NotFound) {
		return err // it is there
	}
	if len(o.Parts) == 0 {
		return s.commit(ctx, o, uuid.Nil)
	}
	id, err := meta.NewUploadID(s.Clock.Now(), s.Random)
	if err != nil {
		return err
	}
	up := meta.Upload{UploadRef: meta.UploadRef{Bucket: o.bucket, Key: o.Key, ID: id}, Multipart: o.Multipart, Attributes: o.Attributes,
		Checksum: meta.Checksum{Algorithm: o.Checksum.Algorithm, Type: o.Checksum.Type}}
	if err := s.do(ctx, func(ctx context.Context) error { return s.Store.BeginUpload(ctx, up) }); err != nil {
		return err
	}
	if o.Multipart {
		err = s.multipart(ctx, o, up.UploadRef)
	} else if err = s.attempt(ctx, o, 0, up.UploadRef, id); err == nil {
		err = s.commit(ctx, o, id)
	}
	if err != nil {
		// What was stored of it is garbage, whatever this answers: an upload without progress is given up.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		if e := s.Store.AbortUpload(ctx, up.UploadRef); e != nil && !errors.Is(e, errors.NotFound) {
			err = errors.Annotate(err, "(and its upload was not aborted: %v)", e)
		}
	}
	return err
}

// commit writes an object that one attempt wrote, or none.
func (s *restorer) commit(ctx context.Context, o *object, upload uuid.UUID) error {
	p := meta.Put{Bucket: o.bucket, Key: o.Key, Upload: upload, Size: o.Size, ETag: o.ETag, Attributes: o.Attributes, Checksum: o.Checksum,
		Inline: o.Inline, First: o.First, Written: o.Timestamp}
	return s.do(ctx, func(ctx context.Context) error { _, err := s.Store.PutObject(ctx, p); return err })
}

func (s *restorer) multipart(ctx context.Context, o *object, ref meta.UploadRef) error {
	c := meta.Complete{UploadRef: ref, ETag: o.ETag, Checksum: o.Checksum, Written: o.Timestamp}
	for i, part := range o.Parts {
		attempt, err := clock.NewUUID(s.Random)
		if err != nil {
			return errors.Wrap(errors.Internal, err, "drawing an attempt")
		}
		if err := s.do(ctx, func(ctx context.Context) error { return s.Store.BeginPart(ctx, ref, part.Number, attempt) }); err != nil {
			return err
		}
		if err := s.attempt(ctx, o, i, ref, attempt); err != nil {
			return err
		}
		p := meta.Part{Number: part.Number, Attempt: attempt, Size: part.Size, ETag: part.ETag}
		if part.Checksum != "" {
			p.Checksum = meta.Checksum{Algorithm: o.Checksum.Algorithm, Type: o.Checksum.Type, Value: part.Checksum}
		}
		if len(o.chunks[i]) > 0 {
			p.First = o.chunks[i][0]
		}
		if err := s.do(ctx, func(ctx context.Context) error { _, err := s.Store.FinishPart(ctx, ref, p, nil); return err }); err != nil {
			return err
		}
		c.Parts = append(c.Parts, p)
	}
	return s.do(ctx, func(ctx context.Context) error { _, err := s.Store.CompleteUpload(ctx, c); return err })
}

// attempt adds the chunks of a part: the row of each follows its reference or comes with it, so that what is stored is known.
func (s *restorer) attempt(ctx context.Context, o *object, part int, ref meta.UploadRef, attempt uuid.UUID) error {
	for some := range slices.Chunk(o.chunks[part], rows) {
		if err := s.do(ctx, func(ctx context.Context) error { return s.Store.AddChunks(ctx, ref, attempt, some) }); err != nil {
			return err
		}
		problems := make([]error, referredAtOnce)
		var work sync.WaitGroup
		for worker := range min(referredAtOnce, len(some)) {
			work.Go(func() {
				for i := worker; i < len(some) && problems[worker] == nil; i += referredAtOnce {
					problems[worker] = s.refer(ctx, some[i].Hash, chunk.Ref{Attempt: attempt, Offset: some[i].Offset})
				}
			})
		}
		work.Wait()
		if err := worst(problems); err != nil {
			return err
		}
	}
	return nil
}

// worst is an error that ends the restore before one that costs an object.
func worst(errs []error) (err error) {
	for _, e := range errs {
		if e != nil && (err == nil || errors.Is(err, errors.NotFound)) {
			err = e
		}
	}
	return err
}

// refer adds a reference to a chunk. Kinds: NotFound if it is gone.
func (s *restorer) refer(ctx context.Context, h chunk.Hash, ref chunk.Ref) error {
	outcome, err := s.retry(ctx, func(ctx context.Context) (chunk.Outcome, error) { return s.Chunks.PutRef(ctx, h, ref) })
	if err == nil && outcome == chunk.SendData {
		// Where it belongs it is not; who holds it otherwise may give it.
		outcome, err = s.retry(ctx, func(ctx context.Context) (chunk.Outcome, error) {
			data, err := s.Chunks.Get(ctx, h)
			if err != nil {
				return 0, err
			}
			defer data.Release()
			return s.Chunks.Put(ctx, h, data, ref)
		})
	}
	switch {
	case errors.Is(err, errors.NotFound), errors.Is(err, errors.Corrupted), err == nil && outcome != chunk.Stored:
		return errors.Join(errors.E(errors.NotFound, errors.Chunk, h.String(), "no chunk-node has a good copy of it any more"), err)
	}
	return err
}

func (s *restorer) do(ctx context.Context, f func(context.Context) error) error {
	_, err := s.retry(ctx, func(ctx context.Context) (chunk.Outcome, error) { return 0, f(ctx) })
	return err
}

// retry tries again what got no answer: for some seconds, since nodes come and go. All that is done here may be repeated.
func (s *restorer) retry(ctx context.Context, f func(context.Context) (chunk.Outcome, error)) (outcome chunk.Outcome, err error) {
	wait := firstWait
	for range tries {
		outcome, err = call(ctx, f)
		switch errors.KindOf(err) {
		case errors.Unavailable, errors.Overloaded, errors.Deadline:
		default:
			return outcome, err
		}
		if e := clock.Sleep(ctx, s.Clock, wait); e != nil {
			return outcome, errors.Join(err, e)
		}
		wait *= 2
	}
	return outcome, err
}

// finish brings back keys, then rights.
func (s *restorer) finish(ctx context.Context, c *content) error {
	for _, k := range c.keys {
		err := s.do(ctx, func(ctx context.Context) error { return s.Store.CreateKey(ctx, k) })
		if err != nil && !errors.Is(err, errors.AlreadyExists) {
			return errors.Annotate(err, "restoring the key %s", k.AccessKey)
		}
		s.done.Keys++
	}
	for _, b := range c.buckets {
		for _, g := range b.Grants {
			if err := s.do(ctx, func(ctx context.Context) error { return s.Store.SetGrant(ctx, b.ID, g) }); err != nil {
				return errors.Annotate(err, "restoring who may use the bucket %s", b.Name)
			}
		}
	}
	return nil
}
