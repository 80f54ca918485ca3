package disk

import (
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/chunk-node/heal"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

func status(t *testing.T, s *Store) chunk.NodeStatus {
	st, err := s.Status(t.Context())
	require.NoError(t, err)
	return st
}

func TestABadCopyIsMovedAsideAndRepaired(t *testing.T) {
	for _, size := range []int{1000, 100_000} {
		for _, lose := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d bytes, lost %v", size, lose), func(t *testing.T) {
				fs := memFS(t)
				s := open(t, options(fs))
				h, b := chunktest.Chunk(1, size)
				chunktest.RequirePut(t, s, h, b, chunktest.Ref(1))
				require.True(t, damageable{s}.damage(h, lose))
				_, err := s.Get(t.Context(), h)
				require.True(t, errors.Is(err, errors.Corrupted), "%v", err)
				require.EqualValues(t, 1, status(t, s).Quarantined)
				aside, err := fs.List("/data/disk/" + quarantineFolder)
				require.NoError(t, err)
				require.Equal(t, !lose, len(aside) == 1, "the bad copy is kept aside: %v", aside)
				outcome, err := s.PutRef(t.Context(), h, chunktest.Ref(2))
				require.NoError(t, err)
				require.Equal(t, chunk.SendData, outcome)

				require.NoError(t, s.Repair(t.Context(), h, b))
				chunktest.RequireGet(t, s, h, b)
				require.Zero(t, status(t, s).Quarantined)
				aside, err = fs.List("/data/disk/" + quarantineFolder)
				require.NoError(t, err)
				require.Empty(t, aside)
				requireConsistent(t, s)
			})
		}
	}
}

func TestAnyFlippedBitIsNoticed(t *testing.T) {
	for name, compression := range map[string]int{"plain": 0, "compressed": 1} {
		for _, inline := range []int{0, chunk.MaxSize} {
			t.Run(fmt.Sprintf("%s, inline below %d", name, inline), func(t *testing.T) {
				o := options(memFS(t))
				o.Compression, o.InlineBelow = compression, inline
				s := open(t, o)
				data := make([]byte, 3000)
				copy(data, "some text, then zeros")
				h, b := chunktest.Of(data)
				chunktest.RequirePut(t, s, h, b, chunktest.Ref(1))
				v := s.volumes[0]
				c, err := entryOf(v.db, h)
				require.NoError(t, err)
				require.Equal(t, compression > 0, c.Compressed)
				good := stored(t, v, h, c)
				for at := range len(good) {
					if at > 64 && at%97 != 0 && at < len(good)-8 {
						continue
					}
					bad := append([]byte(nil), good...)
					bad[at] ^= 1 << (at % 8)
					restore(t, v, h, c, bad)
					_, err := s.Get(t.Context(), h)
					require.True(t, errors.Is(err, errors.Corrupted), "byte %d: %v", at, err)
					require.NoError(t, s.Repair(t.Context(), h, b))
				}
				for _, length := range []int{0, 1, len(good) - 1, len(good) + 1} {
					bad := append(append([]byte(nil), good...), 0)[:length]
					restore(t, v, h, c, bad)
					got, err := s.Get(t.Context(), h)
					if err == nil { // bytes after the end are not read; a PutRef or a check sees the size
						require.Greater(t, length, len(good))
						require.NoError(t, chunk.Verify(h, got))
						got.Release()
						continue
					}
					require.True(t, errors.Is(err, errors.Corrupted), "%d bytes: %v", length, err)
					require.NoError(t, s.Repair(t.Context(), h, b))
				}
				chunktest.RequireGet(t, s, h, b)
			})
		}
	}
}

