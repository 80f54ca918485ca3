package snapshot

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	chunkmemory "deuxfleurs.fr/garage/pkg/chunk/memory"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/memory"
)

// garage is metadata and chunks of one cluster.
type garage struct {
	*testing.T
	ctx    context.Context
	store  meta.Store
	chunks chunk.Store
	bucket meta.Bucket
}

// fixed is a source of randomness whose first UUID is the cluster's, so that two stores are of one cluster.
type fixed struct{ cluster uuid.UUID }

func (f *fixed) Read(p []byte) (int, error) {
	if f.cluster == uuid.Nil {
		return clock.SystemRandom.Read(p)
	}
	n := copy(p, f.cluster[:])
	f.cluster = uuid.Nil
	return n, nil
}

var cluster = uuid.MustParse("3f0c1f0e-0000-4000-8000-000000000000")

func newGarage(t *testing.T) *garage {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	g := &garage{T: t, ctx: ctx, chunks: chunkmemory.New(uuid.New()), bucket: meta.Bucket{ID: uuid.New(), Name: "photos", Owner: "ann"}}
	g.store = g.empty(cluster)
	require.NoError(t, g.store.CreateBucket(ctx, g.bucket))
	return g
}

// empty is new metadata.
func (g *garage) empty(id uuid.UUID) meta.Store {
	s, err := memory.New(clock.System{}, &fixed{id})
	require.NoError(g, err)
	return s
}

// body writes a body of chunks for an attempt.
func (g *garage) body(attempt uuid.UUID, pieces ...string) (chunks []meta.Chunk, size int64) {
	for _, p := range pieces {
		b := buffer.FromBytes([]byte(p))
		c := meta.Chunk{Offset: uint64(size), Length: uint32(len(p)), Hash: chunk.HashOf(b)}
		outcome, err := g.chunks.Put(g.ctx, c.Hash, b, chunk.Ref{Attempt: attempt, Offset: c.Offset})
		require.NoError(g, err)
		require.Equal(g, chunk.Stored, outcome)
		b.Release()
		chunks, size = append(chunks, c), size+int64(len(p))
	}
	return chunks, size
}

func (g *garage) single(key string, pieces ...string) {
	ref := meta.UploadRef{Bucket: g.bucket.ID, Key: key, ID: uuid.New()}
	require.NoError(g, g.store.BeginUpload(g.ctx, meta.Upload{UploadRef: ref}))
	chunks, size := g.body(ref.ID, pieces...)
	_, err := g.store.PutObject(g.ctx, meta.Put{Bucket: ref.Bucket, Key: key, Upload: ref.ID, Size: size, ETag: "etag-" + key, First: chunks[0], Chunks: chunks,
		Attributes: meta.Attributes{ContentType: "x/y", User: map[string]string{"a": "b\xff"}, Tags: map[string]string{"t": "u"}},
		Checksum:   meta.Checksum{Algorithm: "CRC32", Type: "FULL_OBJECT", Value: "AAAA"}})
	require.NoError(g, err)
}

func (g *garage) multipart(key string, parts ...[]string) {
	ref := meta.UploadRef{Bucket: g.bucket.ID, Key: key, ID: uuid.New()}
	up := meta.Upload{UploadRef: ref, Multipart: true, Attributes: meta.Attributes{ContentType: "m/p"}, Checksum: meta.Checksum{Algorithm: "SHA1", Type: "COMPOSITE"}}
	require.NoError(g, g.store.BeginUpload(g.ctx, up))
	c := meta.Complete{UploadRef: ref, ETag: "e-2", Checksum: meta.Checksum{Algorithm: "SHA1", Type: "COMPOSITE", Value: "BBBB-2"}}
	for i, pieces := range parts {
		p := meta.Part{Number: 3*i + 1, Attempt: uuid.New(), ETag: fmt.Sprint("p", i), Checksum: meta.Checksum{Algorithm: "SHA1", Value: fmt.Sprint("c", i)}}
		require.NoError(g, g.store.BeginPart(g.ctx, ref, p.Number, p.Attempt))
		var chunks []meta.Chunk
		chunks, p.Size = g.body(p.Attempt, pieces...)
		p.First = chunks[0]
		_, err := g.store.FinishPart(g.ctx, ref, p, chunks)
		require.NoError(g, err)
		c.Parts = append(c.Parts, p)
	}
	_, err := g.store.CompleteUpload(g.ctx, c)
	require.NoError(g, err)
}

