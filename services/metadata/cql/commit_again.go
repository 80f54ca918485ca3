package cql

import (
	"context"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

const versionIDs = `SELECT version_ts, version_id FROM objects WHERE bucket_id = ? AND shard = ? AND key = ?`

// nameVersion gives the version of a row its ID, if the caller of the write did not.
func (s *Store) nameVersion(r *row) (err error) {
	if r.version.ID == uuid.Nil {
		r.version.ID, err = s.newID()
	}
	return err
}

// happened looks for the version that an earlier try of a write without upload made; no version: there is none. One that is
// not the newest is in doubt: it may have been replaced, but a try that was cut off may also have been written below what was there
// before it. The caller holds the lock of the key. Kinds: NotFound (Bucket); Unavailable if that is in doubt.
func (s *Store) happened(ctx context.Context, b liveBucket, key string, c meta.Commit, condition meta.Condition) (meta.Version, error) {
	if !c.Again {
		return meta.Version{}, nil
	}
	p := b.place(key)
	if !condition.Unconditional() {
		// It may be decided, and not be written yet.
		if err := s.settleClaim(ctx, p); err != nil {
			return meta.Version{}, err
		}
	}
	var found meta.Version
	newest := true
	err := s.each(ctx, chunkPage, func(scan func(...any) error) (bool, error) {
		var ts int64
		var id []byte
		if err := scan(&ts, &id); err != nil {
			return false, err
		}
		if idOf(id) == c.ID {
			found = meta.Version{Timestamp: clock.Timestamp(ts), ID: c.ID}
			return false, nil
		}
		newest = false
		return true, nil
	}, versionIDs, p.values()...)
	if err != nil || found.ID == uuid.Nil {
		return meta.Version{}, err
	}
	if err := s.stillLive(ctx, b); err != nil {
		return meta.Version{}, err
	}
	if !newest {
		return meta.Version{}, errors.E(errors.Unavailable, errors.Object, key,
			"the write was interrupted and repeated, others wrote the key too, and now it is not known which was last")
	}
	return found, nil
}
