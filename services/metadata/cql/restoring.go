package cql

import (
	"context"
	"time"
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

// SetRestoring marks that a restore has begun, or with zero that it has ended.
func (s *Store) SetRestoring(ctx context.Context, taken time.Time) (err error) {
	if taken.IsZero() {
		_, _, err = s.cas(ctx, clearRestoring)
	} else {
		_, _, err = s.cas(ctx, makeRestoring, at(taken))
	}
	return err
}