// fill makes something of everything.
func (g *garage) fill() {
	_, err := g.store.PutObject(g.ctx, meta.Put{Bucket: g.bucket.ID, Key: "inline\xff", Size: 2, Inline: []byte("hi"), ETag: "i"})
	require.NoError(g, err)
	_, err = g.store.PutObject(g.ctx, meta.Put{Bucket: g.bucket.ID, Key: "empty", ETag: "e"})
	require.NoError(g, err)
	g.single("one", "abc")
	g.single("many", "abc", "defg", "abc", "h")
	g.multipart("parts", []string{"abc", "defg"}, []string{"z"})
	require.NoError(g, g.store.CreateKey(g.ctx, meta.Key{AccessKey: "GK1", Secret: "s", Name: "n", CreateBuckets: true, Created: time.UnixMicro(7).UTC()}))
	for grantee, rights := range map[string]identity.Rights{"GK1": identity.Read, identity.Group("g"): identity.Write} {
		require.NoError(g, g.store.SetGrant(g.ctx, g.bucket.ID, meta.Grant{Grantee: grantee, Rights: rights}))
	}
	require.NoError(g, g.store.BeginUpload(g.ctx, meta.Upload{UploadRef: meta.UploadRef{Bucket: g.bucket.ID, Key: "open", ID: uuid.New()}}))
}

func (g *garage) take() []byte {
	g.Helper()
	var b bytes.Buffer
	_, err := Take(g.ctx, g.store, time.Now(), &b, nil)
	require.NoError(g, err)
	return b.Bytes()
}

func (g *garage) target(s meta.Store) Target {
	return Target{Store: s, Chunks: g.chunks, Clock: clock.System{}, Random: clock.SystemRandom}
}

// shown is what clients see of a store: of each key the object without version ID and attempts, and its bytes.
func (g *garage) shown(s meta.Store) map[string]string {
	g.Helper()
	shown := make(map[string]string)
	list, err := s.List(g.ctx, meta.List{Bucket: g.bucket.ID, Limit: 1000})
	require.NoError(g, err)
	for _, l := range list.Objects {
		o, err := s.Object(g.ctx, g.bucket.ID, l.Key)
		require.NoError(g, err)
		body := string(o.Inline)
		o.Parts = slices.Clone(o.Parts)
		for i := range o.Parts {
			chunks, err := s.Chunks(g.ctx, o.Parts[i].Attempt, 0, 1000)
			require.NoError(g, err)
			for _, c := range chunks {
				b, err := g.chunks.Get(g.ctx, c.Hash)
				require.NoError(g, err)
				body += string(b.Bytes())
				b.Release()
			}
			o.Parts[i].Attempt = uuid.Nil
		}
		require.Len(g, body, int(o.Size))
		o.ID = uuid.Nil
		shown[l.Key] = fmt.Sprintf("%+v: %s", o, body)
	}
	return shown
}

// forget removes all references of the old metadata, as long collection does for a store that it is not in.
func (g *garage) forget(keys ...string) {
	for _, key := range keys {
		o, err := g.store.Object(g.ctx, g.bucket.ID, key)
		require.NoError(g, err)
		for _, a := range o.Attempts() {
			chunks, err := g.store.Chunks(g.ctx, a, 0, 1000)
			require.NoError(g, err)
			for _, c := range chunks {
				require.NoError(g, g.chunks.Delete(g.ctx, c.Hash, chunk.Ref{Attempt: a, Offset: c.Offset}))
			}
		}
	}
}

func TestWhatASnapshotHasIsRestoredAsItWas(t *testing.T) {
	g := newGarage(t)
	g.fill()
	s := g.empty(cluster)
	m, err := Restore(g.ctx, g.target(s), bytes.NewReader(g.take()))
	require.NoError(t, err)
	require.Equal(t, [5]int64{1, 1, 5, 2 + 3 + 11 + 8, 0}, m.counts())
	want := g.shown(g.store)
	require.Len(t, want, 5)
	g.forget("one", "many", "parts") // the new references keep the chunks
	require.Equal(t, want, g.shown(s))
	for name, list := range map[string]func(meta.Store) (any, error){
		"buckets": func(s meta.Store) (any, error) { return s.ListBuckets(g.ctx, meta.ListBuckets{Limit: 10}) },
		"keys":    func(s meta.Store) (any, error) { return s.ListKeys(g.ctx, "", 10) },
	} {
		before, err := list(g.store)
		require.NoError(t, err)
		after, err := list(s)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(before), fmt.Sprint(after), name)
	}
	u, err := s.Usage(g.ctx, g.bucket.ID)
	require.NoError(t, err)
	require.Equal(t, meta.Usage{Objects: 5, Bytes: 24}, u)
}

