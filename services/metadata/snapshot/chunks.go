package snapshot

import (
	"context"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/convert"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

const (
	piece     = 1 << 20 // bytes of a chunk
	rowsAtOne = 32      // chunks whose rows are added together
)

// What the object of a snapshot says about it.
const (
	sayCode    = "recovery-code"
	sayBuckets = "buckets"
	sayKeys    = "keys"
	sayObjects = "objects"
	sayBytes   = "bytes"
	sayTaken   = "taken"
)

// Kept is a snapshot in chunks.
type Kept struct {
	Name string
	Manifest
	Size int64
	Code string
}

// Keep stores the snapshot that r has as an object of that name, and returns its recovery code.
func Keep(ctx context.Context, t Target, name string, m Manifest, r io.Reader) (code string, err error) {
	bucket, err := ensureBucket(ctx, t)
	if err != nil {
		return "", err
	}
	id, err := meta.NewUploadID(t.Clock.Now(), t.Random)
	if err != nil {
		return "", err
	}
	k := &keeper{restorer: &restorer{Target: t}, ref: meta.UploadRef{Bucket: bucket, Key: name, ID: id}}
	if err := k.do(ctx, func(ctx context.Context) error { return t.Store.BeginUpload(ctx, meta.Upload{UploadRef: k.ref}) }); err != nil {
		return "", err
	}
	if code, err = k.keep(ctx, m, r); err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		if e := t.Store.AbortUpload(ctx, k.ref); e != nil && !errors.Is(e, errors.NotFound) {
			err = errors.Annotate(err, "(and its upload was not aborted: %v)", e)
		}
	}
	return code, err
}

func ensureBucket(ctx context.Context, t Target) (uuid.UUID, error) {
	b, err := call(ctx, func(ctx context.Context) (meta.Bucket, error) { return t.Store.Bucket(ctx, Bucket) })
	if err == nil || !errors.Is(err, errors.NotFound) {
		return b.ID, err
	}
	if b.ID, err = clock.NewUUID(t.Random); err != nil {
		return uuid.Nil, errors.Wrap(errors.Internal, err, "drawing the ID of a bucket")
	}
	b.Name = Bucket
	_, err = call(ctx, func(ctx context.Context) (int, error) { return 0, t.Store.CreateBucket(ctx, b) })
	if errors.Is(err, errors.AlreadyExists) { // another service was faster
		b, err = call(ctx, func(ctx context.Context) (meta.Bucket, error) { return t.Store.Bucket(ctx, Bucket) })
	}
	return b.ID, err
}

type keeper struct {
	*restorer
	ref    meta.UploadRef
	size   int64
	rows   []meta.Chunk // of all chunks
	unsaid []meta.Chunk // of which the rows are not added yet
}

func (k *keeper) keep(ctx context.Context, m Manifest, r io.Reader) (string, error) {
	for end := false; !end; {
		p := make([]byte, piece)
		n, err := io.ReadFull(r, p)
		if end = errors.IsTarget(err, io.EOF) || errors.IsTarget(err, io.ErrUnexpectedEOF); err != nil && !end {
			return "", errors.Wrap(errors.Internal, err, "reading the snapshot %s", k.ref.Key)
		}
		if n > 0 {
			if _, err := k.put(ctx, p[:n]); err != nil {
				return "", err
			}
		}
	}
	content := k.size
	root, err := proto.Marshal(&metadatav1.SnapshotRoot{ClusterId: m.ClusterID[:], Taken: convert.Time(m.Taken), Chunks: convert.Chunks(k.rows)})
	if err != nil {
		return "", errors.Wrap(errors.Internal, err, "writing the root of a snapshot")
	}
	if len(root) > chunk.MaxSize {
		return "", errors.Newf(errors.Invalid, "a snapshot of %d bytes is too large to be kept in chunks", content)
	}
	hash, err := k.put(ctx, root)
	if err != nil {
		return "", err
	}
	code := Code(hash)
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	put := meta.Put{
		Bucket: k.ref.Bucket, Key: k.ref.Key, Upload: k.ref.ID, Size: k.size, ETag: hash.String()[:32], First: k.rows[0], Chunks: k.unsaid,
		Attributes: meta.Attributes{ContentType: "application/zstd", User: map[string]string{
			sayCode: code, sayBuckets: number(m.Buckets), sayKeys: number(m.Keys), sayObjects: number(m.Objects), sayBytes: number(m.Bytes),
			sayTaken: number(convert.Time(m.Taken)),
		}},
	}
	return code, k.do(ctx, func(ctx context.Context) error { _, err := k.Store.PutObject(ctx, put); return err })
}

