package cql

import (
	"context"
	"time"

	"deuxfleurs.fr/garage/pkg/errors"
)

// The mark is a row beside the cluster's, changed by lightweight transactions only.
const (
	readRestoring  = `SELECT created FROM cluster WHERE name = 'restoring'`
	makeRestoring  = `INSERT INTO cluster (name, created) VALUES ('restoring', ?) IF NOT EXISTS`
	clearRestoring = `DELETE FROM cluster WHERE name = 'restoring' IF EXISTS`
)

// Restoring is when the snapshot was taken of which a restore has begun and not ended; zero: there is none. All services of the store see the same.
func (s *Store) Restoring(ctx context.Context) (time.Time, error) {
	var taken int64
	found, err := s.serial(ctx, []any{&taken}, readRestoring)
	if err != nil || !found {
		return time.Time{}, err
	}
	return timeAt(taken), nil
}

// SetRestoring marks that a restore has begun, or with zero that it has ended. Kinds: Conflict if that of another snapshot has begun.
func (s *Store) SetRestoring(ctx context.Context, taken time.Time) error {
	if taken.IsZero() {
		_, there, err := s.cas(ctx, clearRestoring)
		if there != nil {
			err = nil // it is gone, by this or by another
		}
		return err
	}
	made, there, err := s.cas(ctx, makeRestoring, at(taken))
	switch of, found := there["created"].(int64); {
	case made || found && of == at(taken):
		return nil
	case found:
		return errors.Newf(errors.Conflict, "a restore of the snapshot taken at %s has begun through another service: wait until it has ended", timeAt(of).Format(time.RFC3339Nano))
	}
	return err
}
