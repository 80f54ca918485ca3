package buffer

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
)

// SegmentSize is the size of a segment in bytes.
const SegmentSize = 64 << 10

// Buffer is a sequence of bytes in segments, with a reference count that starts at one.
type Buffer struct {
	account  *Account // nil: not pooled
	segments [][]byte // all full but the last
	size     int
	refs     atomic.Int32
}

// FromBytes makes a buffer that uses p itself and belongs to no pool.
func FromBytes(p []byte) *Buffer {
	b := &Buffer{size: len(p)}
	if len(p) > 0 {
		b.segments = [][]byte{p}
	}
	b.refs.Store(1)
	return b
}

// FromSegments makes a buffer of the given segments that belongs to no pool;
// release, if not nil, is called when the last reference goes.
func FromSegments(segments [][]byte, release func()) *Buffer {
	b := &Buffer{segments: segments, account: releaseOnly(release)}
	for _, s := range segments {
		b.size += len(s)
	}
	b.refs.Store(1)
	return b
}

// Len is the number of bytes in the buffer.
func (b *Buffer) Len() int { return b.size }

// Segments are the bytes in order. They must not be changed, nor used after Release.
func (b *Buffer) Segments() [][]byte { return b.segments }

// Slice is the bytes [from, to) in order, without copying them.
func (b *Buffer) Slice(from, to int) [][]byte {
	if from < 0 || to < from || to > b.size {
		panic(fmt.Sprintf("buffer: slice [%d:%d] of %d bytes", from, to, b.size))
	}
	var out [][]byte
	at := 0
	for _, s := range b.segments {
		lo, hi := max(from-at, 0), min(to-at, len(s))
		if lo < hi {
			out = append(out, s[lo:hi])
		}
		at += len(s)
	}
	return out
}

// AppendTo appends a copy of the bytes to p.
func (b *Buffer) AppendTo(p []byte) []byte {
	for _, s := range b.segments {
		p = append(p, s...)
	}
	return p
}

// Bytes is a copy of the bytes.
func (b *Buffer) Bytes() []byte { return b.AppendTo(make([]byte, 0, b.size)) }

// WriteTo writes all bytes to w, a segment at a time.
func (b *Buffer) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for _, s := range b.segments {
		n, err := w.Write(s)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// Tail is the free space at the end of a pooled buffer, never empty: a new
// segment is taken when the last is full. It waits for the pool until ctx
// ends. After writing n bytes into it, call Advance(n).
func (b *Buffer) Tail(ctx context.Context) ([]byte, error) {
	if last := len(b.segments) - 1; last >= 0 {
		if s := b.segments[last]; len(s) < cap(s) {
			return s[len(s):cap(s)], nil
		}
	}
	s, err := b.account.take(ctx)
	if err != nil {
		return nil, err
	}
	b.segments = append(b.segments, s[:0])
	return s, nil
}

// Advance counts the next n bytes of Tail as part of the buffer.
func (b *Buffer) Advance(n int) {
	last := len(b.segments) - 1
	s := b.segments[last]
	b.segments[last] = s[:len(s)+n]
	b.size += n
	b.account.passed(n)
}

// Append copies p to the end of a pooled buffer.
func (b *Buffer) Append(ctx context.Context, p []byte) error {
	for len(p) > 0 {
		tail, err := b.Tail(ctx)
		if err != nil {
			return err
		}
		n := copy(tail, p)
		b.Advance(n)
		p = p[n:]
	}
	return nil
}

// Fill reads from r until the buffer holds size bytes or r ends; at the end it
// returns io.EOF, also together with bytes read. Bytes are read straight into
// the segments.
func (b *Buffer) Fill(ctx context.Context, r io.Reader, size int) error {
	for empty := 0; b.size < size; {
		tail, err := b.Tail(ctx)
		if err != nil {
			return err
		}
		n, err := r.Read(tail[:min(len(tail), size-b.size)])
		b.Advance(n)
		if err != nil {
			return err
		}
		if n > 0 {
			empty = 0
		} else if empty++; empty == maxEmptyReads {
			return io.ErrNoProgress
		}
	}
	return nil
}

// maxEmptyReads is how many times in a row a reader may give nothing.
const maxEmptyReads = 100

// Retain adds a reference and returns the buffer.
func (b *Buffer) Retain() *Buffer {
	if b.refs.Add(1) <= 1 {
		panic("buffer: retained after the last release")
	}
	return b
}

// Release drops a reference; the last one gives the segments back.
func (b *Buffer) Release() {
	switch n := b.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("buffer: released once too often")
	}
	b.account.give(b.segments)
	b.segments, b.size = nil, 0
}