// put stores a chunk behind the others.
func (k *keeper) put(ctx context.Context, p []byte) (chunk.Hash, error) {
	data := buffer.FromBytes(p)
	defer data.Release()
	c := meta.Chunk{Offset: uint64(k.size), Length: uint32(len(p)), Hash: chunk.HashOf(data)}
	outcome, err := k.retry(ctx, func(ctx context.Context) (chunk.Outcome, error) {
		return k.Chunks.Put(ctx, c.Hash, data, chunk.Ref{Attempt: k.ref.ID, Offset: c.Offset})
	})
	if err == nil && outcome != chunk.Stored {
		err = errors.E(errors.Internal, errors.Chunk, c.Hash.String(), "storing a chunk of the snapshot was answered with %q", outcome)
	}
	if err != nil {
		return c.Hash, err
	}
	k.size += int64(len(p))
	k.rows, k.unsaid = append(k.rows, c), append(k.unsaid, c)
	if len(k.unsaid) == rowsAtOne {
		err = k.do(ctx, func(ctx context.Context) error { return k.Store.AddChunks(ctx, k.ref, k.ref.ID, k.unsaid) })
		k.unsaid = nil
	}
	return c.Hash, err
}

// ListKept lists the snapshots in chunks, oldest first.
func ListKept(ctx context.Context, store meta.Store) ([]Kept, error) {
	b, err := call(ctx, func(ctx context.Context) (meta.Bucket, error) { return store.Bucket(ctx, Bucket) })
	if errors.Is(err, errors.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Kept
	for r := (meta.List{Bucket: b.ID, Limit: page}); ; {
		list, err := call(ctx, func(ctx context.Context) (meta.Page, error) { return store.List(ctx, r) })
		if err != nil {
			return nil, err
		}
		for _, l := range list.Objects {
			o, err := call(ctx, func(ctx context.Context) (meta.Object, error) { return store.Object(ctx, b.ID, l.Key) })
			if errors.Is(err, errors.NotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
			all = append(all, keptOf(&o))
		}
		if r.After = list.Next; !list.More {
			slices.SortStableFunc(all, func(a, b Kept) int { return a.Taken.Compare(b.Taken) })
			return all, nil
		}
	}
}

func keptOf(o *meta.Object) Kept {
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(o.User[name], 10, 64) // what is not there is shown as 0
		return n
	}
	k := Kept{Name: o.Key, Size: o.Size, Code: o.User[sayCode]}
	k.Taken = convert.TimeFrom(number(sayTaken))
	k.Buckets, k.Keys, k.Objects, k.Bytes = number(sayBuckets), number(sayKeys), number(sayObjects), number(sayBytes)
	return k
}

// Forget removes snapshots that are kept in chunks.
func Forget(ctx context.Context, store meta.Store, names ...string) error {
	b, err := call(ctx, func(ctx context.Context) (meta.Bucket, error) { return store.Bucket(ctx, Bucket) })
	if err != nil {
		return err
	}
	var deletes []meta.Delete
	for _, name := range names {
		deletes = append(deletes, meta.Delete{Key: name})
	}
	results, err := call(ctx, func(ctx context.Context) ([]meta.DeleteResult, error) { return store.DeleteObjects(ctx, b.ID, deletes) })
	for _, r := range results {
		err = errors.Join(err, r.Err)
	}
	return err
}

// Recover reads the snapshot that a recovery code names, from chunk-nodes alone. Kinds: Invalid if that is no code; NotFound, Corrupted.
func Recover(ctx context.Context, chunks chunk.Store, code string) (io.Reader, error) {
	hash, err := ParseCode(code)
	if err != nil {
		return nil, err
	}
	content, err := get(ctx, chunks, hash)
	if err != nil {
		return nil, errors.Annotate(err, "reading the root of the snapshot")
	}
	var root metadatav1.SnapshotRoot
	if err := proto.Unmarshal(content, &root); err != nil {
		return nil, damaged(err, "its root cannot be read")
	}
	rows, err := convert.ChunksFrom(root.GetChunks())
	return &chunkReader{ctx: ctx, chunks: chunks, rows: rows}, err
}

// get reads a chunk and gives its memory back to the pool at once: it is held for as long as its objects take.
func get(ctx context.Context, chunks chunk.Store, h chunk.Hash) ([]byte, error) {
	return call(ctx, func(ctx context.Context) ([]byte, error) {
		data, err := chunks.Get(ctx, h)
		if err != nil {
			return nil, err
		}
		defer data.Release()
		return data.Bytes(), nil
	})
}

// chunkReader reads chunks one after the other.
type chunkReader struct {
	ctx    context.Context
	chunks chunk.Store
	rows   []meta.Chunk
	data   []byte
}

// Read implements io.Reader.
func (r *chunkReader) Read(p []byte) (int, error) {
	for wait := firstWait; len(r.data) == 0; {
		if len(r.rows) == 0 {
			return 0, io.EOF
		}
		data, err := get(r.ctx, r.chunks, r.rows[0].Hash)
		if errors.Is(err, errors.Unavailable) || errors.Is(err, errors.Overloaded) || errors.Is(err, errors.Deadline) {
			if wait > firstWait<<tries {
				return 0, err
			}
			if e := clock.Sleep(r.ctx, clock.System{}, wait); e != nil {
				return 0, errors.Join(err, e)
			}
			wait *= 2
			continue
		}
		if err != nil {
			return 0, errors.Annotate(err, "reading a chunk of the snapshot")
		}
		r.data, r.rows = data, r.rows[1:]
	}
	n := copy(p, r.data)
	r.data = r.data[n:]
	return n, nil
}

// Name is that of a snapshot taken at the time: names are in the order of time.
func Name(taken time.Time) string { return taken.UTC().Format("20060102-150405.000000") }
