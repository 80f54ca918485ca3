package checksum

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
)

func random(n int) []byte {
	p := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(p)
	return p
}

// see hands a piece over as the data path does: in segments, its own reference dropped at once.
func see(s *Stages, p []byte) {
	var segments [][]byte
	for len(p) > 0 {
		n := min(len(p), buffer.SegmentSize)
		segments = append(segments, p[:n])
		p = p[n:]
	}
	b := buffer.FromSegments(segments, nil)
	s.See(b)
	b.Release()
}

func TestBodiesOfAllSizesAreHashedWhole(t *testing.T) {
	h := NewHashers()
	defer h.Close()
	for _, size := range []int{0, 1, 4096, small, small + 1, 1 << 20, 3<<20 + 17} {
		for _, known := range []bool{true, false} {
			body := random(size)
			declared := int64(size)
			if !known {
				declared = -1
			}
			s := h.Stages(declared, all...)
			for rest := body; len(rest) > 0; {
				n := min(len(rest), 1<<20)
				see(s, rest[:n])
				rest = rest[n:]
			}
			sums := s.Sums()
			s.Close()
			require.Equal(t, md5.Sum(body), sums.MD5)
			require.Equal(t, hex.EncodeToString(sums.MD5[:]), sums.ETag())
			for _, a := range all {
				require.Equal(t, a.Of(body), sums.Value(a), a)
			}
		}
	}
}

func TestManyBodiesAtOnceAreHashedApart(t *testing.T) {
	h := NewHashers()
	defer h.Close()
	for range 3 { // lanes are used again
		var bodies [12][]byte
		var stages [len(bodies)]*Stages
		for i := range bodies {
			bodies[i] = random(1<<20 + i*1000)
			stages[i] = h.Stages(int64(len(bodies[i])))
		}
		var wg sync.WaitGroup
		for i, s := range stages { // all are there before the first can end
			body := bodies[i]
			wg.Go(func() {
				defer s.Close()
				if i%4 == 3 { // given up half-way
					see(s, body[:500_000])
					return
				}
				see(s, body[:500_001])
				see(s, body[500_001:])
				if got := s.Sums().MD5; got != md5.Sum(body) {
					t.Errorf("body %d has MD5 %x", i, got)
				}
			})
		}
		wg.Wait()
	}
	require.Zero(t, h.active)
	require.Len(t, h.servers, 1)
	require.LessOrEqual(t, h.servers[0].made, 12)
	require.Len(t, h.servers[0].free, h.servers[0].made, "all lanes are given back")
}

func TestMoreBodiesThanLanesAreHashed(t *testing.T) {
	h := NewHashers()
	defer h.Close()
	const bodies = maxLanes*maxServers + 10
	body := random(300_000)
	want := md5.Sum(body)
	for range 3 {
		stages := make([]*Stages, bodies)
		for i := range stages {
			stages[i] = h.Stages(-1)
		}
		var wg sync.WaitGroup
		for _, s := range stages { // all at once, in one long segment: the most that a server can be given
			wg.Go(func() {
				b := buffer.FromBytes(body)
				s.See(b)
				b.Release()
				if got := s.Sums().MD5; got != want {
					t.Errorf("a body has MD5 %x", got)
				}
			})
		}
		wg.Wait()
	}
	require.Len(t, h.servers, maxServers)
	for _, s := range h.servers {
		require.Equal(t, maxLanes, s.made)
		require.Len(t, s.free, maxLanes)
	}
}

func TestBuffersAreReleased(t *testing.T) {
	h := NewHashers()
	defer h.Close()
	for _, finish := range []func(*Stages){func(s *Stages) { s.Sums() }, (*Stages).Close} {
		released := 0
		s := h.Stages(-1, SHA1, SHA256, CRC32)
		var mu sync.Mutex
		for range 10 {
			b := buffer.FromSegments([][]byte{random(1000)}, func() { mu.Lock(); released++; mu.Unlock() })
			s.See(b)
			b.Release()
		}
		finish(s)
		s.Close()
		require.Equal(t, 10, released)
	}
}

func TestASmallBodyNeedsNoGoroutine(t *testing.T) {
	h := NewHashers()
	defer h.Close()
	before := runtime.NumGoroutine()
	s := h.Stages(small, all...)
	require.Equal(t, before, runtime.NumGoroutine())
	require.Empty(t, s.queued)
	s.Close()
	s = h.Stages(small+1, CRC32, CRC32C, CRC64NVME)
	require.Len(t, s.queued, 1)
	s.Close()
}

// The figures in doc.go: CPU-seconds per GiB are ns/op × CPUs used / bytes; run with -cpu 1 to read them off directly.
func BenchmarkMD5(b *testing.B) {
	body := random(1 << 20)
	for _, streams := range []int{1, 2, 3, 4, 8, 16} {
		for _, simd := range []bool{false, true} {
			b.Run(fmt.Sprintf("streams=%d/simd=%v", streams, simd), func(b *testing.B) {
				h := NewHashers()
				defer h.Close()
				if simd {
					h.active = simdFrom
				} else {
					h.active = -1000
				}
				b.SetBytes(int64(streams * len(body)))
				for b.Loop() {
					var wg sync.WaitGroup
					for range streams {
						wg.Go(func() {
							s := h.Stages(-1)
							see(s, body)
							s.Sums()
						})
					}
					wg.Wait()
				}
			})
		}
	}
}

func BenchmarkSmall(b *testing.B) {
	body := random(4096)
	h := NewHashers()
	defer h.Close()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		s := h.Stages(int64(len(body)), CRC32)
		see(s, body)
		s.Sums()
	}
}
