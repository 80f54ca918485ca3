package disk

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/chunk-node/heal"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

func yes() bool { return true }

func TestDropLeavesNothing(t *testing.T) {
	for _, size := range []int{1000, 100_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			s, ctx := open(t, options(memFS(t))), t.Context()
			h, b := chunktest.Chunk(1, size)
			refs := []chunk.Ref{chunktest.Ref(1), chunktest.Ref(2)}
			for _, ref := range refs {
				chunktest.RequirePut(t, s, h, b, ref)
			}
			drop := func(refs []chunk.Ref, still func() bool) bool {
				dropped, err := s.Drop(ctx, h, refs, still)
				require.NoError(t, err)
				return dropped
			}
			require.False(t, drop(refs[:1], yes), "another reference came")
			require.False(t, drop(append(refs, chunktest.Ref(3)), yes), "a reference went")
			require.False(t, drop(refs, func() bool { return false }), "the layout changed")
			chunktest.RequireGet(t, s, h, b)
			require.True(t, drop(refs, yes))
			_, err := s.Get(ctx, h)
			require.True(t, errors.Is(err, errors.NotFound), "%v", err)
			held, _, err := s.Held(ctx)
			require.NoError(t, err)
			require.Empty(t, held)
			require.Zero(t, status(t, s).StoredBytes)
			requireConsistent(t, s)
			chunktest.RequirePut(t, s, h, b, refs[0])
		})
	}
}

func TestWantedChunksAreAQueue(t *testing.T) {
	fs := memFS(t)
	o := options(fs)
	c := clock.NewManual(time.Unix(1_700_000_000, 0))
	o.Clock = c
	s, ctx := open(t, o), t.Context()
	var hashes []chunk.Hash
	for i := range 3 {
		h, b := chunktest.Chunk(int64(i), 1000)
		hashes = append(hashes, h)
		if i == 2 { // it turns out to be bad
			chunktest.RequirePut(t, s, h, b, chunktest.Ref(i))
			require.True(t, damageable{s}.Corrupt(h))
			bytes, good, err := s.Verify(ctx, h)
			require.NoError(t, err)
			require.False(t, good)
			require.EqualValues(t, 1000, bytes)
		} else {
			require.NoError(t, s.Want(ctx, h, 1000, []chunk.Ref{chunktest.Ref(i)}))
			_, err := s.Get(ctx, h)
			require.True(t, errors.Is(err, errors.Corrupted), "not found would be no proof: %v", err)
		}
		c.Advance(time.Second)
	}
	wanted := func(limit int) (all []chunk.Hash) {
		damages, err := s.Wanted(ctx, c.Now(), limit)
		require.NoError(t, err)
		for _, d := range damages {
			require.NotEmpty(t, d.Refs)
			all = append(all, d.Hash)
		}
		return all
	}
	require.Equal(t, hashes, wanted(10))
	require.Equal(t, hashes[:2], wanted(2))
	require.NoError(t, s.Tried(ctx, hashes[0], "nobody has it", c.Now().Add(time.Minute)))
	require.Equal(t, hashes[1:], wanted(10))
	st := status(t, s)
	require.EqualValues(t, 3, st.Wanted)
	require.EqualValues(t, 1, st.Quarantined)
	require.NoError(t, s.Close())

	s = open(t, o)
	c.Advance(time.Minute)
	require.Equal(t, []chunk.Hash{hashes[1], hashes[2], hashes[0]}, wanted(10), "the longest due first")
	damaged, err := s.Damaged(ctx, chunk.Hash{}, 10)
	require.NoError(t, err)
	require.Len(t, damaged, 3)
	for i := range 2 {
		one, err := s.Damaged(ctx, damaged[i].Hash, 1)
		require.NoError(t, err)
		require.Equal(t, damaged[i+1:i+2], one)
	}
	for i, h := range hashes {
		_, b := chunktest.Chunk(int64(i), 1000)
		if i == 1 {
			require.NoError(t, s.Delete(ctx, h, chunktest.Ref(i)))
			continue
		}
		require.NoError(t, s.Repair(ctx, h, b))
		chunktest.RequireGet(t, s, h, b)
		bytes, good, err := s.Verify(ctx, h)
		require.NoError(t, err)
		require.True(t, good)
		require.EqualValues(t, 1000, bytes)
		require.NoError(t, s.Tried(ctx, h, "too late", c.Now()))
	}
	require.Empty(t, wanted(10))
	require.Zero(t, status(t, s).Wanted)
	requireConsistent(t, s)
}

