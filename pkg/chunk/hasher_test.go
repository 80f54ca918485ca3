package chunk

import (
	"math/rand"
	"testing"

	"github.com/stretchr/testify/require"
	"lukechampine.com/blake3"

	"deuxfleurs.fr/garage/pkg/buffer"
)

func TestHasherAgreesWithTheLibraryWhateverTheSizesOfThePieces(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	data := make([]byte, 5<<20)
	r.Read(data)
	sizes := []int{0, 1, 1023, 1024, 1025, 2048, 4096, 16383, 16384, 16385, 32767, 32768, 32769, 49152, 65536, 65537, 1 << 20, 1<<20 + 1, 5 << 20}
	for range 200 {
		sizes = append(sizes, r.Intn(300_000))
	}
	for _, size := range sizes {
		want := Hash(blake3.Sum256(data[:size]))
		for _, most := range []int{1 << 10, 20_000, 65536, 6 << 20} {
			h := NewHasher()
			for rest := data[:size]; len(rest) > 0; {
				n := min(1+r.Intn(most), len(rest))
				if most == 65536 {
					n = min(most, len(rest))
				}
				_, _ = h.Write(rest[:n])
				rest = rest[n:]
			}
			require.Equal(t, want, h.Sum(), "%d bytes in pieces of at most %d", size, most)
		}
	}
}

func TestHashOfAllocatesNothing(t *testing.T) {
	segments := make([][]byte, 16)
	for i := range segments {
		segments[i] = make([]byte, buffer.SegmentSize)
	}
	b := buffer.FromSegments(segments, nil)
	HashOf(b)
	require.Less(t, testing.AllocsPerRun(100, func() { HashOf(b) }), 0.5)
}

func BenchmarkHashOf1MiB(b *testing.B) {
	segments := make([][]byte, 16)
	for i := range segments {
		segments[i] = make([]byte, buffer.SegmentSize)
	}
	data := buffer.FromSegments(segments, nil)
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		HashOf(data)
	}
}

func BenchmarkHashOf4KiB(b *testing.B) {
	data := buffer.FromBytes(make([]byte, 4096))
	b.SetBytes(4096)
	b.ReportAllocs()
	for b.Loop() {
		HashOf(data)
	}
}
