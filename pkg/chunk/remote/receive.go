package remote

import (
	"context"
	"io"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
)

// Stream is the receiving half of a gRPC stream.
type Stream interface {
	Context() context.Context
	RecvMsg(m any) error
}

// Receive reads the data frames of a chunk of length bytes that follow its
// header, to the end of the stream, into a buffer of the pool. It hashes while
// it reads and returns the hash; whether that is the right one is the caller's
// question, as is the release of the buffer. Kinds: Invalid if the stream is
// not a chunk of that length; Overloaded if there is no memory for it.
func Receive(s Stream, pool *buffer.Pool, length int) (*buffer.Buffer, chunk.Hash, error) {
	if length < 1 || length > chunk.MaxSize {
		return nil, chunk.Hash{}, errors.Newf(errors.Invalid, "a chunk has 1 to %d bytes, not %d", chunk.MaxSize, length)
	}
	account := pool.Open(nil)
	defer account.Close()
	r := receiver{buffer: account.New(), hasher: chunk.NewHasher()}
	err := r.receive(s, length)
	r.hash()
	h := r.hasher.Sum()
	if err != nil {
		r.buffer.Release()
		return nil, h, err
	}
	return r.buffer, h, nil
}

type receiver struct {
	buffer *buffer.Buffer
	hasher *chunk.Hasher
	hashed int // segments
}

func (r *receiver) receive(s Stream, length int) error {
	var f Frame
	for {
		err := s.RecvMsg(&f)
		switch {
		case err == io.EOF && r.buffer.Len() == length:
			return nil
		case err == io.EOF:
			return errors.Newf(errors.Invalid, "%d bytes of a chunk arrived, and %d were announced", r.buffer.Len(), length)
		case err != nil:
			return err
		}
		if err := r.add(s.Context(), &f, length); err != nil {
			return err
		}
	}
}

func (r *receiver) add(ctx context.Context, f *Frame, length int) error {
	defer f.Received.Free()
	size := f.Received.Len()
	if size > FrameSize || r.buffer.Len()+size > length {
		return errors.Newf(errors.Invalid, "a frame of %d bytes is too large: %d bytes were announced, %d are there", size, length, r.buffer.Len())
	}
	for _, piece := range f.Received {
		if err := r.buffer.Append(ctx, piece.ReadOnlyData()); err != nil {
			return err
		}
		// All segments but the last are full: they are hashed while the processor has them near.
		for segments := r.buffer.Segments(); r.hashed < len(segments)-1; r.hashed++ {
			_, _ = r.hasher.Write(segments[r.hashed])
		}
	}
	return nil
}

// hash takes what is left when the stream has ended.
func (r *receiver) hash() {
	for _, s := range r.buffer.Segments()[r.hashed:] {
		_, _ = r.hasher.Write(s)
	}
}

// Sender is the sending half of a gRPC stream.
type Sender interface{ SendMsg(m any) error }

// Send sends the bytes of a chunk as data frames.
func Send(s Sender, b *buffer.Buffer) error {
	for from := 0; from < b.Len(); from += FrameSize {
		if err := s.SendMsg(&Frame{Data: b, From: from, To: min(from+FrameSize, b.Len())}); err != nil {
			return err
		}
	}
	return nil
}
