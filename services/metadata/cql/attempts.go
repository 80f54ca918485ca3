package cql

import (
	"context"

	"github.com/gocql/gocql"
	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
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
	b, err := s.bucket(ctx, a.Bucket)
	if errors.Is(err, errors.NotFound) {
		return a, nil
	}
	if err != nil {
		return a, err
	}
	a.BucketName = b.name
	open, err := s.heldOpen(ctx, b.place(a.Key), idOf(upload), id, number)
	if err != nil {
		return a, err
	}
	if open {
		a.State, a.Upload = meta.AttemptOpen, idOf(upload)
		return a, nil
	}
	o, err := s.Object(ctx, a.Bucket, a.Key)
	switch {
	case errors.Is(err, errors.NotFound):
		return a, nil
	case err != nil:
		return a, err
	case o.Holds(id):
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
