// Package chunker cuts bodies into chunks.
//
// A Chunker is a way of cutting, chosen once; a Cutter cuts one body. Bytes
// are read straight into the chunk's segments. Cutting at fixed offsets is the
// only way so far; one that follows the content fits the same interface, since a
// Cutter may keep what it read beyond a cut for the next chunk.
package chunker

import (
	"context"
	"io"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
)

// Chunk sizes in bytes.
const (
	MinSize     = 256 << 10
	DefaultSize = 1 << 20
	MaxSize     = chunk.MaxSize
)

// Chunker is a way of cutting. It is safe for concurrent use.
type Chunker interface {
	// Cut begins to cut the body that r yields.
	Cut(r io.Reader) Cutter
	// MaxSize is the size of the largest chunk it makes, in bytes.
	MaxSize() int
}

// Cutter cuts one body, from its beginning to its end.
type Cutter interface {
	// Next reads the next chunk into the empty buffer b. At the end of the
	// body it returns io.EOF, with the last bytes in b or with none. Other errors are
	// the reader's or the buffer's; what b then holds is of no use.
	Next(ctx context.Context, b *buffer.Buffer) error
}

// Fixed cuts at every multiple of size bytes. Kinds: Invalid if the size is not from MinSize to MaxSize.
func Fixed(size int) (Chunker, error) {
	if size < MinSize || size > MaxSize {
		return nil, errors.E(errors.Invalid, errors.Setting, "chunk-size", "a chunk has %d to %d bytes, not %d", MinSize, MaxSize, size)
	}
	return fixed(size), nil
}

type fixed int

func (f fixed) Cut(r io.Reader) Cutter { return &fixedCutter{r: r, size: int(f)} }
func (f fixed) MaxSize() int           { return int(f) }

type fixedCutter struct {
	r    io.Reader
	size int
}

func (c *fixedCutter) Next(ctx context.Context, b *buffer.Buffer) error {
	return b.Fill(ctx, c.r, c.size)
}
