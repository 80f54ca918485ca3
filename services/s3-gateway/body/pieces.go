package body

import (
	"context"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// piece is a run of bytes of a chunk, in the order of the body.
type piece struct {
	hash   chunk.Hash
	length int // of the chunk
	from   int // first byte wanted
	to     int // behind the last byte wanted
}

// listPage is how many chunk rows are asked for at a time, and listAhead how many a reader keeps.
const (
	listPage  = 256
	listAhead = 1024
)

// lister walks over the pieces of a range of an object's body.
type lister struct {
	s    *Store
	obj  *meta.Object
	next int64 // in the object
	end  int64
}

// each calls f with every piece in order until f returns false.
func (l *lister) each(ctx context.Context, f func(piece) bool) error {
	var start int64 // of the part, in the object
	for _, part := range l.obj.Parts {
		stop := min(start+part.Size, l.end)
		for l.next < stop {
			more, err := l.page(ctx, part, start, stop, f)
			if err != nil || !more {
				return err
			}
		}
		start += part.Size
		if start >= l.end {
			return nil
		}
	}
	return errors.E(errors.Corrupted, errors.Object, l.obj.Key, "its parts have %d bytes, not %d", start, l.obj.Size)
}

// page hands on some chunks of a part that lies at [start, …) of the object, up to stop.
func (l *lister) page(ctx context.Context, part meta.ObjectPart, start, stop int64, f func(piece) bool) (more bool, err error) {
	step, cancel := l.s.step(ctx)
	defer cancel()
	rows, err := l.s.Meta.Chunks(step, part.Attempt, uint64(l.next-start), listPage)
	if err != nil {
		return false, errors.Annotate(err, "listing the chunks of an object")
	}
	if len(rows) == 0 {
		return false, errors.E(errors.Corrupted, errors.Object, l.obj.Key, "its chunks end at byte %d of %d", l.next, l.obj.Size)
	}
	for _, row := range rows {
		at := start + int64(row.Offset)
		p := piece{hash: row.Hash, length: int(row.Length), from: int(l.next - at), to: int(min(stop-at, int64(row.Length)))}
		if p.from < 0 || p.from >= p.to {
			return false, errors.E(errors.Corrupted, errors.Object, l.obj.Key, "no chunk holds byte %d", l.next)
		}
		if !f(p) {
			return false, nil
		}
		if l.next = at + int64(p.to); l.next >= stop {
			break
		}
	}
	return true, nil
}
