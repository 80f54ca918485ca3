package chunktest

import (
	"context"
	"encoding/binary"
	"math/rand"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
)

// Damager is a store whose copies a test can damage. Both methods report
// whether there was a copy.
type Damager interface {
	Corrupt(h chunk.Hash) bool // flips a bit of the copy
	Lose(h chunk.Hash) bool    // takes the copy away, behind the store's back
}

// Run holds a store to the contract. open makes an empty one for each test,
// and closes it with t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) chunk.Store) {
	for name, test := range map[string]func(*testing.T, chunk.Store){
		"what was put is read":                                putIsRead,
		"sizes on both sides of every threshold":              sizes,
		"what was not put is not found":                       notFound,
		"bytes with another hash are refused":                 wrongHash,
		"empty and oversize chunks are refused":               badSizes,
		"a reference needs the bytes first":                   referenceNeedsBytes,
		"a reference alone keeps the chunk":                   referenceKeeps,
		"a removed reference stays removed":                   tombstone,
		"an unknown reference can be removed too":             tombstoneFirst,
		"references are a set":                                set,
		"the same attempt may hold one chunk at many offsets": offsets,
		"many at once on one chunk":                           concurrentOnOne,
		"many at once on many chunks":                         concurrentOnMany,
		"put and delete at once":                              putAndDelete,
		"an ended context has no effect":                      endedContext,
		"the caller's buffer stays the caller's":              buffers,
		"random operations agree with a model":                model,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
	for name, test := range map[string]func(*testing.T, chunk.Node){
		"repair does nothing to what is well":   repairNothing,
		"repair adds no reference":              repairNoReference,
		"repair refuses bytes of another hash":  repairWrongHash,
		"debts are counted":                     debts,
		"the status says what is stored":        status,
		"damaged copies are not served":         damaged,
		"a damaged copy is repaired":            repaired,
		"a put of a damaged chunk brings it in": putOverDamaged,
	} {
		t.Run(name, func(t *testing.T) {
			if node, ok := open(t).(chunk.Node); ok {
				test(t, node)
			}
		})
	}
}

// Sizes are chunk sizes in bytes around the thresholds that stores have.
var Sizes = []int{
	1, 2, 1023, 1024, 1025, 4095, 4096, 4097, 16383, 16384, 16385, 32<<10 - 1, 32 << 10, 32<<10 + 1,
	64<<10 - 1, 64 << 10, 64<<10 + 1, 128 << 10, 256<<10 - 1, 256 << 10, 256<<10 + 1, 1<<20 - 1, 1 << 20, 1<<20 + 1, 5<<20 + 12345, chunk.MaxSize,
}

// Chunk makes a chunk of random bytes, always the same for the same seed and size.
func Chunk(seed int64, size int) (chunk.Hash, *buffer.Buffer) {
	data := make([]byte, size)
	rand.New(rand.NewSource(seed)).Read(data)
	return Of(data)
}

// Of makes a chunk of the given bytes, in segments as they come from a pool.
func Of(data []byte) (chunk.Hash, *buffer.Buffer) {
	var segments [][]byte
	for rest := data; len(rest) > 0; {
		n := min(buffer.SegmentSize, len(rest))
		segments = append(segments, rest[:n:n])
		rest = rest[n:]
	}
	b := buffer.FromSegments(segments, nil)
	return chunk.HashOf(b), b
}

// Ref makes the n-th reference of a test: always the same for the same n.
func Ref(n int) chunk.Ref {
	var u uuid.UUID
	binary.BigEndian.PutUint64(u[8:], uint64(n))
	return chunk.Ref{Attempt: u, Offset: uint64(n) << 20}
}

func ctx(t *testing.T) context.Context { return t.Context() }

// RequirePut puts a chunk, which must be stored.
func RequirePut(t *testing.T, s chunk.Store, h chunk.Hash, b *buffer.Buffer, ref chunk.Ref) {
	t.Helper()
	outcome, err := s.Put(ctx(t), h, b, ref)
	require.NoError(t, err)
	require.Equal(t, chunk.Stored, outcome)
}

// RequireGet reads a chunk, which must be there with the bytes of want.
func RequireGet(t *testing.T, s chunk.Store, h chunk.Hash, want *buffer.Buffer) {
	t.Helper()
	got, err := s.Get(ctx(t), h)
	require.NoError(t, err)
	defer got.Release()
	require.Equal(t, want.Len(), got.Len())
	require.Equal(t, h, chunk.HashOf(got), "the bytes have another hash")
}

func requirePutRef(t *testing.T, s chunk.Store, h chunk.Hash, ref chunk.Ref, want chunk.Outcome) {
	t.Helper()
	outcome, err := s.PutRef(ctx(t), h, ref)
	require.NoError(t, err)
	require.Equal(t, want, outcome)
}
