package body

import (
	"context"
	"io"
	"sync"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// Reader sends a range of an object's body. Use it from one goroutine, and Close it.
type Reader struct {
	s      *Store
	obj    *meta.Object
	ctx    context.Context
	cancel context.CancelFunc
	size   int64
	inline []byte

	queue   []*fetch   // asked for, in order
	pieces  chan piece // from the lister; nil if everything is in the queue
	listErr error      // valid once pieces is closed
	wg      sync.WaitGroup
	window  int // how many are asked for behind the first of the queue
	account *buffer.Account
}

// fetch is a piece on its way.
type fetch struct {
	piece
	done chan struct{}
	buf  *buffer.Buffer
	err  error
}

// Open begins to read the bytes [from, to) of the object, which must be within its size.
func (s *Store) Open(ctx context.Context, obj *meta.Object, from, to int64) *Reader {
	r := &Reader{s: s, obj: obj, size: to - from, window: 1}
	r.ctx, r.cancel = context.WithCancel(ctx)
	switch {
	case from == to:
		return r
	case obj.Inline != nil:
		r.inline = obj.Inline[from:to]
		return r
	}
	next := from
	if first := int64(obj.First.Length); from < first {
		p := piece{hash: obj.First.Hash, length: int(first), from: int(from), to: int(min(to, first))}
		next = from + int64(p.to-p.from)
		if next < to {
			r.fetch(p)
		} else { // the only one: whoever waits for it gets it
			r.queue = append(r.queue, &fetch{piece: p})
		}
	}
	if next < to {
		r.list(next, to)
	}
	return r
}

// Evictable lets the reader be ended when memory is short and it is the slowest: evict,
// called from another goroutine, should make the writing fail.
func (r *Reader) Evictable(evict func()) {
	if r.size > 0 && r.inline == nil {
		r.account = r.s.Pool.Open(evict)
	}
}

// carry tells the pool what the reader holds.
func (r *Reader) carry(n, passed int) {
	if r.account != nil {
		r.account.Carry(n, passed)
	}
}

// list begins to list the pieces [next, to).
func (r *Reader) list(next, to int64) {
	r.pieces = make(chan piece, min((to-next)>>18+2, listAhead))
	r.wg.Add(1)
	go func() {
		defer r.wg.Done()
		l := lister{s: r.s, obj: r.obj, next: next, end: to}
		r.listErr = l.each(r.ctx, func(p piece) bool {
			select {
			case r.pieces <- p:
				return true
			case <-r.ctx.Done():
				return false
			}
		})
		if r.listErr == nil {
			r.listErr = r.ctx.Err()
		}
		close(r.pieces)
	}()
}

func (r *Reader) fetch(p piece) {
	f := &fetch{piece: p, done: make(chan struct{})}
	r.queue = append(r.queue, f)
	r.wg.Add(1)
	go func() {
		defer r.wg.Done()
		f.get(r.ctx, r.s)
		close(f.done)
	}()
}

func (f *fetch) get(ctx context.Context, s *Store) {
	step, cancel := s.step(ctx)
	defer cancel()
	f.buf, f.err = s.Chunks.Get(step, f.hash)
	if f.err == nil && f.buf.Len() != f.length {
		n := f.buf.Len()
		f.buf.Release()
		f.buf, f.err = nil, errors.E(errors.Corrupted, errors.Chunk, f.hash.String(), "it has %d bytes, not %d", n, f.length)
	}
}

// wait waits for the first piece of the queue; it reports whether it was there already.
func (r *Reader) wait(f *fetch) (ready bool, err error) {
	if f.done == nil {
		if f.buf == nil && f.err == nil {
			f.get(r.ctx, r.s)
		}
		return true, f.err
	}
	select {
	case <-f.done:
		return true, f.err
	default:
	}
	<-f.done // ends by itself, at the latest with its deadline
	return false, f.err
}

// topUp asks for pieces until the window is full. It waits for the list only if
// there is nothing else to do.
func (r *Reader) topUp(ahead int) error {
	for r.pieces != nil && len(r.queue) < ahead {
		var p piece
		var ok bool
		if len(r.queue) == 0 {
			p, ok = <-r.pieces
		} else {
			select {
			case p, ok = <-r.pieces:
			default:
				return nil
			}
		}
		if !ok {
			r.pieces = nil
			return r.listErr
		}
		r.fetch(p)
	}
	return nil
}

// First waits for the first bytes and for the beginning of the list of the others, so that a failure can still be answered.
func (r *Reader) First() error {
	if r.size == 0 || r.inline != nil {
		return nil
	}
	if err := r.topUp(1); err != nil {
		return err
	}
	if _, err := r.wait(r.queue[0]); err != nil || r.pieces == nil || len(r.queue) > 1 {
		return err
	}
	p, ok := <-r.pieces
	if !ok {
		r.pieces = nil
		return r.listErr
	}
	r.fetch(p)
	return nil
}

// WriteTo writes the bytes to w, segment by segment. An error after some bytes leaves them short.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	if r.inline != nil {
		n, err := w.Write(r.inline)
		return int64(n), err
	}
	var sent int64
	err := r.Each(func(b *buffer.Buffer, from, to int) error {
		n, err := writeSlice(w, b, from, to)
		sent += n
		return err
	})
	return sent, err
}

// Each calls f with every piece in order: the bytes [from, to) of a chunk. The
// buffer is released after f returned. Inline bodies are not handed over so.
func (r *Reader) Each(f func(b *buffer.Buffer, from, to int) error) error {
	for left := r.size; left > 0; {
		if err := r.topUp(1); err != nil {
			return err
		}
		head := r.queue[0]
		ready, err := r.wait(head)
		if err != nil {
			return err
		}
		r.adapt(ready)
		r.queue = r.queue[1:]
		if err := r.topUp(r.window); err != nil {
			r.queue = append([]*fetch{head}, r.queue...) // for Close
			return err
		}
		r.carry(head.length, 0)
		err = f(head.buf, head.from, head.to)
		head.buf.Release()
		r.carry(0, head.to-head.from)
		if err != nil {
			return err
		}
		left -= int64(head.to - head.from)
	}
	return nil
}

// adapt chooses how much to read ahead: more after having waited, less when what
// was asked for lies ready, one when memory is short.
func (r *Reader) adapt(ready bool) {
	switch {
	case r.s.short():
		r.window = 1
	case !ready:
		r.window = min(r.window+1, r.s.readAhead)
	default:
		r.window = max(r.window-1, 1)
	}
}

// Close ends the reading, waits for what is under way and gives its memory back.
func (r *Reader) Close() {
	r.cancel()
	r.wg.Wait()
	for _, f := range r.queue {
		if f.buf != nil {
			f.buf.Release()
		}
	}
	r.queue = nil
	if r.account != nil {
		r.account.Close()
	}
}

func writeSlice(w io.Writer, b *buffer.Buffer, from, to int) (int64, error) {
	if from == 0 && to == b.Len() {
		return b.WriteTo(w)
	}
	var sent int64
	for _, s := range b.Slice(from, to) {
		n, err := w.Write(s)
		sent += int64(n)
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}
