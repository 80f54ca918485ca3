package cql

import (
	"context"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/convert"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

const (
	// Begun attempts are written and removed with the same two write times by
	// everybody: one that is begun again after it was finished stays removed.
	beginPart  = `INSERT INTO parts (upload_id, number, modified, attempt_id) VALUES (?, ?, 0, ?) USING TIMESTAMP 1`
	endPart    = `DELETE FROM parts USING TIMESTAMP 2 WHERE upload_id = ? AND number = ? AND modified = 0 AND attempt_id = ?`
	finishPart = `INSERT INTO parts (upload_id, number, modified, attempt_id, part) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?`
	dropPart   = `DELETE FROM parts USING TIMESTAMP ? WHERE upload_id = ? AND number = ? AND modified = ? AND attempt_id = ?`
	partsOf    = `SELECT number, modified, attempt_id, part FROM parts WHERE upload_id = ? AND number > ?`
	partTries  = `SELECT number, modified, attempt_id, part FROM parts WHERE upload_id = ? AND number = ?`
	dropParts  = `DELETE FROM parts USING TIMESTAMP ? WHERE upload_id = ?`
)

// partPage is how many rows of parts are read at a time: about 200 bytes each.
const partPage = 2000

// partRow is a row of parts: a finished part, or an attempt that was begun.
type partRow struct {
	number   int
	modified clock.Timestamp // 0: begun
	attempt  uuid.UUID
	part     []byte
}

func (p *partRow) decode() (meta.Part, error) {
	var record metadatav1.Part
	if err := proto.Unmarshal(p.part, &record); err != nil {
		return meta.Part{}, errors.Wrap(errors.Corrupted, err, "the row of part %d is damaged", p.number)
	}
	return convert.PartFrom(&record)
}

// eachPart calls f with rows of parts, in the order of their numbers and of each number
// the newest first, the begun ones last, until it returns false.
func (s *Store) eachPart(ctx context.Context, f func(partRow) (bool, error), cql string, args ...any) error {
	return s.each(ctx, partPage, func(scan func(...any) error) (bool, error) {
		var p partRow
		var modified int64
		var attempt []byte
		if err := scan(&p.number, &modified, &attempt, &p.part); err != nil {
			return false, err
		}
		p.modified, p.attempt = clock.Timestamp(modified), idOf(attempt)
		return f(p)
	}, cql, args...)
}

// tries are the rows of one number.
func (s *Store) tries(ctx context.Context, upload uuid.UUID, number int) (rows []partRow, err error) {
	err = s.eachPart(ctx, func(p partRow) (bool, error) {
		rows = append(rows, p)
		return true, nil
	}, partTries, upload[:], number)
	return rows, err
}

func noAttempt(attempt uuid.UUID) error {
	return errors.E(errors.NotFound, errors.Part, attempt.String(), "the attempt was not begun, or is finished or replaced")
}

// BeginPart implements meta.Uploads. Of an upload that this service saw open, the rows of a new attempt are written while it is read
// whether it still is; if not, the attempt is taken back, or, if that fails, found by the sweeper with the others of the upload.
func (s *Store) BeginPart(ctx context.Context, r meta.UploadRef, number int, attempt uuid.UUID) error {
	if err := meta.CheckPart(number); err != nil {
		return err
	}
	look := func() error { _, err := s.openMultipart(ctx, r); return err }
	write := func() error {
		return together(
			func() error { return s.exec(ctx, beginPart, r.ID[:], number, attempt[:]) },
			func() error { return s.describe(ctx, r, attempt, number) },
		)
	}
	_, before := s.begun.get(r.ID, attempt)
	var err error
	if s.begun.open(r) && !before {
		if err = together(look, write); errors.Is(err, errors.NotFound) {
			err = errors.Join(err, s.exec(ctx, endPart, r.ID[:], number, attempt[:]), s.takeBack(ctx, attempt))
		}
	} else if err = look(); err == nil {
		err = write()
	}
	switch {
	case err == nil:
		s.begun.opened(r)
		s.begun.add(attempt, begunAttempt{r, number})
	case errors.Is(err, errors.NotFound):
		s.begun.end(r.ID)
	}
	return err
}

// partTakes says whether an attempt of a part takes chunks; number is 0 if it is not known. Kinds: NotFound (Upload, Part).
func (s *Store) partTakes(ctx context.Context, r meta.UploadRef, attempt uuid.UUID, number int) error {
	open := func() error { _, err := s.openUpload(ctx, r); return err }
	if number == 0 {
		var a attemptRow
		var found bool
		err := together(open, func() (err error) { a, found, err = s.readAttemptRow(ctx, attempt); return err })
		if err != nil {
			return err
		}
		if !found || a.ref != r || a.number == 0 {
			return noAttempt(attempt)
		}
		number, open = a.number, func() error { return nil }
	}
	var rows []partRow
	err := together(open, func() (err error) { rows, err = s.tries(ctx, r.ID, number); return err })
	if err != nil {
		return err
	}
	for _, p := range rows {
		if p.attempt == attempt && p.modified == 0 {
			s.begun.add(attempt, begunAttempt{r, number})
			return nil
		}
	}
	return noAttempt(attempt)
}

// FinishPart implements meta.Uploads. The finished part and the end of its attempt are one batch.
func (s *Store) FinishPart(ctx context.Context, r meta.UploadRef, p meta.Part, chunks []meta.Chunk) (meta.Part, error) {
	if err := meta.CheckPart(p.Number); err != nil {
		return meta.Part{}, err
	}
	known, cached := s.begun.get(r.ID, p.Attempt)
	cached = cached && known.ref == r && known.number == p.Number
	var rows []partRow
	write := func() error { return s.writeChunks(ctx, p.Attempt, chunks) }
	steps := []func() error{
		func() error { _, err := s.openMultipart(ctx, r); return err },
		func() (err error) { rows, err = s.tries(ctx, r.ID, p.Number); return err },
	}
	if cached {
		steps = append(steps, write)
	}
	if err := together(steps...); err != nil {
		return meta.Part{}, err
	}
	begun, newest := false, clock.Timestamp(0)
	for i, row := range rows {
		if i == 0 && row.modified > 0 && row.attempt == p.Attempt {
			s.begun.forget(r.ID, p.Attempt)
			return row.decode()
		}
		newest = max(newest, row.modified)
		begun = begun || row.attempt == p.Attempt && row.modified == 0
	}
	if !begun {
		return meta.Part{}, noAttempt(p.Attempt)
	}
	if !cached {
		if err := write(); err != nil {
			return meta.Part{}, err
		}
	}
	p.Modified = s.now()
	record, err := proto.Marshal(convert.Part(p))
	if err != nil {
		return meta.Part{}, errors.Wrap(errors.Internal, err, "writing a part")
	}
	ts := int64(s.hybrid.After(newest))
	err = s.batch(ctx,
		statement{finishPart, []any{r.ID[:], p.Number, ts, p.Attempt[:], record, ts}},
		statement{endPart, []any{r.ID[:], p.Number, p.Attempt[:]}},
	)
	if err != nil {
		return meta.Part{}, err
	}
	s.begun.forget(r.ID, p.Attempt)
	if newest > 0 {
		s.garbage()
	}
	return p, nil
}

// ListParts implements meta.Uploads.
func (s *Store) ListParts(ctx context.Context, r meta.UploadRef, after, limit int) (meta.PartPage, error) {
	if err := meta.CheckLimit(limit); err != nil {
		return meta.PartPage{}, err
	}
	var page meta.PartPage
	last := 0
	err := together(
		func() error { _, err := s.openMultipart(ctx, r); return err },
		func() error {
			return s.eachPart(ctx, func(row partRow) (bool, error) {
				if row.modified == 0 || row.number == last {
					return true, nil
				}
				if page.More = len(page.Parts) == limit; page.More {
					return false, nil
				}
				last = row.number
				p, err := row.decode()
				page.Parts = append(page.Parts, p)
				return true, err
			}, partsOf, r.ID[:], max(0, after))
		},
	)
	if err != nil {
		return meta.PartPage{}, err
	}
	return page, nil
}
