package cql

import (
	"context"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

const (
	shardsOf         = `SELECT shards FROM bucket_ids WHERE id = ?`
	anyTraceOfSingle = `SELECT upload_id` + inSingles
	anyTraceOfUpload = `SELECT upload_id` + inUploads
	writersOfKey     = `SELECT upload_id, object FROM objects WHERE bucket_id = ? AND shard = ? AND key = ?`
)

// Attempts implements meta.Attempts. What an attempt belongs to is said beside its chunk rows from before its first
// reference until its last one is gone. Everywhere reads that at ALL: of one row that some replica still has, every read knows.
func (s *Store) Attempts(ctx context.Context, r meta.FindAttempts) ([]meta.Attempt, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	attempts := make([]meta.Attempt, len(r.IDs))
	return attempts, inParallel(ctx, len(r.IDs), wide, func(ctx context.Context, i int) (err error) {
		attempts[i], err = s.attempt(ctx, r.IDs[i], r.Everywhere)
		if errors.Is(err, errors.Corrupted) {
			attempts[i], err = meta.Attempt{ID: r.IDs[i], State: meta.AttemptGarbage}, nil
		}
		return err
	})
}

func (s *Store) attempt(ctx context.Context, id uuid.UUID, everywhere bool) (meta.Attempt, error) {
	a := meta.Attempt{ID: id}
	var bucket *uuid.UUID
	var key, upload []byte
	var number int
	var sealed *int64
	q := s.query(ctx, readAttempt, []any{id[:]}).Idempotent(true)
	if everywhere {
		q = q.Consistency(gocql.All)
	}
	found, err := s.scan(ctx, q, []any{&bucket, &key, &upload, &number, &sealed})
	if err != nil || !found {
		return a, err
	}
	a.State = meta.AttemptGarbage
	if bucket == nil { // chunk rows alone, of which nobody says whose they are
		return a, nil
	}
	a.Bucket, a.Key = *bucket, string(key)
	a, err = s.holder(ctx, a, idOf(upload), number)
	if err != nil || !everywhere || a.State != meta.AttemptGarbage {
		return a, err
	}
	if forsaken, err := s.forsaken(ctx, a, idOf(upload)); err != nil || !forsaken {
		return a, err
	}
	return meta.Attempt{ID: id}, nil
}

// holder says what an attempt belongs to whose bucket, key and upload are known.
func (s *Store) holder(ctx context.Context, a meta.Attempt, upload uuid.UUID, number int) (meta.Attempt, error) {
	b, err := s.bucket(ctx, a.Bucket)
	if errors.Is(err, errors.NotFound) {
		return a, nil
	}
	if err != nil {
		return a, err
	}
	a.BucketName = b.name
	open, err := s.heldOpen(ctx, b.place(a.Key), upload, a.ID, number)
	if err != nil {
		return a, err
	}
	if open {
		a.State, a.Upload = meta.AttemptOpen, upload
		return a, nil
	}
	o, err := s.Object(ctx, a.Bucket, a.Key)
	switch {
	case errors.Is(err, errors.NotFound):
		return a, nil
	case err != nil:
		return a, err
	case o.Holds(a.ID):
		a.State, a.Version = meta.AttemptComplete, o.Version
	}
	return a, nil
}

// heldOpen reports whether an upload that is open holds the attempt. It is looked at before the object that it may become.
func (s *Store) heldOpen(ctx context.Context, pl place, upload, attempt uuid.UUID, number int) (bool, error) {
	u, err := s.readUploadRow(ctx, pl, number > 0, upload)
	if err != nil || !u.open() || number == 0 {
		return u.open(), err
	}
	rows, err := s.tries(ctx, upload, number)
	for i, p := range rows {
		if p.attempt == attempt && (p.modified == 0 || i == 0) {
			return true, err
		}
	}
	return false, err
}

// forsakenAfter is how long after the begin of an upload nothing is expected to come of it for which no row is there: a
// begin that failed may still come to light later, and ends then as one without progress.
const forsakenAfter = 25 * time.Hour

// forsaken says whether an attempt that was described belongs to nothing, and so is no garbage that the sweeper would ever find: its begin failed when
// only the description was written, or came, once more, when its upload had long ended. Neither its upload nor a version that this
// wrote is there, of any state, in any copy. The row of a bucket goes after all that is in it.
func (s *Store) forsaken(ctx context.Context, a meta.Attempt, upload uuid.UUID) (bool, error) {
	if begun, known := begunAt(upload); !known || s.clock.Now().Sub(begun) < forsakenAfter {
		return false, nil
	}
	some := func(row func(scan func(...any) error) (bool, error), cql string, args ...any) error {
		return s.eachEverywhere(ctx, chunkPage, row, cql, args...)
	}
	shards := 0
	err := some(func(scan func(...any) error) (bool, error) { return false, scan(&shards) }, shardsOf, a.Bucket)
	if err != nil || shards == 0 {
		return err == nil, err
	}
	pl := place{a.Bucket, shardOf(a.Key, shards), a.Key}
	held := false
	for _, cql := range []string{anyTraceOfSingle, anyTraceOfUpload} {
		if err := some(func(func(...any) error) (bool, error) { held = true; return false, nil }, cql, pl.upload(upload)...); err != nil || held {
			return false, err
		}
	}
	err = some(func(scan func(...any) error) (bool, error) {
		var by, object []byte
		err := scan(&by, &object)
		switch {
		case err != nil:
			return false, err
		case idOf(by) == upload:
			held = true
		case idOf(by) == wroteParts(upload):
			o, err := objectOf(a.Key, meta.Version{}, object, nil)
			if err != nil {
				return false, err
			}
			held = o.Holds(a.ID)
		}
		return !held, nil
	}, writersOfKey, pl.values()...)
	return !held, err
}
