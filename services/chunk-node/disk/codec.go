package disk

import (
	"encoding/binary"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/minio/crc64nvme"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

// A compressed blob is a zstd stream that begins with a skippable frame, so
// that the zstd tool reads it too: magic and size of that frame, CRC-64/NVME of
// the frame after it, and the number of plain bytes.
const (
	skippableMagic = 0x184D2A5E
	skippableSize  = 8 + 4
	headerSize     = 8 + skippableSize
)

// codec compresses and expands blobs. Its parts are made when first needed,
// since they take memory.
type codec struct {
	encoder func() *zstd.Encoder
	decoder func() *zstd.Decoder
	scratch sync.Pool // of *[]byte
}

func newCodec(level int) *codec {
	return &codec{
		encoder: sync.OnceValue(func() *zstd.Encoder {
			// No option here can be wrong.
			e, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
			return e
		}),
		decoder: sync.OnceValue(func() *zstd.Decoder {
			d, _ := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(chunk.MaxSize), zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true))
			return d
		}),
		scratch: sync.Pool{New: func() any { return new([]byte) }},
	}
}

func (c *codec) take() *[]byte  { return c.scratch.Get().(*[]byte) }
func (c *codec) give(p *[]byte) { *p = (*p)[:0]; c.scratch.Put(p) }

// sample is how much of a blob is compressed to learn whether the rest is worth it.
const sample = 16 << 10

// compress returns the compressed form in a scratch slice, which the caller
// gives back, or nil where it would not be smaller by a sixteenth.
func (c *codec) compress(data *buffer.Buffer) *[]byte {
	out := c.take()
	if size := data.Len(); size >= 4*sample {
		piece := data.Slice(size/2, size/2+sample)[0]
		*out = c.encoder().EncodeAll(piece, (*out)[:0])
		if len(*out) > len(piece)-len(piece)/16 {
			c.give(out)
			return nil
		}
	}
	plain := c.take()
	defer c.give(plain)
	*plain = data.AppendTo((*plain)[:0])
	*out = append((*out)[:0], make([]byte, headerSize)...)
	*out = c.encoder().EncodeAll(*plain, *out)
	if len(*out) > data.Len()-data.Len()/16 {
		c.give(out)
		return nil
	}
	h := *out
	binary.LittleEndian.PutUint32(h, skippableMagic)
	binary.LittleEndian.PutUint32(h[4:], skippableSize)
	binary.LittleEndian.PutUint64(h[8:], crc64nvme.Checksum(h[headerSize:]))
	binary.LittleEndian.PutUint32(h[16:], uint32(data.Len()))
	return out
}

// headerLength is the number of plain bytes that a compressed blob's header says.
func headerLength(header []byte) uint32 { return binary.LittleEndian.Uint32(header[16:]) }

// expand appends the plain bytes to dst. Every error is of kind Corrupted.
func (c *codec) expand(stored, dst []byte) ([]byte, error) {
	if len(stored) < headerSize || binary.LittleEndian.Uint32(stored) != skippableMagic || binary.LittleEndian.Uint32(stored[4:]) != skippableSize {
		return nil, errors.Newf(errors.Corrupted, "the header of a compressed blob is damaged")
	}
	if got, want := crc64nvme.Checksum(stored[headerSize:]), binary.LittleEndian.Uint64(stored[8:]); got != want {
		return nil, errors.Newf(errors.Corrupted, "the compressed bytes have the checksum %016x, not %016x", got, want)
	}
	length := int(headerLength(stored))
	if length > chunk.MaxSize {
		return nil, errors.Newf(errors.Corrupted, "the header of a compressed blob says %d bytes", length)
	}
	if cap(dst)-len(dst) < length {
		dst = append(make([]byte, 0, len(dst)+length), dst...)
	}
	out, err := c.decoder().DecodeAll(stored[headerSize:], dst)
	if err != nil {
		return nil, errors.Wrap(errors.Corrupted, err, "expanding a compressed blob")
	}
	if len(out)-len(dst) != length {
		return nil, errors.Newf(errors.Corrupted, "a compressed blob holds %d bytes, and its header says %d", len(out)-len(dst), length)
	}
	return out, nil
}

// content is what is to be stored of a chunk: its plain segments or one compressed piece.
type content struct {
	state.Copy
	segments [][]byte
	scratch  *[]byte
}

func (s *Store) contentOf(data *buffer.Buffer) content {
	c := content{Copy: state.Copy{Place: state.InFile, Length: uint32(data.Len()), Stored: uint32(data.Len())}, segments: data.Segments()}
	if s.o.Compression > 0 {
		if p := s.codec.compress(data); p != nil {
			c.scratch, c.segments = p, [][]byte{*p}
			c.Stored, c.Compressed = uint32(len(*p)), true
		}
	}
	if int(c.Stored) < s.o.InlineBelow {
		c.Place = state.InIndex
	}
	return c
}

func (s *Store) release(c content) {
	if c.scratch != nil {
		s.codec.give(c.scratch)
	}
}
