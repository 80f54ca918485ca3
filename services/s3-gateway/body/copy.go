package body

import (
	"context"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// copyWindow is how many references of one copy are added at the same time.
const copyWindow = 16

// Copy makes an attempt of the bytes [from, to) of an object. Whole chunks are
// not moved: references are added to them. Only what a range cuts, or a store does not
// have, is read and stored. With stages, which then see the whole body in order, everything is read.
func (s *Store) Copy(ctx context.Context, t Target, src *meta.Object, from, to int64, stages Stages) (*Attempt, error) {
	size := to - from
	if size == 0 || src.Inline != nil && (t.single || size == 0) {
		return copyInline(src, from, to, stages), nil
	}
	w := s.writer(ctx, t)
	w.slots = make(chan struct{}, copyWindow)
	if stages != nil || src.Inline != nil {
		w.slots = make(chan struct{}, s.window)
		return w.end(w.copyRead(src, from, to, stages))
	}
	return w.end(w.copyRefs(src, from, to))
}

func copyInline(src *meta.Object, from, to int64, stages Stages) *Attempt {
	a := &Attempt{Size: to - from}
	if a.Size == 0 {
		return a
	}
	a.Inline = src.Inline[from:to]
	if stages != nil {
		b := buffer.FromBytes(a.Inline)
		stages.See(b)
		b.Release()
	}
	return a
}

// copyRefs copies by adding references.
func (w *writer) copyRefs(src *meta.Object, from, to int64) error {
	var offset uint64
	l := lister{s: w.s, obj: src, next: from, end: to}
	err := l.each(w.ctx, func(p piece) bool {
		if w.room() != nil {
			return false
		}
		at := offset
		offset += uint64(p.to - p.from)
		w.background(func() { w.copyPiece(p, at) })
		return true
	})
	if err != nil {
		return err
	}
	return w.failure()
}

func (w *writer) copyPiece(p piece, offset uint64) {
	if p.to-p.from < p.length {
		w.copyData(p, offset)
		return
	}
	w.note(offset, p.hash, p.length)
	ctx, cancel := w.s.step(w.ctx)
	outcome, err := w.s.Chunks.PutRef(ctx, p.hash, w.target.refAt(offset))
	cancel()
	if err == nil && outcome == chunk.SendData {
		w.send(p, offset)
		return
	}
	w.check(outcome, err)
}

// send stores a whole chunk that the store did not have where it belongs.
func (w *writer) send(p piece, offset uint64) {
	f := fetch{piece: p}
	if f.get(w.ctx, w.s); f.err != nil {
		w.cancel(errors.Annotate(f.err, "reading a chunk to copy"))
		return
	}
	defer f.buf.Release()
	ctx, cancel := w.s.step(w.ctx)
	defer cancel()
	w.check(w.s.Chunks.Put(ctx, p.hash, f.buf, w.target.refAt(offset)))
}

// copyData stores a run of a chunk as a chunk of its own.
func (w *writer) copyData(p piece, offset uint64) {
	f := fetch{piece: p}
	if f.get(w.ctx, w.s); f.err != nil {
		w.cancel(errors.Annotate(f.err, "reading a chunk to copy"))
		return
	}
	w.put(offset, cutOut(f.buf, p.from, p.to))
}

// cutOut makes a buffer of the bytes [from, to) of b, whose reference it takes.
func cutOut(b *buffer.Buffer, from, to int) *buffer.Buffer {
	if from == 0 && to == b.Len() {
		return b
	}
	return buffer.FromSegments(b.Slice(from, to), b.Release)
}

// copyRead copies by reading everything.
func (w *writer) copyRead(src *meta.Object, from, to int64, stages Stages) error {
	if src.Inline != nil {
		b := buffer.FromBytes(src.Inline[from:to])
		if stages != nil {
			stages.See(b)
		}
		w.put(0, b)
		return nil
	}
	r := w.s.Open(w.ctx, src, from, to)
	defer r.Close()
	var offset uint64
	return r.Each(func(b *buffer.Buffer, from, to int) error {
		if err := w.room(); err != nil {
			return err
		}
		part := cutOut(b.Retain(), from, to)
		stages.See(part)
		w.goPut(offset, part)
		offset += uint64(to - from)
		return nil
	})
}
