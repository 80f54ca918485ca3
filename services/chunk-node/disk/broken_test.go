package disk

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/chunk-node/heal"
)

func twoDisks(fs vfs.FS) Options {
	o := options(fs)
	o.Disks = []Disk{{Path: "/data/disk"}, {Path: "/data/second"}}
	return o
}

var allPartitions = func() (all []chunk.Partition) {
	for p := range chunk.Partition(chunk.Partitions) {
		all = append(all, p)
	}
	return all
}()

func TestWhatIsOnADiskThatCannotBeOpenedIsUnknown(t *testing.T) {
	fs := memFS(t)
	s, err := Open(twoDisks(fs))
	require.NoError(t, err)
	var stored []chunk.Hash
	for i := range 50 {
		h, b := chunktest.Chunk(int64(i), 1000)
		chunktest.RequirePut(t, s, h, b, chunktest.Ref(i))
		stored = append(stored, h)
	}
	whole, err := s.PartitionSums(t.Context(), allPartitions)
	require.NoError(t, err)
	require.NoError(t, s.SetNote(t.Context(), "walk", []byte("half")))
	require.NoError(t, s.Close())
	require.NoError(t, fs.RemoveAll("/data/second"))
	f, err := fs.Create("/data/second", vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	require.NoError(t, f.Close())

	s, err = Open(twoDisks(fs))
	require.NoError(t, err)
	held, unreadable, err := s.Held(t.Context())
	require.NoError(t, err)
	sums, err := s.PartitionSums(t.Context(), allPartitions)
	require.NoError(t, err)
	require.NotEmpty(t, held)
	require.Len(t, unreadable, chunk.Partitions/2)
	for _, h := range stored {
		p := h.Partition()
		if s.owners[p] != nil {
			require.Contains(t, held, p)
			require.Equal(t, whole[p], sums[p])
			continue
		}
		require.Contains(t, unreadable, p)
		require.Equal(t, chunk.UnknownSum, sums[p])
		_, err := s.BucketSums(t.Context(), p)
		require.True(t, chunk.DiskFailed(err), "%v", err)
		_, err = s.PutRef(t.Context(), h, chunktest.Ref(1000))
		require.True(t, chunk.DiskFailed(errors.FromStatus(errors.ToStatus(err))), "%v", err)
	}
	note, err := s.Note(t.Context(), "walk")
	require.NoError(t, err)
	require.Equal(t, "half", string(note))
	require.NoError(t, s.Close())

	require.NoError(t, fs.RemoveAll("/data/second"))
	s = open(t, twoDisks(fs))
	again, unreadable, err := s.Held(t.Context())
	require.NoError(t, err)
	require.Empty(t, unreadable, "an empty disk in its place is known to hold nothing")
	require.Equal(t, held, again)
}

func TestTheTasksGoOnWithTheDisksThatWork(t *testing.T) {
	fs := memFS(t)
	s, err := Open(twoDisks(fs))
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	lost := map[bool]int{}
	for i := range 40 {
		h, b := chunktest.Chunk(int64(i), 1000)
		ref := chunktest.Ref(i)
		chunktest.RequirePut(t, s, h, b, ref)
		require.NoError(t, s.Owe(t.Context(), h, ref, chunk.NodeID{9}))
		missing, _ := chunktest.Chunk(int64(100+i), 1000)
		require.NoError(t, s.Want(t.Context(), missing, 1000, []chunk.Ref{chunktest.Ref(100 + i)}))
		lost[s.owners[h.Partition()] == s.volumes[1]]++
	}
	require.NoError(t, s.SetNote(t.Context(), "tasks", []byte("before")))
	_ = s.volumes[1].fail(errors.New("no medium"), "writing")

	require.NoError(t, s.SetNote(t.Context(), "tasks", []byte("after")))
	note, err := s.Note(t.Context(), "tasks")
	require.NoError(t, err)
	require.Equal(t, "after", string(note))
	debts, err := s.Debts(t.Context(), chunk.NodeID{9}, heal.Debt{}, 100)
	require.NoError(t, err)
	require.Len(t, debts, lost[false])
	wanted, err := s.Wanted(t.Context(), time.Now().Add(time.Hour), 100)
	require.NoError(t, err)
	require.NotEmpty(t, wanted)
	for _, d := range wanted {
		require.NoError(t, s.Tried(t.Context(), d.Hash, "nobody has it", time.Now()))
	}
	_ = s.volumes[0].fail(errors.New("no medium"), "writing")
	require.True(t, errors.Is(s.SetNote(t.Context(), "tasks", []byte("never")), errors.Unavailable))
}

func TestANoteIsWrittenWhereADiskFailsMeanwhile(t *testing.T) {
	var broken atomic.Bool
	s, err := Open(twoDisks(errorfs.Wrap(memFS(t), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && isSync(op) && strings.HasPrefix(op.Path, "/data/disk/") {
			return errors.New("no medium")
		}
		return nil
	}))))
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	broken.Store(true)
	require.NoError(t, s.SetNote(t.Context(), "tasks", []byte("after")))
	require.Error(t, s.volumes[0].failed())
	note, err := s.Note(t.Context(), "tasks")
	require.NoError(t, err)
	require.Equal(t, "after", string(note))
}
