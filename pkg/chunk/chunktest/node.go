package chunktest

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
)

func repairNothing(t *testing.T, n chunk.Node) {
	h, b := Chunk(1, 100_000)
	RequirePut(t, n, h, b, Ref(1))
	require.NoError(t, n.Repair(ctx(t), h, b))
	RequireGet(t, n, h, b)
	st, err := n.Status(ctx(t))
	require.NoError(t, err)
	require.EqualValues(t, 1, st.Chunks)
}

func repairNoReference(t *testing.T, n chunk.Node) {
	h, b := Chunk(1, 100_000)
	require.NoError(t, n.Repair(ctx(t), h, b))
	_, err := n.Get(ctx(t), h)
	require.True(t, errors.Is(err, errors.NotFound), "%v", err)
	requirePutRef(t, n, h, Ref(1), chunk.SendData)
	st, err := n.Status(ctx(t))
	require.NoError(t, err)
	require.Zero(t, st.Chunks)
}

func repairWrongHash(t *testing.T, n chunk.Node) {
	h, b := Chunk(1, 100_000)
	_, other := Chunk(2, 100_000)
	RequirePut(t, n, h, b, Ref(1))
	require.True(t, errors.Is(n.Repair(ctx(t), h, other), errors.Invalid))
	RequireGet(t, n, h, b)
}

func debts(t *testing.T, n chunk.Node) {
	h, b := Chunk(1, 1000)
	RequirePut(t, n, h, b, Ref(1))
	owner := uuid.UUID{1}
	for range 2 {
		require.NoError(t, n.Owe(ctx(t), h, Ref(1), owner))
	}
	require.NoError(t, n.Owe(ctx(t), h, Ref(1), uuid.UUID{2}))
	st, err := n.Status(ctx(t))
	require.NoError(t, err)
	require.EqualValues(t, 2, st.Owed)
}

func status(t *testing.T, n chunk.Node) {
	small, smallData := Chunk(1, 1000)
	large, largeData := Chunk(2, 100_000)
	RequirePut(t, n, small, smallData, Ref(1))
	RequirePut(t, n, large, largeData, Ref(2))
	RequirePut(t, n, large, largeData, Ref(3))
	st, err := n.Status(ctx(t))
	require.NoError(t, err)
	require.NotEqual(t, uuid.Nil, st.ID)
	require.EqualValues(t, 2, st.Chunks)
	require.EqualValues(t, 101_000, st.Bytes)
	require.False(t, st.ReadOnly, st.Problem)
	require.NoError(t, n.Delete(ctx(t), small, Ref(1)))
	require.NoError(t, n.Delete(ctx(t), large, Ref(3)))
	st, err = n.Status(ctx(t))
	require.NoError(t, err)
	require.EqualValues(t, 1, st.Chunks)
	require.EqualValues(t, 100_000, st.Bytes)
}

// damagers calls test with each kind of damage done to chunks of two sizes.
func damagers(t *testing.T, n chunk.Node, test func(t *testing.T, seed int, size int, damage func(chunk.Hash) bool)) {
	d, ok := n.(Damager)
	if !ok {
		return
	}
	seed := 0
	for _, size := range []int{1000, 100_000} {
		for _, damage := range []func(chunk.Hash) bool{d.Corrupt, d.Lose} {
			seed++
			test(t, seed, size, damage)
		}
	}
}

func requireNoCopy(t *testing.T, n chunk.Node, h chunk.Hash) {
	t.Helper()
	for range 2 {
		_, err := n.Get(ctx(t), h)
		require.True(t, errors.Is(err, errors.Corrupted) || errors.Is(err, errors.NotFound), "%v", err)
	}
}

func damaged(t *testing.T, n chunk.Node) {
	damagers(t, n, func(t *testing.T, seed, size int, damage func(chunk.Hash) bool) {
		h, b := Chunk(int64(seed), size)
		RequirePut(t, n, h, b, Ref(seed))
		require.True(t, damage(h))
		requireNoCopy(t, n, h)
	})
}

func repaired(t *testing.T, n chunk.Node) {
	damagers(t, n, func(t *testing.T, seed, size int, damage func(chunk.Hash) bool) {
		h, b := Chunk(int64(seed), size)
		RequirePut(t, n, h, b, Ref(seed))
		require.True(t, damage(h))
		if seed%2 == 0 { // noticed, or not
			requireNoCopy(t, n, h)
		}
		require.NoError(t, n.Repair(ctx(t), h, b))
		RequireGet(t, n, h, b)
		require.NoError(t, n.Delete(ctx(t), h, Ref(seed)))
		requirePutRef(t, n, h, Ref(seed), chunk.Gone)
	})
}

func putOverDamaged(t *testing.T, n chunk.Node) {
	damagers(t, n, func(t *testing.T, seed, size int, damage func(chunk.Hash) bool) {
		h, b := Chunk(int64(seed), size)
		RequirePut(t, n, h, b, Ref(seed))
		require.True(t, damage(h))
		requireNoCopy(t, n, h)
		RequirePut(t, n, h, b, Ref(100+seed))
		RequireGet(t, n, h, b)
	})
}