func TestWantDoesNotBringBackWhatWasRemoved(t *testing.T) {
	s, ctx := open(t, options(memFS(t))), t.Context()
	h, b := chunktest.Chunk(1, 1000)
	require.NoError(t, s.Delete(ctx, h, chunktest.Ref(1)))
	require.NoError(t, s.Want(ctx, h, 1000, []chunk.Ref{chunktest.Ref(1)}))
	_, err := s.Chunk(ctx, h)
	require.True(t, errors.Is(err, errors.NotFound), "%v", err)
	chunktest.RequirePut(t, s, h, b, chunktest.Ref(2))
	require.NoError(t, s.Want(ctx, h, 1000, []chunk.Ref{chunktest.Ref(1), chunktest.Ref(3)}))
	e, err := s.Chunk(ctx, h)
	require.NoError(t, err)
	require.Equal(t, chunk.Entry{Hash: h, Length: 1000, Good: true, Refs: []chunk.Ref{chunktest.Ref(2), chunktest.Ref(3)}}, e)
	require.True(t, errors.Is(s.Want(ctx, h, 0, nil), errors.Invalid))
}

func TestVerifyOfNothing(t *testing.T) {
	s := open(t, options(memFS(t)))
	_, _, err := s.Verify(t.Context(), chunk.Hash{})
	require.True(t, errors.Is(err, errors.NotFound), "%v", err)
}

func TestNoTimeEmptiesTheTrash(t *testing.T) {
	fs := memFS(t)
	o := options(fs)
	c := clock.NewManual(time.Unix(1_700_000_000, 0))
	o.Clock = c
	s, ctx := open(t, o), t.Context()
	forget := func() {
		for _, work := range []func(context.Context) (int, error){s.Collect, s.Expire} {
			_, err := work(ctx)
			require.NoError(t, err)
		}
	}
	gone := func(h chunk.Hash) {
		_, err := s.Get(ctx, h)
		require.True(t, errors.Is(err, errors.NotFound), "%v", err)
	}
	for i := range 3 {
		h, b := chunktest.Chunk(int64(i), 1000)
		chunktest.RequirePut(t, s, h, b, chunktest.Ref(i))
		require.NoError(t, s.Trash(ctx, h, []chunk.Ref{chunktest.Ref(i)}, time.Hour))
	}
	st := status(t, s)
	require.EqualValues(t, 3000, st.Trashed)
	require.Zero(t, st.Uncollected)
	other, data := chunktest.Chunk(7, 1000)
	chunktest.RequirePut(t, s, other, data, chunktest.Ref(7))
	require.NoError(t, s.Delete(ctx, other, chunktest.Ref(7)))
	c.Advance(100 * 365 * 24 * time.Hour)
	forget()
	gone(other)
	require.NoError(t, s.Close())
	s = open(t, o)
	require.EqualValues(t, 3000, status(t, s).Trashed)

	back, backData := chunktest.Chunk(0, 1000)
	outcome, err := s.PutRef(ctx, back, chunktest.Ref(10))
	require.NoError(t, err)
	require.Equal(t, chunk.Stored, outcome)
	purged, _ := chunktest.Chunk(1, 1000)
	require.NoError(t, s.Purge(ctx, purged, []chunk.Ref{chunktest.Ref(1)}))
	deleted, _ := chunktest.Chunk(2, 1000)
	require.NoError(t, s.Delete(ctx, deleted, chunktest.Ref(2)))
	require.Zero(t, status(t, s).Trashed)
	forget()
	gone(purged)
	gone(deleted)
	require.NoError(t, s.Delete(ctx, back, chunktest.Ref(10)))
	c.Advance(100 * 24 * time.Hour)
	forget()
	chunktest.RequireGet(t, s, back, backData)
	require.NoError(t, s.Purge(ctx, back, []chunk.Ref{chunktest.Ref(0), chunktest.Ref(10)}))
	forget()
	gone(back)
	requireConsistent(t, s)
}

