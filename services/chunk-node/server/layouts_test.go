package server

import (
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
	"deuxfleurs.fr/garage/pkg/chunk/remote"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
)

// layouts are those in force when a node was first alone, and joined by another one with each number.
func layouts(t *testing.T, id chunk.NodeID, oldest, number uint64) *layout.Active {
	t.Helper()
	var all []layout.Placement
	nodes := []layout.Node{{ID: id, Zone: "here", Tokens: 1}}
	for n := uint64(1); n <= number; n++ {
		if n > 1 {
			nodes = append(nodes, layout.Node{ID: uuid.NewSHA1(id, []byte{byte(n)}), Zone: "here", Tokens: 1})
		}
		l, err := layout.New(n, 1, nodes)
		require.NoError(t, err)
		a, err := layout.Assign(nil, l)
		require.NoError(t, err)
		if n >= oldest {
			all = append(all, layout.Placement{Layout: l, Assignment: a})
		}
	}
	active, err := layout.NewActive(all...)
	require.NoError(t, err)
	return active
}

func requireDiffers(t *testing.T, err error, number uint64) {
	t.Helper()
	got, differs := layout.Differing(err)
	require.True(t, differs, "%v", err)
	require.Equal(t, number, got)
}

func TestANodeThatIsBehindIsHandedTheLayoutsByWhoAsks(t *testing.T) {
	s := serve(t)
	one, two := s.client.At(layouts(t, s.id, 1, 1)), s.client.At(layouts(t, s.id, 1, 2))
	h, data := chunktest.Chunk(1, 100_000)
	chunktest.RequirePut(t, one, h, data, chunktest.Ref(1))
	require.EqualValues(t, 1, s.peers.Current().Number())
	o, err := two.PutRef(t.Context(), h, chunktest.Ref(2))
	require.NoError(t, err)
	require.Equal(t, chunk.Stored, o)
	require.EqualValues(t, 2, s.peers.Current().Number())
	require.EqualValues(t, 1, s.peers.Current().Oldest())

	told, err := one.Layouts(t.Context())
	require.NoError(t, err)
	require.Equal(t, s.peers.Current(), told)
	require.NoError(t, one.Adopt(t.Context(), layouts(t, s.id, 1, 1)), "an older one changes nothing")
	require.EqualValues(t, 2, s.peers.Current().Number())
}

func TestLayoutsAreExchangedWithinAClusterOnly(t *testing.T) {
	s := serve(t)
	status, err := s.client.Status(t.Context())
	require.NoError(t, err)
	of := func(cluster uuid.UUID) *remote.Client {
		c, err := remote.New(remote.Options{ID: s.id, ClusterID: cluster, Address: s.address, Pool: s.pool})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, c.Close()) })
		return c
	}
	stranger := of(uuid.New())
	h, _ := chunktest.Chunk(1, 1000)
	err = stranger.Adopt(t.Context(), layouts(t, s.id, 1, 5))
	require.True(t, errors.Is(err, errors.Invalid), "%v", err)
	_, err = stranger.Layouts(t.Context())
	require.True(t, errors.Is(err, errors.Invalid), "%v", err)
	_, err = stranger.At(layouts(t, s.id, 1, 5)).PutRef(t.Context(), h, chunktest.Ref(1))
	require.Error(t, err)
	require.Nil(t, s.peers.Current())
	require.NoError(t, of(status.ClusterID).Adopt(t.Context(), layouts(t, s.id, 1, 2)))
	require.EqualValues(t, 2, s.peers.Current().Number())
}

func TestOfManyRequestsToANodeThatIsBehindNoneFails(t *testing.T) {
	s := serve(t)
	h, data := chunktest.Chunk(1, 10_000)
	var work sync.WaitGroup
	for number := uint64(1); number <= 4; number++ {
		c := s.client.At(layouts(t, s.id, 1, number))
		for i := range 8 {
			ref := chunktest.Ref(int(number)*100 + i)
			work.Go(func() {
				if o, err := c.Put(t.Context(), h, data, ref); err != nil || o != chunk.Stored {
					t.Errorf("layout %d: %v, %v", number, o, err)
				}
			})
		}
		work.Wait()
		require.Equal(t, number, s.peers.Current().Number())
	}
}

func TestWhatWasComputedWithAnOlderLayoutIsRefused(t *testing.T) {
	s := serve(t)
	old, now := s.client.At(layouts(t, s.id, 1, 1)), s.client.At(layouts(t, s.id, 1, 3))
	h, data := chunktest.Chunk(1, 100_000)
	chunktest.RequirePut(t, now, h, data, chunktest.Ref(1))
	unknown, other := chunktest.Chunk(2, 100_000)

	_, err := old.Put(t.Context(), unknown, other, chunktest.Ref(2))
	requireDiffers(t, err, 3)
	_, err = old.PutFor(t.Context(), unknown, other, chunktest.Ref(2), uuid.New())
	requireDiffers(t, err, 3)
	_, err = old.PutRef(t.Context(), h, chunktest.Ref(2))
	requireDiffers(t, err, 3)
	requireDiffers(t, old.Delete(t.Context(), h, chunktest.Ref(1)), 3)
	_, err = old.Get(t.Context(), unknown)
	requireDiffers(t, err, 3)

	// What can do no harm is done, and what is here is found.
	chunktest.RequireGet(t, old, h, data)
	require.NoError(t, old.Owe(t.Context(), h, chunktest.Ref(1), uuid.New()))
	require.NoError(t, old.Repair(t.Context(), h, data))
	_, err = old.Status(t.Context())
	require.NoError(t, err)
	// A caller without layouts is let in.
	chunktest.RequirePut(t, s.client, h, data, chunktest.Ref(9))
	_, err = s.client.Get(t.Context(), unknown)
	require.True(t, errors.Is(err, errors.NotFound), "%v", err)
	require.EqualValues(t, 3, s.peers.Current().Number(), "nobody took it back")
}

func TestNodesCompareOverTheWire(t *testing.T) {
	s := serve(t)
	c := s.client.At(layouts(t, s.id, 1, 1))
	var hashes []chunk.Hash
	for i := range 5 {
		h, data := chunktest.Chunk(int64(i), 1000)
		chunktest.RequirePut(t, c, h, data, chunktest.Ref(i))
		hashes = append(hashes, h)
	}
	for _, h := range hashes {
		p := h.Partition()
		want, err := s.store.PartitionSums(t.Context(), []chunk.Partition{0, p})
		require.NoError(t, err)
		got, err := c.PartitionSums(t.Context(), []chunk.Partition{0, p})
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.NotZero(t, got[1])
		buckets, err := s.store.BucketSums(t.Context(), p)
		require.NoError(t, err)
		gotBuckets, err := c.BucketSums(t.Context(), p)
		require.NoError(t, err)
		require.Equal(t, buckets, gotBuckets)
		require.NotZero(t, gotBuckets[h.Bucket()])
		entries, err := c.Entries(t.Context(), p, h.Bucket(), chunk.Hash{}, 10)
		require.NoError(t, err)
		require.Len(t, entries, 1)
		require.Equal(t, h, entries[0].Hash)
		require.Len(t, entries[0].Refs, 1)
		none, err := c.Entries(t.Context(), p, h.Bucket(), h, 10)
		require.NoError(t, err)
		require.Empty(t, none)
	}
	_, err := s.client.At(layouts(t, s.id, 1, 2)).PartitionSums(t.Context(), nil)
	require.NoError(t, err)
	_, err = c.PartitionSums(t.Context(), nil)
	requireDiffers(t, err, 2)
}
