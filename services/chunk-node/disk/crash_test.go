package disk

import (
	"context"
	"io"
	"math/rand"
	randv2 "math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

func isSync(op errorfs.Op) bool {
	return op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData
}

// history is what was asked of a store and what it acknowledged, by chunk and reference.
type history struct {
	mu   sync.Mutex
	refs map[refKey]refHistory
}

type refKey struct{ chunk, ref int }

type refHistory struct {
	put, deleting, deleted bool
	wanted                 bool // by Want: it is live, and the bytes may still have to come
	drops                  int  // how many times a Drop of its chunk began or ended
	dropped                int  // how many Drops took its chunk away, with the references
}

// kept reports whether what was acknowledged before still holds: nothing began that may take the reference away.
func (r refHistory) kept(before refHistory) bool {
	return !r.deleting && r.drops == before.drops && r.drops%2 == 0
}

func (h *history) note(k refKey, change func(*refHistory)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.refs[k]
	change(&r)
	h.refs[k] = r
}

func (h *history) of(k refKey) refHistory {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.refs[k]
}

// acknowledged notes what a call has added that began after k's history was before. A Drop that took the chunk away
// meanwhile may have come after the call, though it was noted earlier: then nothing is known of the reference.
func (h *history) acknowledged(k refKey, before refHistory, change func(*refHistory)) {
	h.note(k, func(r *refHistory) {
		if r.dropped == before.dropped {
			change(r)
		}
	})
}

func (h *history) copy() map[refKey]refHistory {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := make(map[refKey]refHistory, len(h.refs))
	for k, r := range h.refs {
		c[k] = r
	}
	return c
}

// crashTest runs a load on a disk of which it takes the power at every sync.
type crashTest struct {
	t        *testing.T
	clock    *clock.Manual
	separate bool // values of the index
	chunks   []testChunk
	history
	mem      *vfs.MemFS
	crashes  int
	busy     sync.Mutex // one crash at a time
	dropping sync.Mutex
	rng      *randv2.Rand
}

type testChunk struct {
	hash chunk.Hash
	data *buffer.Buffer
}

const (
	crashThreshold = 1000
	crashGrace     = time.Minute
)

func (c *crashTest) options(fs vfs.FS) Options {
	o := options(fs)
	o.Clock, o.InlineBelow, o.MemTable, o.Compression = c.clock, crashThreshold, 64<<10, 1
	o.Separate = c.separate
	o.Rules = state.Rules{Grace: crashGrace, Tombstones: 7 * 24 * time.Hour}
	return o
}

// crash takes the power before a sync is done, and looks at what is left.
func (c *crashTest) crash() {
	c.busy.Lock()
	defer c.busy.Unlock()
	c.crashes++
	before := c.copy()
	left := c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 0, 50, 100}[c.crashes%4], RNG: c.rng})
	after := c.copy()
	// In a goroutine of its own: a failure ends it, and the caller may hold locks.
	done := make(chan struct{})
	go func() {
		defer close(done)
		if !c.t.Failed() {
			c.inspect(left, before, after, true)
		}
	}()
	<-done
}

