package chunktest

import (
	"fmt"
	"math/rand"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
)

func concurrentOnOne(t *testing.T, s chunk.Store) {
	for i, size := range []int{1000, 100_000} {
		h, b := Chunk(int64(i), size)
		var g errgroup.Group
		for n := range 16 {
			g.Go(func() error {
				for k := range 10 {
					ref := Ref(10_000*i + 100*n + k)
					if outcome, err := s.Put(t.Context(), h, b, ref); err != nil || outcome != chunk.Stored {
						return fmt.Errorf("put: %v, %w", outcome, err)
					}
					got, err := s.Get(t.Context(), h)
					if err != nil {
						return err
					}
					got.Release()
					if k > 0 {
						if err := s.Delete(t.Context(), h, ref); err != nil {
							return err
						}
					}
				}
				return nil
			})
		}
		require.NoError(t, g.Wait())
		RequireGet(t, s, h, b)
		for n := range 16 {
			requirePutRef(t, s, h, Ref(10_000*i+100*n), chunk.Stored)
			requirePutRef(t, s, h, Ref(10_000*i+100*n+1), chunk.Gone)
		}
	}
}

func concurrentOnMany(t *testing.T, s chunk.Store) {
	var g errgroup.Group
	for n := range 8 {
		g.Go(func() error {
			for k := range 20 {
				h, b := Chunk(int64(100*n+k), 1+(k*7919)%150_000)
				if outcome, err := s.Put(t.Context(), h, b, Ref(100*n+k)); err != nil || outcome != chunk.Stored {
					return fmt.Errorf("put: %v, %w", outcome, err)
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	for n := range 8 {
		for k := range 20 {
			h, b := Chunk(int64(100*n+k), 1+(k*7919)%150_000)
			RequireGet(t, s, h, b)
		}
	}
}

// putAndDelete races a Put with the Delete of its own reference, while others hold or do not hold the chunk.
func putAndDelete(t *testing.T, s chunk.Store) {
	for i := range 20 {
		h, b := Chunk(int64(i), 1000+(i%2)*100_000)
		var g errgroup.Group
		var outcome chunk.Outcome
		g.Go(func() (err error) { outcome, err = s.Put(t.Context(), h, b, Ref(2*i)); return err })
		g.Go(func() error { return s.Delete(t.Context(), h, Ref(2*i)) })
		g.Go(func() error { _, err := s.Put(t.Context(), h, b, Ref(2*i+1)); return err })
		require.NoError(t, g.Wait())
		require.NotEqual(t, chunk.SendData, outcome)
		RequireGet(t, s, h, b)
		requirePutRef(t, s, h, Ref(2*i), chunk.Gone)
		requirePutRef(t, s, h, Ref(2*i+1), chunk.Stored)
	}
}

// known is what the model holds of one chunk.
type known struct {
	data *buffer.Buffer
	refs map[int]bool // false: removed
}

func (k *known) live() bool {
	for _, live := range k.refs {
		if live {
			return true
		}
	}
	return false
}

// model runs random operations and compares with a map. A chunk without
// references may be there or not, so its bytes are compared only where they are.
func model(t *testing.T, s chunk.Store) {
	seed := rand.Int63()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewSource(seed))
	chunks := map[chunk.Hash]*known{}
	var hashes []chunk.Hash
	for i := range 12 {
		h, b := Chunk(seed+int64(i), 1+r.Intn(3)*r.Intn(60_000))
		hashes = append(hashes, h)
		chunks[h] = &known{data: b, refs: map[int]bool{}}
	}
	for range 400 {
		at := r.Intn(len(hashes))
		h, k := hashes[at], chunks[hashes[at]]
		n := r.Intn(6)
		ref := Ref(at*100 + n) // a reference is never used for two chunks
		live, known := k.refs[n]
		gone := known && !live
		switch r.Intn(4) {
		case 0:
			outcome, err := s.Put(t.Context(), h, k.data, ref)
			require.NoError(t, err)
			require.Equal(t, gone, outcome == chunk.Gone)
			require.NotEqual(t, chunk.SendData, outcome)
			k.refs[n] = !gone
		case 1:
			wasLive := k.live()
			outcome, err := s.PutRef(t.Context(), h, ref)
			require.NoError(t, err)
			require.Equal(t, gone, outcome == chunk.Gone)
			require.False(t, wasLive && outcome == chunk.SendData, "a chunk that is referred to was not there")
			if outcome == chunk.Stored {
				k.refs[n] = true
			}
		case 2:
			require.NoError(t, s.Delete(t.Context(), h, ref))
			k.refs[n] = false
		case 3:
			got, err := s.Get(t.Context(), h)
			if k.live() {
				require.NoError(t, err)
			}
			if err != nil {
				require.True(t, errors.Is(err, errors.NotFound), "%v", err)
				continue
			}
			require.NoError(t, chunk.Verify(h, got))
			got.Release()
		}
	}
}
