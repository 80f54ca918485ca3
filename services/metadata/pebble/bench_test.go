package pebble

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	cockroach "github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/meta"
)

func openDisk(b *testing.B) (*Store, uuid.UUID) {
	s, err := Open(Config{Dir: b.TempDir(), Clock: clock.System{}, Random: clock.SystemRandom, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	bucket := uuid.New()
	require.NoError(b, s.CreateBucket(context.Background(), meta.Bucket{ID: bucket, Name: "b"}))
	return s, bucket
}

// cpu is the processor time of the process so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure runs f b.N times on so many goroutines, and reports rate and processor time.
func measure(b *testing.B, goroutines, each int, f func(n int) error) {
	var next atomic.Int64
	var work sync.WaitGroup
	b.ResetTimer()
	began, before := time.Now(), cpu()
	for range goroutines {
		work.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= b.N {
					return
				}
				if err := f(n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	took, used := time.Since(began), cpu()-before
	b.StopTimer()
	b.ReportMetric(float64(b.N*each)/took.Seconds(), "keys/s")
	b.ReportMetric(used.Seconds()*1000/float64(b.N*each), "CPU-s/1000")
}

func body() []byte {
	p := make([]byte, 4096)
	for i := range p {
		p[i] = byte(rand.Uint32())
	}
	return p
}

const etag = "0123456789abcdef0123456789abcdef"

func key(n int) string { return fmt.Sprintf("%02x/file-%08d.bin", uint32(n)*2654435761>>24, n) }

func putInline(s *Store, bucket uuid.UUID, key string, body []byte) error {
	_, err := s.PutObject(context.Background(), meta.Put{
		Bucket: bucket, Key: key, Size: int64(len(body)), ETag: etag, Inline: body,
		Attributes: meta.Attributes{ContentType: "application/octet-stream"}, Checksum: meta.Checksum{Algorithm: "CRC64NVME", Type: "FULL_OBJECT", Value: "AAAAAAAAAAA="},
	})
	return err
}

func BenchmarkPut4KiB(b *testing.B) {
	for _, goroutines := range []int{1, 8, 16, 64} {
		b.Run(fmt.Sprint(goroutines), func(b *testing.B) {
			s, bucket := openDisk(b)
			body := body()
			measure(b, goroutines, 1, func(n int) error { return putInline(s, bucket, key(n), body) })
		})
	}
}

func BenchmarkGet4KiB(b *testing.B) {
	s, bucket := openDisk(b)
	body := body()
	const keys = 5000
	for n := range keys {
		s.sync = cockroach.NoSync
		require.NoError(b, putInline(s, bucket, key(n), body))
	}
	for _, goroutines := range []int{1, 16} {
		b.Run(fmt.Sprint(goroutines), func(b *testing.B) {
			measure(b, goroutines, 1, func(n int) error {
				_, err := s.Object(context.Background(), bucket, key(n*7919%keys))
				return err
			})
		})
	}
}

func BenchmarkDelete100(b *testing.B) {
	s, bucket := openDisk(b)
	sync := s.sync
	s.sync = cockroach.NoSync
	for n := range b.N * 100 {
		require.NoError(b, putInline(s, bucket, key(n), nil))
	}
	s.sync = sync
	measure(b, 8, 100, func(n int) error {
		deletes := make([]meta.Delete, 100)
		for i := range deletes {
			deletes[i].Key = key(n*100 + i)
		}
		_, err := s.DeleteObjects(context.Background(), bucket, deletes)
		return err
	})
}

func BenchmarkList(b *testing.B) {
	s, bucket := openDisk(b)
	s.sync = cockroach.NoSync
	body := body()[:1000]
	for n := range 100_000 {
		require.NoError(b, putInline(s, bucket, fmt.Sprintf("%02d/%03d", n/1000, n%1000), body))
	}
	require.NoError(b, s.db.Compact(context.Background(), []byte{0}, []byte{0xff}, false))
	list := func(r meta.List) func(int) error {
		return func(int) error {
			for r := r; ; {
				page, err := s.List(context.Background(), r)
				if err != nil || !page.More {
					return err
				}
				r.After = page.Next
			}
		}
	}
	b.Run("100000 keys", func(b *testing.B) { measure(b, 1, 100_000, list(meta.List{Bucket: bucket, Limit: 1000})) })
	b.Run("100 keys", func(b *testing.B) { measure(b, 1, 100, list(meta.List{Bucket: bucket, Prefix: "42/0", Limit: 1000})) })
	b.Run("100 prefixes", func(b *testing.B) {
		measure(b, 1, 100, list(meta.List{Bucket: bucket, Delimiter: "/", Limit: 1000}))
	})
}