// inspect opens what a crash left. It holds what was acknowledged before the
// crash, and nothing that was certainly gone.
func (c *crashTest) inspect(fs *vfs.MemFS, before, after map[refKey]refHistory, again bool) {
	t, ctx := c.t, context.Background()
	// A second crash while the first is being recovered from.
	var mu sync.Mutex
	var second *vfs.MemFS
	until := c.rng.IntN(8)
	wrapped := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if again && isSync(op) {
			if until--; until == 0 {
				second = fs.CrashClone(vfs.CrashCloneCfg{})
			}
		}
		return nil
	}))
	s, err := Open(c.options(wrapped))
	require.NoError(t, err)
	names, err := fs.List("/data/disk/" + temporaryFolder)
	require.NoError(t, err)
	require.Empty(t, names, "half-written files are removed")
	_, err = s.Check(ctx)
	require.NoError(t, err)
	mu.Lock()
	again = false
	mu.Unlock()
	if second != nil {
		c.inspect(second, before, after, false)
	}
	for i, k := range c.chunks {
		needed := false
		for n := range refsPerChunk {
			was, is := before[refKey{i, n}], after[refKey{i, n}]
			if was.put && is.kept(was) {
				needed = true
			}
		}
		got, err := s.Get(ctx, k.hash)
		switch {
		case needed || err == nil:
			require.NoError(t, err, "chunk %d is gone after a crash", i)
			require.NoError(t, chunk.Verify(k.hash, got))
			got.Release()
		case errors.Is(err, errors.Corrupted):
			e, err := s.Chunk(ctx, k.hash)
			require.NoError(t, err)
			require.False(t, e.Good, "chunk %d", i)
		default:
			require.True(t, errors.Is(err, errors.NotFound), "chunk %d: %v", i, err)
		}
		for n := range refsPerChunk {
			was, is := before[refKey{i, n}], after[refKey{i, n}]
			known := refState(t, s.owners[k.hash.Partition()], k.hash, chunktest.Ref(i*refsPerChunk+n))
			switch {
			case (was.put || was.wanted) && is.kept(was):
				require.Equal(t, state.Live, known, "reference %d of chunk %d", n, i)
			case was.deleted:
				require.Equal(t, state.Removed, known, "reference %d of chunk %d", n, i)
			}
		}
	}
	c.clock.Advance(2 * crashGrace)
	_, err = s.Collect(ctx)
	require.NoError(t, err)
	requireConsistent(t, s)
	require.NoError(t, s.Close())
}

func refState(t *testing.T, v *volume, h chunk.Hash, ref chunk.Ref) state.Ref {
	var c changes
	c.begin(v, totals{})
	defer func() { require.NoError(t, c.batch.Close()) }()
	known, err := c.ref(&record{}, h, ref)
	require.NoError(t, err)
	return known
}

// requireConsistent compares files, entries, references, queue and totals.
func requireConsistent(t *testing.T, s *Store) {
	t.Helper()
	for _, v := range s.volumes {
		var sum totals
		files := map[string]bool{}
		searches, trashed := 0, 0
		require.NoError(t, v.each([]byte{keyEntry}, func(key, _ []byte) bool {
			h := chunk.Hash(key[1:])
			c, err := entryOf(v.db, h)
			require.NoError(t, err)
			sum.count(c, 1)
			var changes changes
			changes.begin(v, totals{})
			live, err := changes.live(&record{}, h, nil)
			require.NoError(t, err)
			require.NoError(t, changes.batch.Close())
			require.Equal(t, live, c.Unreferenced.IsZero(), "%v: %+v", h, c)
			if !live {
				queued, err := lookup(v.db, timeKey(keyPending, c.Unreferenced, h), ignore)
				require.NoError(t, err)
				require.Equal(t, c.Queued(), queued)
			}
			trashed += int(c.Trashed)
			require.Equal(t, live && c.Place == state.Nowhere, c.Sought(), "%v: %+v", h, c)
			if c.Sought() {
				searches++
				queued, err := lookup(v.db, timeKey(keyDue, c.Search.Due, h), ignore)
				require.NoError(t, err)
				require.True(t, queued)
			}
			if c.Place == state.InFile {
				files[v.blobPath(h, c.Compressed)] = true
			}
			if c.Place != state.Nowhere {
				sound, err := v.sound(h, c.Copy)
				require.NoError(t, err)
				require.True(t, sound)
			}
			return true
		}))
		for _, kind := range []byte{keyDue, keySearch} {
			n := 0
			require.NoError(t, v.each([]byte{kind}, func(_, _ []byte) bool { n++; return true }))
			require.Equal(t, searches, n, "%c", kind)
		}
		require.NoError(t, v.each([]byte{keyTombstone}, func(key, value []byte) bool {
			if _, in := parseTrashed(value); in {
				c, err := entryOf(v.db, chunk.Hash(key[1:]))
				require.NoError(t, err)
				require.Positive(t, c.Trashed)
				trashed--
			}
			return true
		}))
		require.Zero(t, trashed, "what is in the trash, and what the chunks know of it")
		require.NoError(t, v.each([]byte{keyLive}, func(key, _ []byte) bool {
			c, err := entryOf(v.db, chunk.Hash(key[1:]))
			require.NoError(t, err)
			require.True(t, c.Known(), "a reference to nothing")
			return true
		}))
		require.NoError(t, v.each([]byte{keyOwed}, func(_, _ []byte) bool { sum.Owed++; return true }))
		kept := v.totals()
		kept.Damaged, kept.Mended = 0, 0 // of which no key tells
		require.Equal(t, sum, kept)
		partitions, err := v.fs.List(v.blobs)
		require.NoError(t, err)
		found := 0
		for _, p := range partitions {
			names, err := v.fs.List(v.blobs + "/" + p)
			require.NoError(t, err)
			for _, name := range names {
				found++
				require.True(t, files[v.blobs+"/"+p+"/"+name], "the file %s/%s has no entry", p, name)
			}
		}
		require.Len(t, files, found)
		blobs := 0
		require.NoError(t, v.each([]byte{keyBlob}, func(key, _ []byte) bool {
			blobs++
			c, err := entryOf(v.db, chunk.Hash(key[1:]))
			require.NoError(t, err)
			require.Equal(t, state.InIndex, c.Place)
			return true
		}))
	}
}