func TestASnapshotIsReadFromItsRecoveryCodeAlone(t *testing.T) {
	g := newGarage(t)
	g.fill()
	noise := make([]byte, 3*piece)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	for i := range 48 { // does not compress: a snapshot of several chunks
		_, err := g.store.PutObject(g.ctx, meta.Put{Bucket: g.bucket.ID, Key: fmt.Sprint("n", i), Size: 64 << 10, Inline: noise[i<<16 : (i+1)<<16], ETag: "n"})
		require.NoError(t, err)
	}
	stream := g.take()
	m, err := Verify(bytes.NewReader(stream), nil)
	require.NoError(t, err)
	code, err := Keep(g.ctx, g.target(g.store), Name(m.Taken), m, bytes.NewReader(stream))
	require.NoError(t, err)
	kept, err := ListKept(g.ctx, g.store)
	require.NoError(t, err)
	require.Len(t, kept, 1)
	require.Equal(t, code, kept[0].Code)
	require.EqualValues(t, m.Objects, kept[0].Objects)
	require.Greater(t, kept[0].Size, int64(3*piece))

	r, err := Recover(g.ctx, g.chunks, strings.ToLower(strings.ReplaceAll(code, "-", " ")))
	require.NoError(t, err)
	s := g.empty(cluster)
	_, err = Restore(g.ctx, g.target(s), r)
	require.NoError(t, err)
	require.Equal(t, g.shown(g.store), g.shown(s))
	again, err := Take(g.ctx, s, time.Now(), &bytes.Buffer{}, nil)
	require.NoError(t, err)
	require.Equal(t, m.counts(), again.counts(), "snapshots are not in snapshots")

	require.NoError(t, Forget(g.ctx, g.store, kept[0].Name))
	kept, err = ListKept(g.ctx, g.store)
	require.NoError(t, err)
	require.Empty(t, kept)
}

func TestAnyWrongLetterOfARecoveryCodeIsFound(t *testing.T) {
	code := Code(chunk.Hash{1, 2, 3})
	h, err := ParseCode(code)
	require.NoError(t, err)
	require.Equal(t, chunk.Hash{1, 2, 3}, h)
	for i, c := range code {
		wrong := []byte(code)
		if wrong[i] = 'X'; c == 'X' {
			wrong[i] = 'Y'
		}
		_, err := ParseCode(string(wrong))
		require.True(t, errors.Is(err, errors.Invalid), "%s", wrong)
	}
}

func TestADamagedSnapshotIsNoticedAndGivesNobodyRights(t *testing.T) {
	g := newGarage(t)
	g.fill()
	stream := g.take()
	for i := 0; i < len(stream); i += 1 + len(stream)/300 {
		_, err := Verify(bytes.NewReader(stream[:i]), nil)
		require.True(t, errors.Is(err, errors.Corrupted), "cut at %d: %v", i, err)
		flipped := bytes.Clone(stream)
		flipped[i] ^= 0x10
		if _, err = Verify(bytes.NewReader(flipped), nil); err != nil {
			require.True(t, errors.Is(err, errors.Corrupted), "flipped at %d: %v", i, err)
		} else {
			require.Contains(t, []int{4, 5, len(stream) - 1, len(stream) - 2, len(stream) - 3, len(stream) - 4}, i, "only what is about the frame may differ")
		}
	}
	s := g.empty(cluster)
	_, err := Restore(g.ctx, g.target(s), bytes.NewReader(withoutKey(t, stream)))
	require.True(t, errors.Is(err, errors.Corrupted))
	b, err := s.Bucket(g.ctx, "photos")
	require.NoError(t, err)
	require.Empty(t, b.Grants)
}

