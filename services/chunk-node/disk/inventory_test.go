package disk

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"lukechampine.com/blake3"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/chunk-node/heal"
)

// inPartition are chunks of one partition, in the order of their hashes. Only their hashes matter.
func inPartition(p chunk.Partition, n int) (all []chunk.Hash) {
	for i := range n {
		h := first(p)
		h[1] |= byte(i * 16 / n)
		h[2], h[31] = byte(i*256*16/n), byte(i+1)
		all = append(all, h)
	}
	return all
}

// sumOf is the sum of some bytes, as pkg/chunk describes sums.
func sumOf(p []byte) (s chunk.Sum) {
	if len(p) > 0 {
		sum := blake3.Sum256(p)
		copy(s[:], sum[:])
	}
	return s
}

func TestSumsTellWhatIsLive(t *testing.T) {
	s, ctx := open(t, options(memFS(t))), t.Context()
	p := chunk.Partition(0xabc)
	held := append(inPartition(p, 700), inPartition(p-1, 3)...)
	held = append(held, inPartition(p+1, 3)...)
	var plain [chunk.Buckets][]byte
	for i, h := range held {
		refs := []chunk.Ref{chunktest.Ref(i), chunktest.Ref(i + 1000)}[:1+i%2]
		require.NoError(t, s.Want(ctx, h, 1, refs))
		require.NoError(t, s.Delete(ctx, h, chunktest.Ref(i+2000)), "a tombstone is not summed up")
		if h.Partition() == p {
			plain[h.Bucket()] = append(plain[h.Bucket()], h[:]...)
			for _, ref := range refs {
				plain[h.Bucket()], _ = ref.AppendBinary(plain[h.Bucket()])
			}
		}
	}
	sums, err := s.BucketSums(ctx, p)
	require.NoError(t, err)
	var all []byte
	for b := range chunk.Buckets {
		want := sumOf(plain[b])
		require.Equal(t, want, sums[b], "bucket %d", b)
		all = append(all, want[:]...)
	}
	partitions, err := s.PartitionSums(ctx, []chunk.Partition{p, 0, p + 1})
	require.NoError(t, err)
	require.Equal(t, sumOf(all), partitions[0])
	require.Equal(t, chunk.Sum{}, partitions[1], "nothing at all")
	require.NotEqual(t, chunk.Sum{}, partitions[2])
	require.NotEqual(t, partitions[0], partitions[2])

	require.NoError(t, s.Delete(ctx, held[0], chunktest.Ref(0)))
	after, err := s.BucketSums(ctx, p)
	require.NoError(t, err)
	for b := range chunk.Buckets {
		require.Equal(t, b != int(held[0].Bucket()), sums[b] == after[b], "bucket %d", b)
	}
}

func TestAnInventoryIsReadInPages(t *testing.T) {
	o := options(memFS(t))
	for _, path := range []string{"/data/a", "/data/b"} {
		require.NoError(t, o.FS.MkdirAll(path, 0o700))
	}
	o.Disks = []Disk{{Path: "/data/a"}, {Path: "/data/b"}}
	s, ctx := open(t, o), t.Context()
	var held []chunk.Partition
	for _, p := range []chunk.Partition{0, 1, 0x7ff, 0x800, 0xfff} {
		held = append(held, p)
		all := inPartition(p, 40)
		for i, h := range all {
			require.NoError(t, s.Want(ctx, h, uint32(i+1), []chunk.Ref{chunktest.Ref(i)}))
		}
		require.NoError(t, s.Delete(ctx, all[7], chunktest.Ref(7)))
		require.NoError(t, s.Delete(ctx, chunk.Hash{0x10, 1}, chunktest.Ref(0)), "a tombstone is nothing that is held")

		var hashes []chunk.Hash
		for after := (chunk.Hash{}); ; after = hashes[len(hashes)-1] {
			page, err := s.Hashes(ctx, p, after, 15)
			require.NoError(t, err)
			hashes = append(hashes, page...)
			if len(page) < 15 {
				break
			}
		}
		require.Equal(t, all, hashes, "what waits for collection is known too")
		var entries []chunk.Hash
		for b := range chunk.Buckets {
			for after, more := (chunk.Hash{}), true; more; {
				page, err := s.Entries(ctx, p, uint8(b), after, 1)
				require.NoError(t, err)
				for _, e := range page {
					i := int(e.Hash[31]) - 1
					require.Equal(t, chunk.Entry{Hash: all[i], Length: uint32(i + 1), Refs: []chunk.Ref{chunktest.Ref(i)}}, e)
					entries = append(entries, e.Hash)
					after = e.Hash
				}
				more = len(page) == 1
			}
		}
		require.Equal(t, append(append([]chunk.Hash{}, all[:7]...), all[8:]...), entries, "what has no reference is no entry")
	}
	got, _, err := s.Held(ctx)
	require.NoError(t, err)
	require.Equal(t, held, got)
}

