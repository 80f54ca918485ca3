package metatest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// Random draws operations from a seed. What it draws does not depend on
// answers, so the same seed gives the same operations on every store.
type Random struct {
	rng     *rand.Rand
	clock   *clock.Manual
	buckets []meta.Bucket
	uploads []meta.Upload
	parts   map[uuid.UUID][]meta.Part // of an upload: all attempts, also those that failed
	commits []meta.Put                // tried before
	etags   int
}

// NewRandom makes a source of operations for stores that live on the clock, which it moves, backwards too.
func NewRandom(seed uint64, c *clock.Manual) *Random {
	return &Random{rng: rand.New(rand.NewPCG(seed, 0)), clock: c, parts: make(map[uuid.UUID][]meta.Part)}
}

// Op is one operation, to be run on any number of stores.
type Op struct {
	Name string
	run  func(ctx context.Context, s *Subject) (any, error)
}

// Subject is a store under comparison. It names versions by the order in which
// they were first seen, since two stores draw them differently.
type Subject struct {
	meta.Store
	versions map[meta.Version]int
	newest   map[string]clock.Timestamp // of each key that has an object
}

// NewSubject makes a subject of a store that operations will run on.
func NewSubject(s meta.Store) *Subject {
	return &Subject{Store: s, versions: make(map[meta.Version]int), newest: make(map[string]clock.Timestamp)}
}

// Run runs the operation and describes its answer. Errors that no operation of
// one caller may meet (everything but kinds of the contract) are returned.
func (o Op) Run(ctx context.Context, s *Subject) (string, error) {
	answer, err := o.run(ctx, s)
	if err != nil {
		switch errors.KindOf(err) {
		case errors.NotFound, errors.AlreadyExists, errors.NotEmpty, errors.PreconditionFailed, errors.Invalid:
			return fmt.Sprintf("%v of %s", errors.KindOf(err), errors.EntityOf(err)), nil
		}
		return "", fmt.Errorf("%s: %w", o.Name, err)
	}
	return fmt.Sprintf("%+v", answer), nil
}

// version names a version, and checks that a commit is above what was there before.
func (s *Subject) version(v meta.Version) int {
	n, known := s.versions[v]
	if !known {
		n = len(s.versions) + 1
		s.versions[v] = n
	}
	return n
}

func (s *Subject) committed(bucket uuid.UUID, key string, v meta.Version) (any, error) {
	_, repeated := s.versions[v]
	at := bucket.String() + key
	if !repeated {
		if last, exists := s.newest[at]; exists && v.Timestamp <= last {
			return nil, fmt.Errorf("the version of %q is %d, not above %d", key, v.Timestamp, last)
		}
		s.newest[at] = v.Timestamp
	}
	return s.version(v), nil
}

func (s *Subject) object(o meta.Object) string {
	n := s.version(o.Version)
	o.Version = meta.Version{}
	return fmt.Sprintf("%d %+v", n, o)
}

func pick[T any](r *Random, of []T) T { return of[r.rng.IntN(len(of))] }

func (r *Random) chance(percent int) bool { return r.rng.IntN(100) < percent }

func (r *Random) id() uuid.UUID {
	var id uuid.UUID
	for i := range id {
		id[i] = byte(r.rng.Uint32())
	}
	return id
}

var words = []string{"a", "b", "ab", "a/", "a/b", "a/b/c", "a//", "b/x", "b/y", "é", "\xff", "\xff/1", "z\x00z", "z", "a/c", "a/d"}

func (r *Random) bucket() meta.Bucket {
	if len(r.buckets) == 0 || r.chance(2) {
		return meta.Bucket{ID: r.id(), Name: "nowhere"}
	}
	return r.buckets[len(r.buckets)-1-r.rng.IntN(min(len(r.buckets), 3))]
}

func (r *Random) upload() meta.Upload {
	if len(r.uploads) == 0 || r.chance(2) {
		return meta.Upload{UploadRef: meta.UploadRef{Bucket: r.bucket().ID, Key: pick(r, words), ID: r.id()}}
	}
	return r.uploads[len(r.uploads)-1-r.rng.IntN(min(len(r.uploads), 8))]
}