func TestAChunkThatLeftTheTrashGoesAsOthersDo(t *testing.T) {
	o := options(memFS(t))
	c := clock.NewManual(time.Unix(1_700_000_000, 0))
	o.Clock = c
	s, ctx := open(t, o), t.Context()
	h, b := chunktest.Chunk(1, 1000)
	ref := chunktest.Ref(1)
	for _, back := range []func(){
		func() { require.NoError(t, s.Untrash(ctx, h, []chunk.Ref{ref})) },
		func() { chunktest.RequirePut(t, s, h, b, ref) },
		func() { require.NoError(t, s.Want(ctx, h, 1000, []chunk.Ref{ref})) },
	} {
		chunktest.RequirePut(t, s, h, b, ref)
		require.NoError(t, s.Trash(ctx, h, []chunk.Ref{ref}, 0))
		back()
		require.NoError(t, s.Delete(ctx, h, ref))
		c.Advance(state.DefaultGrace)
		_, err := s.Collect(ctx)
		require.NoError(t, err)
		_, err = s.Get(ctx, h)
		require.True(t, errors.Is(err, errors.NotFound), "%v", err)
		requireConsistent(t, s)
		ref.Offset++
	}
}

func TestWhatTheTrashHasCanBeHadBack(t *testing.T) {
	fs := memFS(t)
	o := options(fs)
	s, ctx := open(t, o), t.Context()
	h, b := chunktest.Chunk(1, 1000)
	refs := []chunk.Ref{chunktest.Ref(1), chunktest.Ref(2), chunktest.Ref(3)}
	slices.SortFunc(refs, chunk.Ref.Compare)
	for _, ref := range refs {
		chunktest.RequirePut(t, s, h, b, ref)
	}
	require.NoError(t, s.Trash(ctx, h, refs[:2], time.Hour))
	require.NoError(t, s.Trash(ctx, h, refs[1:2], 2*time.Hour))
	require.NoError(t, s.Delete(ctx, h, refs[2]))
	require.NoError(t, s.Close())
	s = open(t, o)
	for i, in := range []bool{true, true, false} {
		trashed, err := s.InTrash(ctx, h, refs[i])
		require.NoError(t, err)
		require.Equal(t, in, trashed)
	}
	one, two := heal.Trashed{Hash: h, Ref: refs[0], At: time.Hour}, heal.Trashed{Hash: h, Ref: refs[1], At: 2 * time.Hour}
	for _, c := range []struct {
		after heal.Trashed
		limit int
		want  []heal.Trashed
	}{{heal.Trashed{}, 10, []heal.Trashed{one, two}}, {heal.Trashed{}, 1, []heal.Trashed{one}}, {one, 10, []heal.Trashed{two}}, {two, 10, nil}} {
		all, err := s.Trashed(ctx, h.Partition(), c.after, c.limit)
		require.NoError(t, err)
		require.Equal(t, c.want, all)
	}
	require.NoError(t, s.Untrash(ctx, h, refs))
	e, err := s.Chunk(ctx, h)
	require.NoError(t, err)
	require.Equal(t, refs[:2], e.Refs, "what was deleted stays so")
	require.NoError(t, s.Trash(ctx, h, refs[:1], 0))
	require.NoError(t, s.Delete(ctx, h, refs[0]))
	trashed, err := s.InTrash(ctx, h, refs[0])
	require.NoError(t, err)
	require.False(t, trashed, "a deletion is final")
	chunktest.RequireGet(t, s, h, b)
	requireConsistent(t, s)
}