func stored(t *testing.T, v *volume, h chunk.Hash, c state.Chunk) []byte {
	var p []byte
	if c.Place == state.InIndex {
		_, err := lookup(v.db, hashKey(keyBlob, h), func(value []byte) error { p = append(p, value...); return nil })
		require.NoError(t, err)
		return p
	}
	f, err := v.fs.Open(v.blobPath(h, c.Compressed))
	require.NoError(t, err)
	p = make([]byte, c.Stored)
	_, err = f.ReadAt(p, 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return p
}

func restore(t *testing.T, v *volume, h chunk.Hash, c state.Chunk, p []byte) {
	if c.Place == state.InIndex {
		require.NoError(t, v.db.Set(hashKey(keyBlob, h), p, pebble.NoSync))
		return
	}
	require.NoError(t, v.writeSynced(v.blobPath(h, c.Compressed), p))
}

func TestWhatAnInterruptedStopLeaves(t *testing.T) {
	fs := memFS(t)
	c := clock.NewManual(time.Unix(1_700_000_000, 0))
	o := options(fs)
	o.Clock = c
	s := open(t, o)
	v := s.volumes[0]
	held, heldData := chunktest.Chunk(1, 100_000)
	lost, lostData := chunktest.Chunk(2, 100_000)
	chunktest.RequirePut(t, s, held, heldData, chunktest.Ref(1))
	chunktest.RequirePut(t, s, lost, lostData, chunktest.Ref(2))
	// What no entry describes: a whole file, half a file, a temporary file, a stranger.
	whole, wholeData := chunktest.Chunk(3, 50_000)
	half, halfData := chunktest.Chunk(4, 50_000)
	for h, p := range map[chunk.Hash][]byte{whole: wholeData.Bytes(), half: halfData.Bytes()[:20_000]} {
		require.NoError(t, fs.MkdirAll(v.partitionPath(h.Partition()), 0o700))
		require.NoError(t, v.writeSynced(v.blobPath(h, false), p))
	}
	require.NoError(t, v.writeSynced(v.temporary+"/1", []byte("half")))
	require.NoError(t, v.writeSynced(v.partitionPath(held.Partition())+"/readme", nil))
	require.NoError(t, fs.Remove(v.blobPath(lost, false)))
	v.unclean.Store(true)
	require.NoError(t, s.Close())

	s = open(t, o)
	require.True(t, s.Unclean())
	_, err := s.Check(t.Context())
	require.NoError(t, err)
	require.False(t, s.Unclean())
	chunktest.RequireGet(t, s, held, heldData)
	_, err = s.Get(t.Context(), lost)
	require.True(t, errors.Is(err, errors.Corrupted), "%v", err)
	chunktest.RequireGet(t, s, whole, wholeData)
	_, err = s.Get(t.Context(), half)
	require.True(t, errors.Is(err, errors.NotFound), "%v", err)
	st := status(t, s)
	require.EqualValues(t, 2, st.Chunks)
	require.EqualValues(t, 1, st.Uncollected)
	require.EqualValues(t, 1, st.Quarantined)
	c.Advance(state.DefaultGrace)
	n, err := s.Collect(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, err = s.Get(t.Context(), whole)
	require.True(t, errors.Is(err, errors.NotFound), "%v", err)
	require.Zero(t, status(t, s).Uncollected)
	require.NoError(t, s.Close())
	s = open(t, o)
	require.False(t, s.Unclean(), "a stop in order needs no check")
}

func TestTombstonesAreForgottenInTheEnd(t *testing.T) {
	o := options(memFS(t))
	c := clock.NewManual(time.Unix(1_700_000_000, 0))
	o.Clock = c
	s := open(t, o)
	h, b := chunktest.Chunk(1, 1000)
	require.NoError(t, s.Delete(t.Context(), h, chunktest.Ref(1)))
	c.Advance(state.DefaultTombstones - time.Second)
	require.NoError(t, s.Delete(t.Context(), h, chunktest.Ref(2)))
	c.Advance(time.Second)
	for want := 2; want >= 1; want-- {
		n, err := s.Expire(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, n)
	}
	chunktest.RequirePut(t, s, h, b, chunktest.Ref(1))
	outcome, err := s.Put(t.Context(), h, b, chunktest.Ref(2))
	require.NoError(t, err)
	require.Equal(t, chunk.Gone, outcome)
}

func TestDebtsAreKeptOnDisk(t *testing.T) {
	fs := memFS(t)
	s := open(t, options(fs))
	h, b := chunktest.Chunk(1, 1000)
	chunktest.RequirePut(t, s, h, b, chunktest.Ref(1))
	owner := uuid.UUID{7}
	require.NoError(t, s.Owe(t.Context(), h, chunktest.Ref(1), owner))
	left := fs.CrashClone(vfs.CrashCloneCfg{})
	s = open(t, options(left))
	debts, err := s.Debts(t.Context(), owner, heal.Debt{}, 10)
	require.NoError(t, err)
	require.Len(t, debts, 1)
	require.Equal(t, h, debts[0].Hash)
	require.Equal(t, chunktest.Ref(1), debts[0].Ref)
	require.EqualValues(t, 1, status(t, s).Owed)
	for range 2 {
		require.NoError(t, s.Paid(t.Context(), h, chunktest.Ref(1), owner))
	}
	require.Zero(t, status(t, s).Owed)
	debts, err = s.Debts(t.Context(), owner, heal.Debt{}, 10)
	require.NoError(t, err)
	require.Empty(t, debts)
}

func TestANearlyFullDiskTakesNoChunks(t *testing.T) {
	fs := memFS(t)
	o := options(fs)
	o.Reserve = 1 << 20
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 100 << 20, TotalBytes: 200 << 20})
	s := open(t, o)
	h, b := chunktest.Chunk(1, 100_000)
	chunktest.RequirePut(t, s, h, b, chunktest.Ref(1))
	st := status(t, s)
	require.False(t, st.ReadOnly)
	require.Greater(t, st.Capacity, st.Free)

	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 19, TotalBytes: 200 << 20})
	require.True(t, status(t, s).ReadOnly)
	h2, b2 := chunktest.Chunk(2, 100_000)
	_, err := s.Put(t.Context(), h2, b2, chunktest.Ref(2))
	require.True(t, errors.Is(err, errors.Full), "%v", err)
	outcome, err := s.PutRef(t.Context(), h, chunktest.Ref(3))
	require.NoError(t, err)
	require.Equal(t, chunk.Stored, outcome, "a reference needs no room")
	require.NoError(t, s.Delete(t.Context(), h, chunktest.Ref(1)))
	chunktest.RequireGet(t, s, h, b)
	_, err = s.PutFor(t.Context(), h2, b2, chunktest.Ref(2), uuid.UUID{7})
	require.True(t, errors.Is(err, errors.Full), "%v", err)
	require.True(t, errors.Is(s.Want(t.Context(), h2, 100_000, []chunk.Ref{chunktest.Ref(2)}), errors.Full))
	require.NoError(t, s.Want(t.Context(), h, 100_000, []chunk.Ref{chunktest.Ref(4)}), "a reference needs no room")
	require.True(t, damageable{s}.Corrupt(h))
	require.True(t, errors.Is(s.Repair(t.Context(), h, b), errors.Full))

	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 100 << 20, TotalBytes: 200 << 20})
	require.False(t, status(t, s).ReadOnly)
	require.NoError(t, s.Repair(t.Context(), h, b))
	chunktest.RequireGet(t, s, h, b)
	chunktest.RequirePut(t, s, h2, b2, chunktest.Ref(2))
}