const refsPerChunk = 3

func TestPowerCutAtEverySync(t *testing.T) {
	for name, separate := range map[string]bool{"values beside keys": false, "separate values": true} {
		t.Run(name, func(t *testing.T) { testPowerCuts(t, separate) })
	}
}

func testPowerCuts(t *testing.T, separate bool) {
	seed := rand.Int63()
	t.Logf("seed %d", seed)
	c := &crashTest{
		t: t, separate: separate, clock: clock.NewManual(time.Unix(1_700_000_000, 0)), mem: memFS(t),
		history: history{refs: map[refKey]refHistory{}}, rng: randv2.New(randv2.NewPCG(uint64(seed), 1)),
	}
	for i := range 14 {
		size := []int{crashThreshold - 1, crashThreshold, 5000, 300}[i%4]
		h, b := chunktest.Chunk(seed+int64(i), size)
		if i%5 == 4 { // compressible
			h, b = chunktest.Of([]byte(strings.Repeat(string(rune('a'+i)), 5000)))
		}
		c.chunks = append(c.chunks, testChunk{h, b})
	}
	s, err := Open(c.options(errorfs.Wrap(c.mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if isSync(op) {
			c.crash()
		}
		return nil
	}))))
	require.NoError(t, err)
	var g errgroup.Group
	for worker := range 3 {
		r := rand.New(rand.NewSource(seed + int64(worker)))
		g.Go(func() error { return c.load(s, r) })
	}
	require.NoError(t, g.Wait())
	requireConsistent(t, s)
	require.NoError(t, s.Close())
	t.Logf("%d crashes", c.crashes)
	require.Greater(t, c.crashes, 100)
}

func (c *crashTest) load(s *Store, r *rand.Rand) error {
	ctx := context.Background()
	for range 80 {
		i, n := r.Intn(len(c.chunks)), r.Intn(refsPerChunk)
		k, key, ref := c.chunks[i], refKey{i, n}, chunktest.Ref(i*refsPerChunk+n)
		before := c.of(key)
		var outcome chunk.Outcome
		var err error
		switch r.Intn(10) {
		case 0, 1, 2:
			outcome, err = s.Put(ctx, k.hash, k.data, ref)
		case 3:
			outcome, err = s.PutRef(ctx, k.hash, ref)
		case 4:
			c.note(key, func(h *refHistory) { h.deleting = true })
			if err = s.Delete(ctx, k.hash, ref); err == nil {
				c.note(key, func(h *refHistory) { h.deleted = true })
			}
			outcome = chunk.Gone
		case 6:
			c.note(key, func(h *refHistory) { h.deleting = true })
			if err = s.Trash(ctx, k.hash, []chunk.Ref{ref}, 0); err == nil && r.Intn(2) == 0 { // a Put may bring it back
				err = s.Purge(ctx, k.hash, []chunk.Ref{ref})
			}
			outcome = chunk.Gone
		case 7:
			if err = s.Want(ctx, k.hash, uint32(k.data.Len()), []chunk.Ref{ref}); err == nil {
				c.acknowledged(key, before, func(h *refHistory) { h.wanted = true })
			}
			outcome = chunk.Gone
		case 8:
			if err = s.Repair(ctx, k.hash, k.data); err == nil {
				err = s.Tried(ctx, k.hash, "away", c.clock.Now().Add(time.Minute))
			}
			outcome = chunk.Gone
		case 9:
			err = c.drop(s, i)
			outcome = chunk.Gone
		case 5:
			c.clock.Advance(crashGrace / 2)
			_, err = s.Collect(ctx)
			outcome = chunk.Gone
		}
		if err != nil {
			return err
		}
		if outcome == chunk.Stored {
			c.acknowledged(key, before, func(h *refHistory) { h.put = true })
		}
	}
	return nil
}