func TestNotesOutliveADisk(t *testing.T) {
	fs := memFS(t)
	o := options(fs)
	for _, path := range []string{"/data/a", "/data/b"} {
		require.NoError(t, fs.MkdirAll(path, 0o700))
	}
	o.Disks = []Disk{{Path: "/data/a"}, {Path: "/data/b"}}
	s, ctx := open(t, o), t.Context()
	note := func(name string) []byte {
		value, err := s.Note(ctx, name)
		require.NoError(t, err)
		return value
	}
	require.Nil(t, note("walk"))
	require.NoError(t, s.SetNote(ctx, "walk", []byte("one")))
	require.NoError(t, s.SetNote(ctx, "scrub", nil))
	require.Equal(t, []byte("one"), note("walk"))
	require.NotNil(t, note("scrub"))
	require.NoError(t, s.Close())
	require.NoError(t, fs.Rename("/data/a/"+markerFile, "/data/a/hidden"))
	s = open(t, o)
	require.Equal(t, []byte("one"), note("walk"))
	require.NoError(t, s.SetNote(ctx, "walk", []byte("two")))
	require.NoError(t, s.Close())
	require.NoError(t, fs.Rename("/data/a/hidden", "/data/a/"+markerFile))
	o.FS = fs.CrashClone(vfs.CrashCloneCfg{})
	s = open(t, o)
	require.Equal(t, []byte("two"), note("walk"), "the disk that was away has an older one")
}

// TestAnOlderFolderIsTakenOver opens what a program left that kept no searches and fewer totals.
func TestAnOlderFolderIsTakenOver(t *testing.T) {
	fs := memFS(t)
	o := options(fs)
	s, ctx := open(t, o), t.Context()
	h, b := chunktest.Chunk(1, 1000)
	idle, idleData := chunktest.Chunk(2, 1000)
	for i, k := range []testChunk{{h, b}, {idle, idleData}} {
		chunktest.RequirePut(t, s, k.hash, k.data, chunktest.Ref(i))
		require.True(t, damageable{s}.Corrupt(k.hash))
		_, err := s.Get(ctx, k.hash)
		require.True(t, errors.Is(err, errors.Corrupted), "%v", err)
	}
	require.NoError(t, s.Delete(ctx, idle, chunktest.Ref(1)))
	v := s.volumes[0]
	for _, kind := range []byte{keyDue, keySearch} {
		require.NoError(t, v.each([]byte{kind}, func(key, _ []byte) bool {
			require.NoError(t, v.db.Delete(append([]byte{}, key...), pebble.Sync))
			return true
		}))
	}
	require.NoError(t, v.db.Delete(metaKey(metaSearches), pebble.Sync))
	for _, w := range v.writers {
		older := w.totals.encode()[:8*leastTotals]
		require.NoError(t, v.db.Set(w.totalsKey(), older, pebble.Sync))
	}
	require.NoError(t, s.Close())

	s = open(t, o)
	wanted, err := s.Wanted(ctx, clock.System{}.Now(), 10)
	require.NoError(t, err)
	require.Len(t, wanted, 1)
	require.Equal(t, h, wanted[0].Hash)
	require.EqualValues(t, 1, status(t, s).Wanted)
	requireConsistent(t, s)
}

func TestAChunkDroppedAndPutAgainInOneGroupIsThere(t *testing.T) {
	for _, size := range []int{500, 2000} {
		o := options(memFS(t))
		o.InlineBelow = 1000
		s, ctx := open(t, o), t.Context()
		h, b := chunktest.Chunk(1, size)
		ref := chunktest.Ref(1)
		chunktest.RequirePut(t, s, h, b, ref)
		v := s.volumes[0]
		put := &op{kind: opPut, hash: h, ref: ref, offered: s.contentOf(b)}
		if put.offered.Place == state.InFile {
			var err error
			put.temporary, err = v.writeTemporary(t.Context(), put.offered)
			require.NoError(t, err)
		}
		drop := &op{kind: opDrop, hash: h, refs: []chunk.Ref{ref}, still: yes}
		v.writerOf(h).process([]*op{drop, put})
		require.NoError(t, drop.err)
		require.NoError(t, put.err)
		require.True(t, drop.dropped)
		e, err := s.Chunk(ctx, h)
		require.NoError(t, err)
		require.Equal(t, []chunk.Ref{ref}, e.Refs, "the reference that was dropped came back")
		chunktest.RequireGet(t, s, h, b)
		requireConsistent(t, s)
	}
}