func TestAllocatedSpaceIsALimit(t *testing.T) {
	o := options(memFS(t))
	o.Disks[0].Allocated, o.Reserve = 2<<20, 1<<20
	s := open(t, o)
	var err error
	n := 0
	for ; n < 30 && err == nil; n++ {
		h, b := chunktest.Chunk(int64(n), 100_000)
		_, err = s.Put(t.Context(), h, b, chunktest.Ref(n))
	}
	require.True(t, errors.Is(err, errors.Full), "%v", err)
	require.Greater(t, n, 5)
	require.LessOrEqual(t, n, 12)
}

func TestNoSpaceLeftIsNoFailedDisk(t *testing.T) {
	var full atomic.Bool
	o := options(errorfs.Wrap(memFS(t), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind == errorfs.OpFileWrite && vfs.Default.PathBase(vfs.Default.PathDir(op.Path)) == temporaryFolder {
			return syscall.ENOSPC
		}
		return nil
	})))
	s := open(t, o)
	h, b := chunktest.Chunk(1, 100_000)
	full.Store(true)
	_, err := s.Put(t.Context(), h, b, chunktest.Ref(1))
	require.True(t, errors.Is(err, errors.Full), "%v", err)
	full.Store(false)
	chunktest.RequirePut(t, s, h, b, chunktest.Ref(1))
	names, err := o.FS.List("/data/disk/" + temporaryFolder)
	require.NoError(t, err)
	require.Empty(t, names)
}

