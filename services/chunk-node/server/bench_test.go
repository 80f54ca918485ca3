package server

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
)

func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkWire moves chunks of 1 MiB between a client and a node on a disk
// without syncs. Processor time is that of both sides together.
func BenchmarkWire(b *testing.B) {
	const size, count = 1 << 20, 64
	base := make([]byte, size)
	rand.New(rand.NewSource(1)).Read(base)
	for _, goroutines := range []int{1, 8} {
		s := serve(b)
		do := func(b *testing.B, call func(i int) error) {
			var next atomic.Int64
			var wait sync.WaitGroup
			b.SetBytes(size)
			b.ReportAllocs()
			b.ResetTimer()
			began := cpu()
			for range goroutines {
				wait.Add(1)
				go func() {
					defer wait.Done()
					for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
						if err := call(int(i)); err != nil {
							b.Error(err)
						}
					}
				}()
			}
			wait.Wait()
			b.StopTimer()
			b.ReportMetric((cpu()-began).Seconds()/(float64(b.N)*size/(1<<30)), "cpu-s/GiB")
		}
		binary.BigEndian.PutUint64(base, 0)
		h, data := chunktest.Of(base)
		var serial int
		b.Run(fmt.Sprintf("put/x%d", goroutines), func(b *testing.B) {
			serial++
			if b.N > count {
				b.Fatalf("%d different chunks do not fit in memory: say -benchtime=%dx", b.N, count)
			}
			all := make([]func() error, b.N)
			for i := range all {
				p := append([]byte(nil), base...)
				binary.BigEndian.PutUint64(p, uint64(serial)<<32|uint64(i+1))
				h, data := chunktest.Of(p)
				all[i] = func() error {
					_, err := s.client.Put(context.Background(), h, data, chunktest.Ref(serial<<32|i))
					return err
				}
			}
			do(b, func(i int) error { return all[i]() })
		})
		_, err := s.client.Put(context.Background(), h, data, chunktest.Ref(1))
		require.NoError(b, err)
		b.Run(fmt.Sprintf("get/x%d", goroutines), func(b *testing.B) {
			do(b, func(int) error {
				got, err := s.client.Get(context.Background(), h)
				if err == nil {
					got.Release()
				}
				return err
			})
		})
	}
}
