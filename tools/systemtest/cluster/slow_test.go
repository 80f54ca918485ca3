package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/sigv4"
)

// slowly is how long a slow upload and a slow download take: longer than any usual timeout of a proxy.
const slowly = 3 * time.Minute

// slow passes on at most so many bytes as a line of an even rate would have carried by now.
type slow struct {
	io.Reader
	ctx   context.Context
	begun time.Time
	size  int64
	done  int64
}

func (s *slow) Read(p []byte) (int, error) {
	if s.begun.IsZero() {
		s.begun = time.Now()
	}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		due := int64(float64(s.size)*min(1, time.Since(s.begun).Seconds()/slowly.Seconds())) - s.done
		if due > 0 {
			n, err := s.Reader.Read(p[:min(int64(len(p)), due)])
			s.done += int64(n)
			return n, err
		}
		if s.done == s.size {
			return s.Reader.Read(p)
		}
		select {
		case <-s.ctx.Done():
			return 0, s.ctx.Err()
		case <-tick.C:
		}
	}
}

// noise is a body of that size, the same for the same seed.
func noise(seed byte, size int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{seed}), size)
}

func sum(r io.Reader) (string, error) {
	h := sha256.New()
	_, err := io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), err
}

func TestAnUploadOfThreeMinutes(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	const size = 6 << 20
	bucket, begun := f.bucket(), time.Now()
	f.ok(f.client, request{
		Method: "PUT", Bucket: bucket, Key: "slow", Length: size, Payload: sigv4.Unsigned,
		Stream: &slow{Reader: noise(1, size), ctx: f.ctx, size: size},
	})
	require.Greater(t, time.Since(begun), slowly*9/10)
	want, err := sum(noise(1, size))
	require.NoError(t, err)
	require.Equal(t, want, sigv4.Hash(f.ok(f.client, request{Method: "GET", Bucket: bucket, Key: "slow"}).Body))
}

func TestADownloadOfThreeMinutes(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	const size = 80 << 20 // much more than what the kernel keeps on the way
	bucket := f.bucket()
	f.ok(f.secure(), request{Method: "PUT", Bucket: bucket, Key: "slow", Stream: noise(2, size), Length: size, Payload: sigv4.Unsigned})
	begun := time.Now()
	resp, err := f.client.Open(f.ctx, request{Method: "GET", Bucket: bucket, Key: "slow"})
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, 200, resp.StatusCode)
	got, err := sum(&slow{Reader: resp.Body, ctx: f.ctx, size: size})
	require.NoError(t, err)
	require.Greater(t, time.Since(begun), slowly*9/10)
	want, err := sum(noise(2, size))
	require.NoError(t, err)
	require.Equal(t, want, got)
}
