package snapshot

import (
	"io"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/convert"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// content is what a snapshot has before its objects.
type content struct {
	Manifest
	buckets []meta.Bucket
	keys    []meta.Key
}

// object is an object of a snapshot with its chunks.
type object struct {
	bucket uuid.UUID
	meta.Object
	chunks [][]meta.Chunk // of each part
}

// whole reports whether the chunks are those of the object, without a gap.
func (o *object) whole() bool {
	for i, part := range o.Parts {
		var end uint64
		for _, c := range o.chunks[i] {
			if c.Offset != end || c.Length == 0 {
				return false
			}
			end += uint64(c.Length)
		}
		if end != uint64(part.Size) {
			return false
		}
	}
	return true
}

// read reads a whole snapshot. begun is called when buckets and keys are known, then each with the objects; what read
// has checked when it returns is that all of it is as it was written.
func read(r io.Reader, begun func(*content) error, each func(*object) error) (Manifest, error) {
	in, err := newReader(r)
	if err != nil {
		return Manifest{}, err
	}
	defer in.close()
	p := parser{begun: begun, each: each}
	for {
		record, err := in.next()
		if err == io.EOF {
			return p.Manifest, nil
		}
		if err == nil {
			err = p.record(record)
		}
		if err != nil {
			return p.Manifest, err
		}
	}
}

// parser puts records together.
type parser struct {
	content
	begun  func(*content) error
	each   func(*object) error
	listed bool // all buckets and keys were read
	object *object
}

func misplaced(what string) error {
	return damaged(nil, "a record is out of its place: %s", what)
}

func (p *parser) record(r *metadatav1.SnapshotRecord) (err error) {
	if p.ClusterID == uuid.Nil && r.GetBegin() == nil {
		return misplaced("the first")
	}
	switch r := r.GetRecord().(type) {
	case *metadatav1.SnapshotRecord_Begin:
		p.Taken = convert.TimeFrom(r.Begin.GetTaken())
		p.ClusterID, err = convert.IDFrom(r.Begin.GetClusterId())
	case *metadatav1.SnapshotRecord_Bucket:
		var b meta.Bucket
		b, err = convert.BucketFrom(r.Bucket)
		p.buckets, p.Buckets = append(p.buckets, b), p.Buckets+1
	case *metadatav1.SnapshotRecord_Key:
		var k meta.Key
		k, err = convert.KeyFrom(r.Key)
		p.keys, p.Keys = append(p.keys, k), p.Keys+1
	case *metadatav1.SnapshotRecord_Object:
		return p.begin(r.Object)
	case *metadatav1.SnapshotRecord_Chunks:
		return p.add(r.Chunks)
	case *metadatav1.SnapshotRecord_ObjectEnd:
		return p.end(r.ObjectEnd.GetIncomplete())
	case *metadatav1.SnapshotRecord_End:
		return p.finish(r.End.GetCounts())
	default:
		return damaged(nil, "it has a record of a kind that is not known here: was it written by a newer version?")
	}
	return err
}

func (p *parser) list() error {
	if p.listed {
		return nil
	}
	p.listed = true
	return p.begun(&p.content)
}

func (p *parser) begin(r *metadatav1.SnapshotObject) error {
	if p.object != nil {
		return misplaced("an object in another")
	}
	if err := p.list(); err != nil {
		return err
	}
	bucket, err := convert.IDFrom(r.GetBucket())
	if err != nil {
		return err
	}
	o, err := convert.ObjectFrom(r.GetObject())
	p.object = &object{bucket: bucket, Object: o, chunks: make([][]meta.Chunk, len(o.Parts))}
	return err
}

func (p *parser) add(r *metadatav1.SnapshotChunks) error {
	if p.object == nil || int(r.GetPart()) >= len(p.object.chunks) {
		return misplaced("chunks without object")
	}
	chunks, err := convert.ChunksFrom(r.GetChunks())
	p.object.chunks[r.GetPart()] = append(p.object.chunks[r.GetPart()], chunks...)
	return err
}

func (p *parser) end(incomplete bool) error {
	o := p.object
	if o == nil {
		return misplaced("the end of an object")
	}
	if p.object = nil; incomplete {
		return nil
	}
	if !o.whole() {
		return damaged(nil, "it lacks chunks of the object %q", o.Key)
	}
	p.Objects++
	p.Bytes += o.Size
	return p.each(o)
}

func (p *parser) finish(r *metadatav1.Snapshot) error {
	if p.object != nil {
		return misplaced("the end in an object")
	}
	if err := p.list(); err != nil {
		return err
	}
	p.Incomplete = r.GetIncomplete()
	want := Manifest{Buckets: r.GetBuckets(), Keys: r.GetKeys(), Objects: r.GetObjects(), Bytes: r.GetBytes(), Incomplete: r.GetIncomplete()}
	if p.counts() != want.counts() {
		return damaged(nil, "it says that it has %v buckets, keys, objects, bytes and incomplete objects, and has %v", want.counts(), p.counts())
	}
	return nil
}

// Verify reads a whole snapshot and says what is wrong with it. Kinds: Corrupted.
func Verify(r io.Reader, progress Progress) (Manifest, error) {
	known := make(map[uuid.UUID]bool)
	var objects Manifest
	return read(r, func(c *content) error {
		objects = c.Manifest
		for _, b := range c.buckets {
			known[b.ID] = true
		}
		return nil
	}, func(o *object) error {
		if !known[o.bucket] {
			return damaged(nil, "the object %q is in no bucket", o.Key)
		}
		objects.Objects++
		objects.Bytes += o.Size
		if objects.Objects%sayEvery == 0 && progress != nil {
			progress(objects)
		}
		return errors.Wrap(errors.Corrupted, meta.CheckKey(o.Key), "the snapshot is damaged")
	})
}
