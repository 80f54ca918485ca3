package pebble

import (
	"context"
	"encoding/binary"
	"time"

	cockroach "github.com/cockroachdb/pebble/v2"

	"deuxfleurs.fr/garage/pkg/errors"
)

func restoringRow() []byte { return row(tableStore, []byte("restoring")) }

// Restoring is when the snapshot was taken of which a restore has begun and not ended; zero: there is none.
func (s *Store) Restoring(ctx context.Context) (time.Time, error) {
	if err := s.gate.enter(ctx); err != nil {
		return time.Time{}, err
	}
	defer s.gate.leave()
	value, err := s.get(restoringRow())
	if err != nil || value == nil {
		return time.Time{}, err
	}
	if len(value) != 8 {
		return time.Time{}, errors.Newf(errors.Corrupted, "the mark of a restore is damaged; restore the folder from a backup")
	}
	return time.UnixMicro(int64(binary.BigEndian.Uint64(value))).UTC(), nil
}

// SetRestoring marks that a restore has begun, or with zero that it has ended. It is durable, however the store is otherwise set.
func (s *Store) SetRestoring(ctx context.Context, taken time.Time) error {
	if err := s.gate.enter(ctx); err != nil {
		return err
	}
	defer s.gate.leave()
	if err := s.Problem(); err != nil {
		return err
	}
	var err error
	if taken.IsZero() {
		err = s.db.Delete(restoringRow(), cockroach.Sync)
	} else {
		err = s.db.Set(restoringRow(), number64(taken.UnixMicro()), cockroach.Sync)
	}
	if err != nil {
		return s.fail(err)
	}
	return nil
}