// multipart is a recent multipart upload, mostly.
func (r *Random) multipart() meta.Upload {
	u := r.upload()
	for range 5 {
		if u.Multipart {
			break
		}
		u = r.upload()
	}
	return u
}

func (r *Random) etag() string {
	r.etags++
	return fmt.Sprintf("etag-%d", r.etags)
}

func (r *Random) condition() (c meta.Condition) {
	switch r.rng.IntN(10) {
	case 0:
		c.IfMatch = []string{"*"}
	case 1:
		c.IfNoneMatch = []string{"*"}
	case 2:
		c.IfMatch = []string{fmt.Sprintf("etag-%d", r.etags-r.rng.IntN(5)), fmt.Sprintf("etag-%d", r.etags)}
	}
	return c
}

func (r *Random) attributes() meta.Attributes {
	return pick(r, []meta.Attributes{{}, {ContentType: "text/plain"}, {User: map[string]string{"x": "y\xff"}, StorageClass: "REDUCED_REDUNDANCY"}, {Tags: map[string]string{"t": ""}}})
}

// Next draws an operation. It may move the clock.
func (r *Random) Next() Op {
	r.clock.Advance(time.Duration(r.rng.IntN(5000)) * time.Microsecond)
	if r.chance(3) {
		r.clock.Advance(time.Duration(r.rng.IntN(7200)-3600) * time.Second)
	}
	for {
		if op := r.draw(); op.run != nil {
			return op
		}
	}
}

func (r *Random) draw() Op {
	switch n := r.rng.IntN(100); {
	case n < 1 || len(r.buckets) < 2:
		return r.createBucket()
	case n < 2:
		b := r.bucket()
		return Op{"delete bucket " + b.Name, func(ctx context.Context, s *Subject) (any, error) { return nil, s.DeleteBucket(ctx, b.ID) }}
	case n < 6:
		return r.keys()
	case n < 24:
		p := meta.Put{Bucket: r.bucket().ID, Key: pick(r, words), ETag: r.etag(), Attributes: r.attributes(), Condition: r.condition()}
		p.Inline = bytes.Repeat([]byte{'x'}, r.rng.IntN(50))
		p.Size = int64(len(p.Inline))
		return r.commit(p)
	case n < 32:
		return r.beginUpload()
	case n < 40:
		return r.commitUpload()
	case n < 46:
		u := r.upload()
		attempt := u.ID
		if parts := r.parts[u.ID]; len(parts) > 0 {
			attempt = pick(r, parts).Attempt
		}
		chunks := chunksOf(attempt, 1+r.rng.IntN(5))
		return Op{"add chunks", func(ctx context.Context, s *Subject) (any, error) {
			return nil, s.AddChunks(ctx, u.UploadRef, attempt, chunks)
		}}
	case n < 56:
		return r.part()
	case n < 62:
		return r.complete()
	case n < 64:
		u := r.upload()
		return Op{"abort", func(ctx context.Context, s *Subject) (any, error) { return nil, s.AbortUpload(ctx, u.UploadRef) }}
	case n < 72:
		return r.deletes()
	case n < 92:
		return r.read()
	default:
		return r.garbage()
	}
}

func (r *Random) createBucket() Op {
	b := meta.Bucket{ID: r.id(), Name: fmt.Sprintf("bucket-%03d", len(r.buckets))}
	if r.chance(30) {
		b.Name = r.bucket().Name // taken, or of a bucket that was deleted
	}
	r.buckets = append(r.buckets, b)
	return Op{"create bucket " + b.Name, func(ctx context.Context, s *Subject) (any, error) { return nil, s.CreateBucket(ctx, b) }}
}

func (r *Random) commit(p meta.Put) Op {
	return Op{fmt.Sprintf("put %q %+v", p.Key, p.Condition), func(ctx context.Context, s *Subject) (any, error) {
		v, err := s.PutObject(ctx, p)
		if err != nil {
			return nil, err
		}
		return s.committed(p.Bucket, p.Key, v)
	}}
}

