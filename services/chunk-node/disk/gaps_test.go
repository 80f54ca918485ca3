package disk

import (
	"os"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
)

// in is the partitions of a set.
func in(s *chunk.PartitionSet) (all []chunk.Partition) {
	for p := range chunk.Partition(chunk.Partitions) {
		if s.Has(p) {
			all = append(all, p)
		}
	}
	return all
}

func TestGapsAreThePartitionsInWhichAnythingIsMissing(t *testing.T) {
	s, ctx := open(t, options(memFS(t))), t.Context()
	gaps, err := s.Gaps(ctx)
	require.NoError(t, err)
	require.Empty(t, in(&gaps.Wanted))
	require.Empty(t, gaps.Owed)
	wanted, owed := map[chunk.Partition]bool{}, map[chunk.Partition]bool{}
	want := func(h chunk.Hash) {
		wanted[h.Partition()] = true
		require.NoError(t, s.Want(ctx, h, 1000, []chunk.Ref{chunktest.Ref(1)}))
	}
	for _, h := range []chunk.Hash{{}, {0, 1}, {0, 0x10}, {0xff, 0xff}} { // the first partition twice, the second, the last
		want(h)
	}
	friend := uuid.New()
	for i := range 50 {
		h, b := chunktest.Chunk(int64(i), 100)
		chunktest.RequirePut(t, s, h, b, chunktest.Ref(i))
		require.NoError(t, s.Owe(ctx, h, chunktest.Ref(i), friend))
		owed[h.Partition()] = true
	}
	gaps, err = s.Gaps(ctx)
	require.NoError(t, err)
	for p := range chunk.Partition(chunk.Partitions) {
		require.Equal(t, wanted[p], gaps.Wanted.Has(p), "%v", p)
		require.Equal(t, owed[p], gaps.Owed[friend].Has(p), "%v", p)
		require.False(t, gaps.Failed.Has(p))
	}
	require.Len(t, gaps.Owed, 1)
	require.Len(t, in(&gaps.Wanted), 3)
}

func TestADiskThatFailsIsAGapInItsPartitions(t *testing.T) {
	s := open(t, options(memFS(t)))
	s.volumes[0].fail(os.ErrInvalid, "a test")
	gaps, err := s.Gaps(t.Context())
	require.NoError(t, err)
	require.Len(t, in(&gaps.Failed), chunk.Partitions)
}

func TestCopiesThatTurnOutBadAndAreReplacedAreCounted(t *testing.T) {
	s := open(t, options(memFS(t)))
	h, b := chunktest.Chunk(1, 1000)
	chunktest.RequirePut(t, s, h, b, chunktest.Ref(1))
	require.Zero(t, status(t, s).Damaged)
	for i := range int64(2) {
		require.True(t, damageable{s}.Corrupt(h))
		_, good, err := s.Verify(t.Context(), h)
		require.NoError(t, err)
		require.False(t, good)
		require.Equal(t, i+1, status(t, s).Damaged)
		require.Equal(t, i, status(t, s).Mended)
		require.NoError(t, s.Repair(t.Context(), h, b))
		require.Equal(t, i+1, status(t, s).Mended)
	}
}
