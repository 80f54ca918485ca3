package chunker

import (
	"bytes"
	"io"
	"math/rand"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

func cutAll(t *testing.T, c Cutter) [][]byte {
	pool := buffer.NewPool(16<<20, clock.System{})
	account := pool.Open(nil)
	defer account.Close()
	var chunks [][]byte
	for {
		b := account.New()
		err := c.Next(t.Context(), b)
		if b.Len() > 0 {
			chunks = append(chunks, b.Bytes())
		}
		b.Release()
		if err == io.EOF {
			return chunks
		}
		require.NoError(t, err)
	}
}

func TestFixedChunksHaveTheSizeAndTheLastTheRest(t *testing.T) {
	c, err := Fixed(MinSize)
	require.NoError(t, err)
	for _, size := range []int{0, 1, MinSize - 1, MinSize, MinSize + 1, 3 * MinSize, 3*MinSize + 7} {
		body := make([]byte, size)
		rand.New(rand.NewSource(int64(size))).Read(body)
		for _, r := range []io.Reader{bytes.NewReader(body), iotest.DataErrReader(bytes.NewReader(body)), iotest.HalfReader(bytes.NewReader(body))} {
			chunks := cutAll(t, c.Cut(r))
			require.Len(t, chunks, (size+MinSize-1)/MinSize)
			for i, got := range chunks {
				require.Equal(t, body[i*MinSize:min((i+1)*MinSize, size)], got)
			}
		}
	}
}

func TestSizesOutOfBoundsAreRefused(t *testing.T) {
	for _, size := range []int{-1, 0, MinSize - 1, MaxSize + 1} {
		_, err := Fixed(size)
		require.True(t, errors.Is(err, errors.Invalid), "%d: %v", size, err)
	}
	c, err := Fixed(MaxSize)
	require.NoError(t, err)
	require.Equal(t, MaxSize, c.MaxSize())
}

func TestTheReadersErrorIsReturned(t *testing.T) {
	c, err := Fixed(DefaultSize)
	require.NoError(t, err)
	pool := buffer.NewPool(16<<20, clock.System{})
	b := pool.Open(nil).New()
	defer b.Release()
	require.ErrorIs(t, c.Cut(iotest.ErrReader(io.ErrUnexpectedEOF)).Next(t.Context(), b), io.ErrUnexpectedEOF)
}