func TestDisksOfSeveralAreTheirOwn(t *testing.T) {
	fs := memFS(t)
	require.NoError(t, fs.MkdirAll("/data/a", 0o700))
	require.NoError(t, fs.MkdirAll("/data/b", 0o700))
	o := options(fs)
	o.Disks = []Disk{{Path: "/data/a"}, {Path: "/data/b"}}
	put := func(s *Store, from, to int) {
		for i := from; i < to; i++ {
			h, b := chunktest.Chunk(int64(i), 40_000)
			chunktest.RequirePut(t, s, h, b, chunktest.Ref(i))
		}
	}
	s := open(t, o)
	put(s, 0, 20)
	both := status(t, s)
	require.EqualValues(t, 20, both.Chunks)
	onA := s.volumes[0].totals().Chunks
	require.Greater(t, onA, int64(2))
	require.Less(t, onA, int64(18))
	var owners [chunk.Partitions]string
	for p, v := range s.owners {
		owners[p] = v.disk.Path
	}
	require.NoError(t, s.Close())

	// A disk that cannot be opened takes only its own partitions away.
	require.NoError(t, fs.Rename("/data/b/"+markerFile, "/data/b/hidden"))
	s = open(t, o)
	st := status(t, s)
	require.True(t, st.ReadOnly)
	require.NotEqual(t, both.Incarnation, st.Incarnation)
	for i := range 20 {
		h, b := chunktest.Chunk(int64(i), 40_000)
		if owners[h.Partition()] == "/data/a" {
			chunktest.RequireGet(t, s, h, b)
			continue
		}
		_, err := s.Get(t.Context(), h)
		require.True(t, errors.Is(err, errors.Unavailable), "not found would be a lie: %v", err)
	}
	require.NoError(t, s.Close())

	// Back again, nothing has moved.
	require.NoError(t, fs.Rename("/data/b/hidden", "/data/b/"+markerFile))
	s = open(t, o)
	require.Equal(t, both.Incarnation, status(t, s).Incarnation)
	for p, v := range s.owners {
		require.Equal(t, owners[p], v.disk.Path)
	}
	require.NoError(t, s.Close())

	// Without it in the configuration, the other one takes its partitions.
	o.Disks = o.Disks[:1]
	s = open(t, o)
	put(s, 20, 40)
	require.False(t, status(t, s).ReadOnly)
}

func TestWrongDisksAreRefused(t *testing.T) {
	fs := memFS(t)
	o := options(fs)
	s := open(t, o)
	require.NoError(t, s.Close())
	marker := o.Disks[0].Path + "/" + markerFile
	rewrite := func(content string) {
		f, err := fs.Create(marker, fileCategory)
		require.NoError(t, err)
		_, err = f.Write([]byte(content))
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	id := s.volumes[0].identity
	good := fmt.Sprintf(`{"format":1,"cluster_id":%q,"node_id":%q,"incarnation":%q}`, id.ClusterID, id.NodeID, id.Incarnation)
	for want, content := range map[string]string{
		"formats up to 1":   `{"format":2,"cluster_id":7}`,
		"damaged":           `{"form`,
		"to the cluster":    fmt.Sprintf(`{"format":1,"cluster_id":%q,"node_id":%q}`, uuid.New(), id.NodeID),
		"to the node":       fmt.Sprintf(`{"format":1,"cluster_id":%q,"node_id":%q}`, id.ClusterID, uuid.New()),
		"not the one of it": fmt.Sprintf(`{"format":1,"cluster_id":%q,"node_id":%q,"incarnation":%q}`, id.ClusterID, id.NodeID, uuid.New()),
	} {
		rewrite(content)
		_, err := Open(o)
		require.ErrorContains(t, err, want)
	}
	require.NoError(t, fs.Remove(marker))
	_, err := Open(o)
	require.ErrorContains(t, err, "is not empty", "a folder without its marker is never formatted anew")
	rewrite(good)
	s = open(t, o)
	_, err = s.Get(context.Background(), chunk.Hash{})
	require.True(t, errors.Is(err, errors.NotFound))
}
