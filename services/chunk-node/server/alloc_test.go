//go:build !race

// The race detector allocates by itself and empties pools at random.

package server

import (
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
)

// allocated is how many bytes a call takes from the heap on average.
func allocated(calls int, call func(i int)) int {
	call(0) // what is made once
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range calls {
		call(1 + i)
	}
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc-before.TotalAlloc) / calls
}

// TestABodyIsNotCopiedToTheHeap guards the hot path: a chunk of 1 MiB goes
// through in pooled memory, whether called directly or over the wire.
func TestABodyIsNotCopiedToTheHeap(t *testing.T) {
	const size, calls = 1 << 20, 16
	s := serve(t)
	for name, c := range map[string]struct {
		store chunk.Store
		limit int // bytes of heap for each call
		first int
	}{
		"direct":        {s.store, size / 16, 0},
		"over the wire": {s.client, size / 2, 100}, // both sides; gRPC's pools fill at first
	} {
		base := make([]byte, size)
		var hashes []chunk.Hash
		puts := make([]func(), calls+1)
		for i := range puts {
			p := append([]byte(nil), base...)
			binary.BigEndian.PutUint64(p, uint64(c.first+i))
			h, b := chunktest.Of(p)
			hashes = append(hashes, h)
			puts[i] = func() { chunktest.RequirePut(t, c.store, h, b, chunktest.Ref(c.first+i)) }
		}
		require.Less(t, allocated(calls, func(i int) { puts[i]() }), c.limit, "PUT %s", name)
		require.Less(t, allocated(calls, func(i int) {
			got, err := c.store.Get(t.Context(), hashes[i])
			require.NoError(t, err)
			got.Release()
		}), c.limit, "GET %s", name)
	}
}
