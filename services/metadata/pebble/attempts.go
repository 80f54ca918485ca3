package pebble

import (
	"context"
	"encoding/binary"

	cockroach "github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/convert"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// describe writes what an attempt is begun for; number 0 is a single upload. The row goes with the chunk rows.
func (t *txn) describe(r meta.UploadRef, attempt uuid.UUID, number int) {
	t.put(row(tableHolder, attempt[:]), holder(r, number))
}

func holder(r meta.UploadRef, number int) *metadatav1.BeginPartRequest {
	return &metadatav1.BeginPartRequest{Ref: convert.UploadRef(r), Number: int64(number)}
}

// Attempts implements meta.Attempts.
func (s *Store) Attempts(ctx context.Context, r meta.FindAttempts) ([]meta.Attempt, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	if err := s.gate.enter(ctx); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	attempts := make([]meta.Attempt, len(r.IDs))
	for i, id := range r.IDs {
		a, err := s.attempt(id)
		if errors.Is(err, errors.Corrupted) {
			a, err = meta.Attempt{ID: id, State: meta.AttemptGarbage}, nil
		}
		if err != nil {
			return nil, err
		}
		attempts[i] = a
	}
	return attempts, nil
}

func (s *Store) attempt(id uuid.UUID) (meta.Attempt, error) {
	a := meta.Attempt{ID: id}
	var p metadatav1.BeginPartRequest
	found, err := s.read(row(tableHolder, id[:]), &p)
	if err != nil || !found {
		return a, err
	}
	ref, err := convert.UploadRefFrom(p.GetRef())
	if err != nil {
		return a, err
	}
	a.State, a.Bucket, a.Key = meta.AttemptGarbage, ref.Bucket, ref.Key
	b := s.find(ref.Bucket)
	if b == nil {
		return a, nil
	}
	a.BucketName = b.record.Load().Name
	// In this order: what is open may become an object, or garbage.
	open, err := s.heldOpen(ref, id, int(p.GetNumber()))
	if err != nil {
		return a, err
	}
	if open {
		a.State, a.Upload = meta.AttemptOpen, ref.ID
		return a, nil
	}
	o, err := s.object(ref.Bucket, ref.Key)
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

// heldOpen reports whether an upload that is open holds the attempt.
func (s *Store) heldOpen(r meta.UploadRef, attempt uuid.UUID, number int) (bool, error) {
	if attempt == r.ID {
		return s.openSingle(r)
	}
	if begun, err := s.has(row(tableAttempt, r.ID[:], attempt[:])); err != nil || begun {
		return begun, err
	}
	p, found, err := s.part(r.ID, number)
	return found && p.Attempt == attempt, err
}

// describeAll writes what every attempt belongs to, in a store of format 1, which does not say it.
func (s *Store) describeAll() error {
	b := s.db.NewBatch()
	put := func(r meta.UploadRef, attempt uuid.UUID, number int) error {
		t := txn{s: s, batch: b}
		if t.describe(r, attempt, number); t.err != nil || b.Len() < maxDescribed {
			return t.err
		}
		defer b.Reset()
		return b.Commit(cockroach.NoSync)
	}
	err := errors.Join(s.describeObjects(put), s.describeUploads(put), s.describeGarbage(put))
	if err == nil {
		err = b.Set(row(tableStore, []byte("format")), number64(Format), nil)
	}
	if err == nil {
		err = b.Commit(cockroach.Sync)
	}
	return errors.Join(err, b.Close())
}

// maxDescribed is the size of a batch of describeAll, in bytes.
const maxDescribed = 1 << 20

type describer func(r meta.UploadRef, attempt uuid.UUID, number int) error

func (s *Store) describeObjects(put describer) error {
	return s.scan(row(tableObject), nil, func(key, value []byte) (bool, error) {
		var p metadatav1.Object
		if err := unmarshal(value, &p); err != nil {
			return false, err
		}
		o, err := convert.ObjectFrom(&p)
		if err != nil {
			return false, err
		}
		// The upload has ended, and its ID is not kept: that of a single one is the attempt's.
		for _, part := range o.Parts {
			ref := meta.UploadRef{Bucket: uuid.UUID(key[1 : 1+idSize]), Key: string(key[1+idSize:]), ID: part.Attempt}
			if err := put(ref, part.Attempt, 0); err != nil {
				return false, err
			}
		}
		return true, nil
	})
}

func (s *Store) describeUploads(put describer) error {
	err := s.scan(row(tableSingle), nil, func(_, value []byte) (bool, error) {
		u, err := decodeUpload(value)
		if err == nil {
			err = put(u.UploadRef, u.ID, 0)
		}
		return err == nil, err
	})
	if err != nil {
		return err
	}
	return s.scan(row(tableMultipart), nil, func(_, value []byte) (bool, error) {
		u, err := decodeUpload(value)
		if err != nil {
			return false, err
		}
		err = s.scan(row(tablePart, u.ID[:]), nil, func(_, value []byte) (bool, error) {
			p, err := decodePart(value)
			if err == nil {
				err = put(u.UploadRef, p.Attempt, p.Number)
			}
			return err == nil, err
		})
		if err != nil {
			return false, err
		}
		err = s.scan(row(tableAttempt, u.ID[:]), nil, func(key, value []byte) (bool, error) {
			err := put(u.UploadRef, uuid.UUID(key[1+idSize:]), int(binary.BigEndian.Uint16(value)))
			return err == nil, err
		})
		return err == nil, err
	})
}

func (s *Store) describeGarbage(put describer) error {
	return s.scan(row(tableGarbage), nil, func(_, value []byte) (bool, error) {
		var p metadatav1.Garbage
		if err := unmarshal(value, &p); err != nil {
			return false, err
		}
		g, err := convert.GarbageFrom(&p)
		if err != nil {
			return false, err
		}
		for _, attempt := range g.Attempts {
			if err := put(meta.UploadRef{Bucket: g.Bucket, Key: g.Key, ID: attempt}, attempt, 0); err != nil {
				return false, err
			}
		}
		return true, nil
	})
}