// withoutKey is the stream without the records of access keys, but with the end that it had.
func withoutKey(t *testing.T, stream []byte) []byte {
	in, err := newReader(bytes.NewReader(stream))
	require.NoError(t, err)
	defer in.close()
	var b bytes.Buffer
	out, err := newWriter(&b)
	require.NoError(t, err)
	for {
		record, err := in.next()
		if err == io.EOF {
			require.NoError(t, out.zstd.Close())
			return b.Bytes()
		}
		require.NoError(t, err)
		if record.GetKey() == nil {
			require.NoError(t, out.write(record))
		}
	}
}

func TestASnapshotIsRestoredIntoEmptyMetadataOfItsClusterOnly(t *testing.T) {
	g := newGarage(t)
	g.fill()
	stream := g.take()
	_, err := Restore(g.ctx, g.target(g.empty(uuid.New())), bytes.NewReader(stream))
	require.True(t, errors.Is(err, errors.Invalid), err)
	_, err = Restore(g.ctx, g.target(g.store), bytes.NewReader(stream))
	require.True(t, errors.Is(err, errors.Conflict), err)
	other := g.empty(cluster)
	require.NoError(t, other.CreateBucket(g.ctx, meta.Bucket{ID: uuid.New(), Name: "other"}))
	_, err = Restore(g.ctx, g.target(other), bytes.NewReader(stream))
	require.True(t, errors.Is(err, errors.Conflict), err)
}

func TestWhatLostItsChunksIsToldAndLeftOut(t *testing.T) {
	g := newGarage(t)
	g.fill()
	g.single("gone", "abc", "only here")
	stream := g.take()
	want := g.shown(g.store)
	delete(want, "gone")
	o, err := g.store.Object(g.ctx, g.bucket.ID, "gone")
	require.NoError(t, err)
	chunks, err := g.store.Chunks(g.ctx, o.Parts[0].Attempt, 0, 10)
	require.NoError(t, err)
	target := g.target(g.empty(cluster))
	target.Chunks = &failing{Store: g.chunks, gone: chunks[1].Hash}
	var lost []Lost
	target.Lost = func(l Lost) { lost = append(lost, l) }
	m, err := Restore(g.ctx, target, bytes.NewReader(stream))
	require.NoError(t, err)
	require.EqualValues(t, 5, m.Objects)
	require.Len(t, lost, 1)
	require.Equal(t, "photos/gone", lost[0].Bucket+"/"+lost[0].Key)
	require.Equal(t, want, g.shown(target.Store))
	garbage, _, err := target.Store.ListGarbage(g.ctx, meta.ListGarbage{Limit: 10})
	require.NoError(t, err)
	require.Len(t, garbage, 1, "what was referred to for it is swept")
}

// failing is a chunk store that lacks a chunk, and that fails some time.
type failing struct {
	chunk.Store
	gone chunk.Hash
	mu   sync.Mutex
	left int // calls until it fails; 0: it does not
}

func (f *failing) PutRef(ctx context.Context, h chunk.Hash, ref chunk.Ref) (chunk.Outcome, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left == 1 {
		return 0, errors.Newf(errors.Full, "the disk is full")
	}
	f.left = max(0, f.left-1)
	if h == f.gone {
		return chunk.SendData, nil
	}
	return f.Store.PutRef(ctx, h, ref)
}

func (f *failing) Get(ctx context.Context, h chunk.Hash) (*buffer.Buffer, error) {
	if h == f.gone {
		return nil, errors.E(errors.NotFound, errors.Chunk, h.String(), "it is gone")
	}
	return f.Store.Get(ctx, h)
}

func TestARestoreThatWasInterruptedGoesOn(t *testing.T) {
	g := newGarage(t)
	g.fill()
	for i := range 30 {
		g.single(fmt.Sprint("k", i), "abc", fmt.Sprint(i))
	}
	stream := g.take()
	target := g.target(g.empty(cluster))
	for left := 2; ; left += 15 {
		target.Chunks = &failing{Store: g.chunks, left: left}
		if _, err := Restore(g.ctx, target, bytes.NewReader(stream)); err == nil {
			require.Greater(t, left, 20)
			break
		} else {
			require.True(t, errors.Is(err, errors.Full), err)
		}
	}
	require.Equal(t, g.shown(g.store), g.shown(target.Store))
}