// drop drops a chunk with the references that it has just now.
func (c *crashTest) drop(s *Store, i int) error {
	e, err := s.Chunk(context.Background(), c.chunks[i].hash)
	if errors.Is(err, errors.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	c.dropping.Lock() // one at a time: drops is odd while one is under way
	defer c.dropping.Unlock()
	for n := range refsPerChunk {
		c.note(refKey{i, n}, func(h *refHistory) { h.drops++ })
	}
	dropped, err := s.Drop(context.Background(), e.Hash, e.Refs, func() bool { return true })
	for n := range refsPerChunk {
		c.note(refKey{i, n}, func(h *refHistory) {
			h.drops++
			if dropped { // a call that was under way meanwhile may have come after it: see acknowledged
				h.dropped++
				h.put, h.wanted = false, false
			}
		})
	}
	return err
}

// TestFailedSync fails the nth sync, for each n: nothing is acknowledged that
// a crash could then lose, the disk takes no more writes, and what was
// acknowledged before is read on.
func TestFailedSync(t *testing.T) {
	failing := errors.New("the disk does not answer")
	for nth := 0; ; nth++ {
		mem := memFS(t)
		syncs, armed := 0, false
		var mu sync.Mutex
		o := options(errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			mu.Lock()
			defer mu.Unlock()
			if !isSync(op) || !armed {
				return nil
			}
			if syncs++; syncs-1 == nth {
				return failing
			}
			return nil
		})))
		o.InlineBelow = crashThreshold
		s, err := Open(o)
		require.NoError(t, err)
		mu.Lock()
		armed = true
		mu.Unlock()
		acknowledged := map[int]bool{}
		var failure error
		for i := range 6 {
			h, b := chunktest.Chunk(int64(i), []int{500, 5000}[i%2])
			outcome, err := s.Put(context.Background(), h, b, chunktest.Ref(i))
			switch {
			case err == nil:
				require.NoError(t, failure, "a write was acknowledged after the disk had failed")
				require.Equal(t, chunk.Stored, outcome)
				acknowledged[i] = true
			default:
				require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
				failure = err
			}
		}
		if failure == nil {
			if err := s.Close(); err != nil {
				require.ErrorContains(t, err, failing.Error())
				continue
			}
			require.LessOrEqual(t, syncs, nth)
			require.Greater(t, nth, 10, "the load is too small for this test")
			return
		}
		require.True(t, errors.Is(s.Delete(context.Background(), chunk.Hash{}, chunktest.Ref(0)), errors.Unavailable))
		st, err := s.Status(context.Background())
		require.NoError(t, err)
		require.True(t, st.ReadOnly)
		require.NotEmpty(t, st.Disks[0].Failed)
		for i := range acknowledged {
			h, b := chunktest.Chunk(int64(i), []int{500, 5000}[i%2])
			chunktest.RequireGet(t, s, h, b)
		}
		left := mem.CrashClone(vfs.CrashCloneCfg{})
		_ = s.Close() // the disk is broken: an error is no surprise
		o.FS = left
		s, err = Open(o)
		require.NoError(t, err)
		for i := range acknowledged {
			h, b := chunktest.Chunk(int64(i), []int{500, 5000}[i%2])
			chunktest.RequireGet(t, s, h, b)
		}
		require.NoError(t, s.Close())
	}
}

var _ io.Closer = (*Store)(nil)
