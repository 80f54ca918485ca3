package disk

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
)

// cpu is the time that this process has spent, in user and system.
func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// parallelDo runs n calls of do in so many goroutines.
func parallelDo(b *testing.B, goroutines int, do func(i int) error) {
	var next atomic.Int64
	var wait sync.WaitGroup
	for range goroutines {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
				if err := do(int(i)); err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	wait.Wait()
}

// distinct is a chunk whose bytes differ from every other's in a few places.
// Its hash is made beforehand and is not part of what is measured.
type distinct struct {
	hash chunk.Hash
	data *buffer.Buffer
}

func distinctChunks(n, size int) []distinct {
	base := make([]byte, size)
	rand.New(rand.NewSource(1)).Read(base)
	all := make([]distinct, n)
	for i := range all {
		data := append([]byte(nil), base...)
		binary.BigEndian.PutUint64(data, uint64(i))
		all[i].hash, all[i].data = chunktest.Of(data)
	}
	return all
}

func benchmarkStore(b *testing.B, noSync bool, change func(*Options)) *Store {
	o := options(nil)
	o.FS, o.Disks[0].Path, o.NoSync, o.MemTable, o.Logger = nil, b.TempDir(), noSync, DefaultMemTable, slog.New(slog.DiscardHandler)
	o.Direct = true
	if change != nil {
		change(&o)
	}
	return open(b, o)
}

func report(b *testing.B, size int, began time.Duration) {
	total := float64(b.N) * float64(size)
	b.ReportMetric((cpu()-began).Seconds()/(total/(1<<30)), "cpu-s/GiB")
	b.ReportMetric((cpu()-began).Seconds()/float64(b.N)*1000, "cpu-s/1000")
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

var benchmarkSizes = []int{4 << 10, 64 << 10, 1 << 20}

func BenchmarkPut(b *testing.B) {
	for _, noSync := range []bool{false, true} {
		for _, size := range benchmarkSizes {
			for _, goroutines := range []int{1, 8} {
				b.Run(fmt.Sprintf("sync=%v/%dKiB/x%d", !noSync, size>>10, goroutines), func(b *testing.B) {
					s := benchmarkStore(b, noSync, nil)
					put(b, s, size, goroutines)
				})
			}
		}
	}
}

// atMost is b.N, if so many different chunks fit in memory.
func atMost(b *testing.B, n int) int {
	if b.N > n {
		b.Fatalf("%d different chunks do not fit in memory: say -benchtime=%dx", b.N, n)
	}
	return b.N
}

func put(b *testing.B, s *Store, size, goroutines int) {
	chunks := distinctChunks(atMost(b, 1<<28/size), size)
	b.ReportAllocs()
	b.ResetTimer()
	began := cpu()
	parallelDo(b, goroutines, func(i int) error {
		_, err := s.Put(context.Background(), chunks[i].hash, chunks[i].data, chunktest.Ref(i))
		return err
	})
	b.StopTimer()
	report(b, size, began)
}

func BenchmarkGet(b *testing.B) {
	for _, size := range benchmarkSizes {
		for _, goroutines := range []int{1, 8} {
			b.Run(fmt.Sprintf("%dKiB/x%d", size>>10, goroutines), func(b *testing.B) {
				s := benchmarkStore(b, true, nil)
				chunks := distinctChunks(64<<20/size/4, size)
				for i, c := range chunks {
					_, err := s.Put(context.Background(), c.hash, c.data, chunktest.Ref(i))
					require.NoError(b, err)
				}
				b.ReportAllocs()
				b.ResetTimer()
				began := cpu()
				parallelDo(b, goroutines, func(i int) error {
					got, err := s.Get(context.Background(), chunks[i%len(chunks)].hash)
					if err == nil {
						got.Release()
					}
					return err
				})
				b.StopTimer()
				report(b, size, began)
			})
		}
	}
}

// BenchmarkDirect compares writes of 1 MiB through the page cache and past it,
// and the first read after them.
func BenchmarkDirect(b *testing.B) {
	const size = 1 << 20
	for _, direct := range []bool{false, true} {
		change := func(o *Options) { o.Direct = direct }
		b.Run(fmt.Sprintf("put/direct=%v", direct), func(b *testing.B) {
			put(b, benchmarkStore(b, false, change), size, 8)
		})
		b.Run(fmt.Sprintf("first-get/direct=%v", direct), func(b *testing.B) {
			s := benchmarkStore(b, false, change)
			chunks := distinctChunks(atMost(b, 256), size)
			for i, c := range chunks {
				_, err := s.Put(context.Background(), c.hash, c.data, chunktest.Ref(i))
				require.NoError(b, err)
			}
			b.ResetTimer()
			began := cpu()
			parallelDo(b, 8, func(i int) error {
				got, err := s.Get(context.Background(), chunks[i].hash)
				if err == nil {
					got.Release()
				}
				return err
			})
			b.StopTimer()
			report(b, size, began)
		})
	}
}

// BenchmarkThreshold compares where small blobs are kept.
func BenchmarkThreshold(b *testing.B) {
	for _, size := range []int{16 << 10, 32 << 10, 64 << 10, 128 << 10} {
		for _, inline := range []int{0, 1 << 20} {
			for _, goroutines := range []int{1, 8} {
				b.Run(fmt.Sprintf("%dKiB/inline=%v/x%d", size>>10, inline > 0, goroutines), func(b *testing.B) {
					put(b, benchmarkStore(b, false, func(o *Options) { o.InlineBelow = inline }), size, goroutines)
				})
			}
		}
	}
}
