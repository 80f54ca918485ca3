package body

import (
	"cmp"
	"context"
	"io"
	"slices"
	"sync"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// Stages see a body as it passes, in order. See is called with every piece, from
// one goroutine; who keeps the buffer after it returned retains it. See may wait, which holds the body back.
type Stages interface {
	See(b *buffer.Buffer)
}

// Write stores the body that r yields until io.EOF. size is its length in bytes if it is
// known, or negative; r must enforce it. evict, if not nil, is called when memory is short and this is the slowest
// body: it should make r fail. Errors are r's own or the stores'.
func (s *Store) Write(ctx context.Context, t Target, r io.Reader, size int64, stages Stages, evict func()) (*Attempt, error) {
	if t.single && size >= 0 && size <= int64(s.cfg.Inline) || size == 0 {
		return s.writeInline(r, int(size), stages)
	}
	account := s.Pool.Open(evict)
	defer account.Close()
	cut := s.cfg.Chunker.Cut(r)

	var w *writer
	if size >= 0 {
		w = s.writer(ctx, t)
		ctx = w.ctx
	}
	for offset := uint64(0); ; {
		if w != nil {
			if err := w.room(); err != nil {
				return w.end(err)
			}
		}
		b := account.New()
		fillErr := cut.Next(ctx, b)
		if fillErr != nil && fillErr != io.EOF {
			b.Release()
			return w.end(fillErr)
		}
		if b.Len() > 0 {
			stages.See(b)
		}
		if w == nil { // the first chunk of a body of unknown length
			if fillErr == io.EOF && (b.Len() == 0 || t.single && b.Len() <= s.cfg.Inline) {
				a := &Attempt{Size: int64(b.Len())}
				if b.Len() > 0 {
					a.Inline = b.Bytes()
				}
				b.Release()
				return a, nil
			}
			w = s.writer(ctx, t)
		}
		n := uint64(b.Len())
		switch {
		case n == 0:
			b.Release()
		case fillErr == io.EOF && offset == 0: // the only chunk: no need of a goroutine
			w.put(offset, b)
		default:
			w.goPut(offset, b)
		}
		offset += n
		if fillErr == io.EOF {
			return w.end(nil)
		}
	}
}

// maxIdleReads is how many reads in a row may yield nothing.
const maxIdleReads = 100

// writeInline reads a small body of known size.
func (s *Store) writeInline(r io.Reader, size int, stages Stages) (*Attempt, error) {
	// The reader says io.EOF together with the last bytes or after them; it enforces the
	// size, and one byte of room beyond it lets it say so.
	p := make([]byte, size+1)
	for n, idle := 0, 0; ; {
		m, err := r.Read(p[n:])
		n += m
		if idle++; m > 0 {
			idle = 0
		}
		if err == nil && idle == maxIdleReads {
			return nil, io.ErrNoProgress
		}
		if err == io.EOF && n == size {
			break
		}
		if err == nil && n <= size {
			continue
		}
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	p = p[:size:size]
	a := &Attempt{Size: int64(size)}
	if size > 0 {
		a.Inline = p
		b := buffer.FromBytes(p)
		stages.See(b)
		b.Release()
	}
	return a, nil
}

// writer sends the chunks of one attempt to the store.
type writer struct {
	s      *Store
	target Target
	ctx    context.Context
	cancel context.CancelCauseFunc
	rec    *recorder
	slots  chan struct{} // one for each chunk on its way
	wg     sync.WaitGroup

	mu   sync.Mutex
	size uint64
}

func (s *Store) writer(ctx context.Context, t Target) *writer {
	w := &writer{s: s, target: t, slots: make(chan struct{}, s.window)}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.rec = s.record(w.ctx, t, w.cancel)
	return w
}

// room waits until another chunk may be read: until all are stored, when memory is short.
func (w *writer) room() error {
	if len(w.slots) > 0 && w.s.short() {
		w.wg.Wait()
	}
	select {
	case w.slots <- struct{}{}:
		<-w.slots
		return w.failure()
	case <-w.ctx.Done():
		return w.failure()
	}
}

func (w *writer) failure() error {
	if w.ctx.Err() == nil {
		return nil
	}
	return context.Cause(w.ctx)
}

// goPut stores a chunk in the background when a slot is free. It releases the buffer.
func (w *writer) goPut(offset uint64, b *buffer.Buffer) {
	w.background(func() { w.put(offset, b) })
}

func (w *writer) background(f func()) {
	w.slots <- struct{}{}
	w.wg.Add(1)
	go func() {
		defer w.wg.Done()
		f()
		<-w.slots
	}()
}

// put stores a chunk and notes it. It releases the buffer.
func (w *writer) put(offset uint64, b *buffer.Buffer) {
	defer b.Release()
	if w.ctx.Err() != nil {
		return
	}
	h := chunk.HashOf(b)
	w.note(offset, h, b.Len())
	ctx, cancel := w.s.step(w.ctx)
	outcome, err := w.s.put(ctx, h, b, w.target.refAt(offset))
	cancel()
	w.check(outcome, err)
}

// note counts a chunk as one that may be stored.
func (w *writer) note(offset uint64, h chunk.Hash, length int) {
	w.rec.add(meta.Chunk{Offset: offset, Length: uint32(length), Hash: h})
	w.mu.Lock()
	w.size += uint64(length)
	w.mu.Unlock()
}

func (w *writer) check(outcome chunk.Outcome, err error) {
	switch {
	case err != nil:
		w.cancel(errors.Annotate(err, "storing a chunk"))
	case outcome != chunk.Stored:
		w.cancel(errors.E(errors.Conflict, errors.Upload, w.target.ref.ID.String(), "it was given up while its body arrived"))
	}
}

// end waits for everything under way. With an error, its own or another's, what was
// written is given up. It may be called on nil, when nothing was begun.
func (w *writer) end(err error) (*Attempt, error) {
	if w == nil {
		return nil, err
	}
	if err != nil {
		w.cancel(err) // unless something failed before: that is then the cause
	}
	w.wg.Wait()
	recErr := w.rec.finish()
	// That the request ended says less than why its body could not be read.
	if cause := w.failure(); cause != nil && (err == nil || !errors.Is(cause, errors.Canceled)) {
		err = cause
	}
	if err == nil {
		err = recErr
	}
	w.cancel(nil)
	if err != nil {
		w.rec.discard(w.ctx)
		return nil, err
	}
	rows := w.rec.pending
	slices.SortFunc(rows, func(a, b meta.Chunk) int { return cmp.Compare(a.Offset, b.Offset) })
	return &Attempt{ID: w.target.attempt, Size: int64(w.size), First: w.rec.first, Rows: rows, rec: w.rec}, nil
}