func TestChunkTellsWhatIsKnown(t *testing.T) {
	s, ctx := open(t, options(memFS(t))), t.Context()
	h, b := chunktest.Chunk(1, 1000)
	_, err := s.Chunk(ctx, h)
	require.True(t, errors.Is(err, errors.NotFound), "%v", err)
	for i := range 3 {
		chunktest.RequirePut(t, s, h, b, chunktest.Ref(2-i))
	}
	e, err := s.Chunk(ctx, h)
	require.NoError(t, err)
	require.Equal(t, chunk.Entry{Hash: h, Length: 1000, Good: true, Refs: []chunk.Ref{chunktest.Ref(0), chunktest.Ref(1), chunktest.Ref(2)}}, e)
	for i := range 3 {
		require.NoError(t, s.Delete(ctx, h, chunktest.Ref(i)))
	}
	e, err = s.Chunk(ctx, h)
	require.NoError(t, err)
	require.Empty(t, e.Refs)
}

func TestDebtsAreReadInPages(t *testing.T) {
	o := options(memFS(t))
	for _, path := range []string{"/data/a", "/data/b"} {
		require.NoError(t, o.FS.MkdirAll(path, 0o700))
	}
	o.Disks = []Disk{{Path: "/data/a"}, {Path: "/data/b"}}
	c := clock.NewManual(time.Unix(1_700_000_000, 0))
	o.Clock = c
	s, ctx := open(t, o), t.Context()
	none, err := s.Creditors(ctx)
	require.NoError(t, err)
	require.Empty(t, none)
	owners := []chunk.NodeID{{1}, {2}, {255, 255}}
	for i := range 30 {
		h, _ := chunktest.Chunk(int64(i), 100)
		for n := range 2 {
			require.NoError(t, s.Owe(ctx, h, chunktest.Ref(n), owners[i%3]))
		}
	}
	creditors, err := s.Creditors(ctx)
	require.NoError(t, err)
	require.Equal(t, owners, creditors)
	for _, owner := range owners {
		all, err := s.Debts(ctx, owner, heal.Debt{}, 100)
		require.NoError(t, err)
		require.Len(t, all, 20)
		var paged []heal.Debt
		for after := (heal.Debt{}); ; after = paged[len(paged)-1] {
			page, err := s.Debts(ctx, owner, after, 7)
			require.NoError(t, err)
			paged = append(paged, page...)
			if len(page) < 7 {
				break
			}
		}
		require.Equal(t, all, paged)
		require.True(t, all[0].Since.Equal(c.Now()))
	}
}

// BenchmarkSums sums up a partition of a disk with a million chunks, and all of them.
func BenchmarkSums(b *testing.B) {
	s := benchmarkStore(b, true, nil)
	const chunks = 1 << 20
	batch := s.volumes[0].db.NewBatch()
	for i := range chunks {
		h, _ := chunktest.Of(fmt.Appendf(nil, "%d", i))
		require.NoError(b, batch.Set(appendRefKey(nil, keyLive, h, chunktest.Ref(i)), nil, nil))
		if batch.Count() == 1000 {
			require.NoError(b, batch.Commit(nil))
			batch = s.volumes[0].db.NewBatch()
		}
	}
	require.NoError(b, batch.Commit(nil))
	for name, step := range map[string]chunk.Partition{"one partition": chunk.Partitions, "all": 1} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				for p := chunk.Partition(0); p < chunk.Partitions; p += step {
					_, err := s.BucketSums(b.Context(), p)
					require.NoError(b, err)
				}
			}
		})
	}
}
