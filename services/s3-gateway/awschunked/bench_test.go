package awschunked

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// counting notes how many bytes were read into memory that is not the caller's.
type counting struct {
	src          io.Reader
	p            []byte
	direct, rest int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.src.Read(p)
	if n > 0 && &p[:cap(p)][cap(p)-1] == &c.p[len(c.p)-1] {
		c.direct += n
	} else {
		c.rest += n
	}
	return n, err
}

func TestTheBodyIsReadStraightIntoTheCallersMemory(t *testing.T) {
	payload := random(4 << 20)
	src := &counting{src: bytes.NewReader(signer.Chunked(anySeed, payload, 64<<10)), p: make([]byte, 64<<10)}
	c := newChunked(src, int64(len(payload)), seedOf(anySeed), nil, false)
	for err := error(nil); err == nil; {
		var n int
		n, err = c.Read(src.p[:len(src.p):len(src.p)])
		if err != nil {
			require.Equal(t, io.EOF, err)
		}
		require.Positive(t, n)
	}
	require.Greater(t, src.direct, len(payload)*98/100)
}

func TestDecodingAllocatesNothingForEachByte(t *testing.T) {
	payload := random(1 << 20)
	encoded := signer.Chunked(anySeed, payload, 64<<10)
	seed := seedOf(anySeed)
	p := make([]byte, 64<<10)
	allocs := testing.AllocsPerRun(20, func() {
		c := newChunked(bytes.NewReader(encoded), int64(len(payload)), seed, nil, false)
		for {
			if _, err := c.Read(p); err == io.EOF {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
	})
	require.LessOrEqual(t, allocs, 3*17.0) // 17 chunks
}

func BenchmarkSigned(b *testing.B)   { benchmark(b, anySeed) }
func BenchmarkUnsigned(b *testing.B) { benchmark(b, "") }

func benchmark(b *testing.B, sig string) {
	payload := random(1 << 20)
	encoded := signer.Chunked(sig, payload, 64<<10)
	seed := seedOf(anySeed)
	if sig == "" {
		seed = nil
	}
	p := make([]byte, 64<<10)
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		c := newChunked(bytes.NewReader(encoded), int64(len(payload)), seed, nil, false)
		for {
			if _, err := c.Read(p); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}