func (r *Random) beginUpload() Op {
	id, err := meta.NewUploadID(r.clock.Now(), rngReader{r.rng})
	u := meta.Upload{UploadRef: meta.UploadRef{Bucket: r.bucket().ID, Key: pick(r, words), ID: id}, Multipart: r.chance(50), Attributes: r.attributes()}
	r.uploads = append(r.uploads, u)
	return Op{"begin upload", func(ctx context.Context, s *Subject) (any, error) {
		return nil, errors.Join(err, s.BeginUpload(ctx, u))
	}}
}

// rngReader makes a reader of a generator.
type rngReader struct{ *rand.Rand }

func (r rngReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return len(p), nil
}

func (r *Random) commitUpload() Op {
	u := r.upload()
	chunks := chunksOf(u.ID, 1+r.rng.IntN(5))
	p := meta.Put{
		Bucket: u.Bucket, Key: u.Key, Upload: u.ID, Size: int64(len(chunks)) * 1000, ETag: r.etag(), Attributes: u.Attributes,
		First: chunks[0], Chunks: chunks, Condition: r.condition(),
	}
	if len(r.commits) > 0 && r.chance(20) {
		p = pick(r, r.commits) // once more
	}
	r.commits = append(r.commits, p)
	return r.commit(p)
}

func (r *Random) part() Op {
	u := r.multipart()
	parts := r.parts[u.ID]
	if len(parts) > 0 && r.chance(60) {
		p := pick(r, parts)
		chunks := chunksOf(p.Attempt, 1+r.rng.IntN(3))
		p.Size, p.First = int64(len(chunks))*1000, chunks[0]
		r.parts[u.ID] = append(parts, p)
		return Op{"finish part", func(ctx context.Context, s *Subject) (any, error) {
			got, err := s.FinishPart(ctx, u.UploadRef, p, chunks)
			got.Modified = time.Time{}
			return got, err
		}}
	}
	p := meta.Part{Number: 1 + r.rng.IntN(4), Attempt: r.id(), ETag: r.etag()}
	r.parts[u.ID] = append(parts, p)
	return Op{"begin part", func(ctx context.Context, s *Subject) (any, error) {
		return nil, s.BeginPart(ctx, u.UploadRef, p.Number, p.Attempt)
	}}
}

func (r *Random) complete() Op {
	u := r.multipart()
	c := meta.Complete{UploadRef: u.UploadRef, ETag: r.etag(), Condition: r.condition()}
	for n := 1; n <= 4; n++ {
		of := slices.DeleteFunc(slices.Clone(r.parts[u.ID]), func(p meta.Part) bool { return p.Number != n || p.Size == 0 })
		switch {
		case len(of) == 0 || r.chance(20):
		case r.chance(10):
			c.Parts = append(c.Parts, pick(r, of)) // maybe replaced
		default:
			c.Parts = append(c.Parts, of[len(of)-1])
		}
	}
	return Op{"complete", func(ctx context.Context, s *Subject) (any, error) {
		v, err := s.CompleteUpload(ctx, c)
		if err != nil {
			return nil, err
		}
		return s.committed(c.Bucket, c.Key, v)
	}}
}

func (r *Random) deletes() Op {
	b := r.bucket()
	var deletes []meta.Delete
	for range 1 + r.rng.IntN(5) {
		deletes = append(deletes, meta.Delete{Key: pick(r, words), Condition: meta.Condition{IfMatch: r.condition().IfMatch}})
	}
	return Op{"delete", func(ctx context.Context, s *Subject) (any, error) {
		results, err := s.DeleteObjects(ctx, b.ID, deletes)
		var answer strings.Builder
		for i, d := range results {
			fmt.Fprintf(&answer, "%v %v;", d.Existed, d.Err != nil && errors.KindOf(d.Err) != errors.Internal)
			if d.Err == nil {
				delete(s.newest, b.ID.String()+deletes[i].Key)
			}
		}
		return answer.String(), err
	}}
}
