package cql

import (
	"context"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

const (
	writeChunk      = `INSERT INTO chunks (attempt_id, offset, length, hash) VALUES (?, ?, ?, ?) USING TIMESTAMP 1`
	describeAttempt = `INSERT INTO chunks (attempt_id, bucket_id, key, upload_id, number) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP 1`
	takeBackAttempt = `DELETE bucket_id, key, upload_id, number FROM chunks USING TIMESTAMP 1 WHERE attempt_id = ?`
	readAttempt     = `SELECT DISTINCT bucket_id, key, upload_id, number, sealed FROM chunks WHERE attempt_id = ?`
	chunkBefore     = `SELECT offset, length, hash FROM chunks WHERE attempt_id = ? AND offset <= ? ORDER BY offset DESC LIMIT 1`
	chunksAfter     = `SELECT offset, length, hash FROM chunks WHERE attempt_id = ? AND offset > ? LIMIT ?`
	readTail        = `SELECT upload_id, tail FROM objects WHERE bucket_id = ? AND shard = ? AND key = ? LIMIT ?`
	dropChunks      = `DELETE FROM chunks USING TIMESTAMP 2 WHERE attempt_id = ?`
)

const (
	chunkBatch = 200  // rows in a batch: 25 KiB, half of what the database refuses
	chunkPage  = 2000 // rows in a page
)

// writeChunks writes chunk rows. A row that is there stays: who writes it again writes the same.
func (s *Store) writeChunks(ctx context.Context, attempt uuid.UUID, chunks []meta.Chunk) error {
	batches := (len(chunks) + chunkBatch - 1) / chunkBatch
	return inParallel(ctx, batches, wide, func(ctx context.Context, i int) error {
		some := chunks[i*chunkBatch : min(len(chunks), (i+1)*chunkBatch)]
		statements := make([]statement, len(some))
		for j, c := range some {
			statements[j] = statement{writeChunk, []any{attempt[:], int64(c.Offset), int(c.Length), c.Hash[:]}}
		}
		return s.batch(ctx, statements...)
	})
}

// describe writes what an attempt belongs to, beside its chunk rows; number 0 is a single upload.
func (s *Store) describe(ctx context.Context, r meta.UploadRef, attempt uuid.UUID, number int) error {
	return s.exec(ctx, describeAttempt, attempt[:], r.Bucket, []byte(r.Key), r.ID[:], number)
}

// takeBack removes what describe wrote, so that an attempt whose begin was refused is not known. Chunk rows stay: a begin that comes late, or twice, may
// be refused because the upload has become an object that needs them.
func (s *Store) takeBack(ctx context.Context, attempt uuid.UUID) error {
	return s.exec(ctx, takeBackAttempt, attempt[:])
}

// attemptRow is what is said beside the chunk rows of an attempt.
type attemptRow struct {
	ref    meta.UploadRef
	number int
	sealed *int64 // bytes, if all rows are there
}

func (s *Store) readAttemptRow(ctx context.Context, attempt uuid.UUID) (a attemptRow, found bool, err error) {
	var key, upload []byte
	found, err = s.one(ctx, []any{&a.ref.Bucket, &key, &upload, &a.number, &a.sealed}, readAttempt, attempt[:])
	a.ref.Key, a.ref.ID = string(key), idOf(upload)
	return a, found, err
}

// Chunks implements meta.Objects. What the commit of a single upload wrote with its object's row,
// and may not have got to write here, is added from there. It writes the rows and that they are all there at once, so
// either may be seen first.
func (s *Store) Chunks(ctx context.Context, attempt uuid.UUID, from uint64, limit int) ([]meta.Chunk, error) {
	if err := meta.CheckLimit(limit); err != nil {
		return nil, err
	}
	var first, rest []meta.Chunk
	var of attemptRow
	var described bool
	err := together(
		func() (err error) { first, err = s.chunkRows(ctx, chunkBefore, attempt[:], int64(from)); return err },
		func() (err error) {
			rest, err = s.chunkRows(ctx, chunksAfter, attempt[:], int64(from), limit)
			return err
		},
		func() (err error) { of, described, err = s.readAttemptRow(ctx, attempt); return err },
	)
	if err != nil {
		return nil, err
	}
	if len(first) > 0 && first[0].Offset+max(1, uint64(first[0].Length)) <= from {
		first = nil
	}
	rows := append(first, rest...)
	if described && of.number == 0 && !of.covered(rows, from, limit) {
		tail, err := s.tailOf(ctx, of.ref, attempt)
		if err != nil {
			return nil, err
		}
		rows = merge(rows, tail, from)
	}
	return rows[:min(limit, len(rows))], nil
}

// covered says whether no row is missing from those that were read from there on, up to limit.
func (a attemptRow) covered(rows []meta.Chunk, from uint64, limit int) bool {
	for _, c := range rows {
		if c.Offset > from {
			return false
		}
		from = c.Offset + uint64(c.Length)
	}
	return len(rows) >= limit || a.sealed != nil && from >= uint64(*a.sealed)
}

// tailOf are the chunk rows that the commit of an upload wrote with its object's row, which may not be the newest any more.
func (s *Store) tailOf(ctx context.Context, r meta.UploadRef, attempt uuid.UUID) ([]meta.Chunk, error) {
	b, err := s.shards(ctx, r.Bucket)
	if errors.Is(err, errors.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var tail []byte
	err = s.each(ctx, lookDeep, func(scan func(...any) error) (bool, error) {
		var upload, of []byte
		if err := scan(&upload, &of); err != nil {
			return false, err
		}
		if idOf(upload) == attempt {
			tail = of
		}
		return tail == nil, nil
	}, readTail, append(b.place(r.Key).values(), lookDeep)...)
	if err != nil {
		return nil, err
	}
	return chunksOfTail(tail)
}

// merge adds rows that end behind from to others; both are in order.
func merge(rows, more []meta.Chunk, from uint64) []meta.Chunk {
	if len(more) == 0 {
		return rows
	}
	var all []meta.Chunk
	for _, c := range more {
		for len(rows) > 0 && rows[0].Offset < c.Offset {
			all, rows = append(all, rows[0]), rows[1:]
		}
		if c.Offset+max(1, uint64(c.Length)) > from && (len(rows) == 0 || rows[0].Offset != c.Offset) {
			all = append(all, c)
		}
	}
	return append(all, rows...)
}

func (s *Store) chunkRows(ctx context.Context, cql string, args ...any) (rows []meta.Chunk, err error) {
	err = s.each(ctx, chunkPage, func(scan func(...any) error) (bool, error) {
		var offset int64
		var length int
		var hash []byte
		if err := scan(&offset, &length, &hash); err != nil {
			return false, err
		}
		c := meta.Chunk{Offset: uint64(offset), Length: uint32(length)}
		if copy(c.Hash[:], hash) != len(chunk.Hash{}) || len(hash) != len(chunk.Hash{}) {
			return false, errors.Newf(errors.Corrupted, "the row of the chunk at %d is damaged", offset)
		}
		rows = append(rows, c)
		return true, nil
	}, cql, args...)
	return rows, err
}

// AddChunks implements meta.Uploads. Rows of an attempt that was begun here are written while it is
// read whether the upload is open: if it is not, they go with what else the attempt holds.
func (s *Store) AddChunks(ctx context.Context, r meta.UploadRef, attempt uuid.UUID, chunks []meta.Chunk) error {
	known, cached := s.begun.get(r.ID, attempt)
	cached = cached && known.ref == r && attempt != uuid.Nil
	write := func() error { return s.writeChunks(ctx, attempt, chunks) }
	var check func() error
	if attempt == r.ID {
		check = func() error { return s.singleTakes(ctx, r, cached) }
	} else {
		check = func() error { return s.partTakes(ctx, r, attempt, known.number) }
	}
	if !cached {
		if err := check(); err != nil {
			return err
		}
		return write()
	}
	if _, err := s.placeOfUpload(ctx, r); err != nil {
		return err
	}
	err := together(check, write)
	if errors.Is(err, errors.NotFound) {
		s.begun.forget(r.ID, attempt)
	}
	return err
}

// singleTakes says whether a single upload takes chunks, and writes that it is alive. Kinds: NotFound (Upload, Part).
func (s *Store) singleTakes(ctx context.Context, r meta.UploadRef, known bool) error {
	pl, err := s.placeOfUpload(ctx, r)
	if err != nil {
		return err
	}
	var u *uploadRow
	look := func() (err error) { u, err = s.readUploadRow(ctx, pl, false, r.ID); return err }
	alive := func() error { return s.run(ctx, s.progress(&uploadRow{place: pl, id: r.ID})) }
	if known {
		err = together(look, alive)
	} else {
		err = look()
	}
	switch {
	case err != nil:
		return err
	case u.open():
		s.begun.add(r.ID, begunAttempt{ref: r})
		if known {
			return nil
		}
		return alive()
	}
	if _, err := s.openMultipart(ctx, r); err != nil {
		return err
	}
	return noAttempt(r.ID) // a multipart upload has attempts of its own
}
