package cql

import (
	"context"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

const (
	singleColumns = `key, upload_id, begun, progress, upload, begin_id, state, closing, done`
	beginSingle   = `INSERT INTO singles (bucket_id, shard, key, upload_id, begun, upload, begin_id) VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?`
	openSingle    = `UPDATE singles USING TIMESTAMP 1 SET state = 0` + uploadAt
	readSingleRow = `SELECT ` + singleColumns + inSingles
	writeProgress = `UPDATE singles USING TIMESTAMP ? SET progress = ?` + uploadAt
	startEnding   = `UPDATE singles SET state = ?, closing = ?` + uploadAt + ` IF state = 0 AND done = null`
	startDone     = `UPDATE singles SET state = ?, closing = ?` + uploadAt + ` IF state = ? AND progress = ?`
	endEnding     = `UPDATE singles SET state = ?, closing = ?` + uploadAt + ` IF state = ?`
	dropSingle    = `DELETE FROM singles USING TIMESTAMP ?` + uploadAt
	uploadsOfKey  = `SELECT upload_id, version_ts, version_id FROM objects WHERE bucket_id = ? AND shard = ? AND key = ?`
)

// progress is that a single upload is alive.
func (s *Store) progress(u *uploadRow) statement {
	return statement{writeProgress, append([]any{int64(s.hybrid.Now()), at(s.now())}, u.at()...)}
}

// endSingle begins the end of an open single upload: it takes nothing any more. Whether a commit that was under way
// won is seen when every lease on the upload has ended, by whoever meets it then: resolve.
// Kinds: NotFound (Upload) if it was ended otherwise.
func (s *Store) endSingle(ctx context.Context, u *uploadRow) error {
	args := append([]any{uploadAborting, at(s.now())}, u.at()...)
	applied, err := s.casTo(ctx, uploadAborting, startEnding, args...)
	if err != nil {
		return err
	}
	if !applied {
		return noUpload(u.ref())
	}
	s.garbage()
	return nil
}

// resolve decides what became of a single upload that is being ended, or whose
// commit left its mark: completed if an object of the key was written by it,
// aborted otherwise. It waits until a commit that saw it open either left
// its row where this finds it or will ask again before it is acknowledged.
func (s *Store) resolve(ctx context.Context, uploads ...*uploadRow) error {
	if len(uploads) == 0 {
		return nil
	}
	each := func(f func(context.Context, *uploadRow) error) error {
		return inParallel(ctx, len(uploads), wide, func(ctx context.Context, i int) error { return f(ctx, uploads[i]) })
	}
	if err := each(s.startResolving); err != nil {
		return err
	}
	if err := s.settleLease(ctx); err != nil {
		return err
	}
	return each(s.endResolving)
}

// startResolving closes an upload, if it did not go on since it was read.
func (s *Store) startResolving(ctx context.Context, u *uploadRow) error {
	if u.state == uploadCompleting {
		if err := s.settleClaim(ctx, u.place); err != nil {
			return err
		}
	}
	if u.state != uploadOpen && u.state != uploadCompleting {
		return nil
	}
	var progress *int64
	if u.progress != 0 {
		progress = &u.progress
	}
	applied, _, err := s.cas(ctx, startDone, append(append([]any{uploadAborting, at(s.now())}, u.at()...), u.state, progress)...)
	if err != nil {
		return err
	}
	if applied {
		u.state, u.closing = uploadAborting, at(s.now())
		return nil
	}
	return s.reread(ctx, u)
}

// reread reads again what another has changed; the row may be gone.
func (s *Store) reread(ctx context.Context, u *uploadRow) error {
	now, err := s.readUploadRow(ctx, u.place, u.multipart, u.id)
	if err == nil {
		*u = *now
	}
	return err
}

func (s *Store) endResolving(ctx context.Context, u *uploadRow) error {
	if u.state != uploadAborting {
		return nil
	}
	s.begun.end(u.id)
	committed, err := s.committedBy(ctx, u.place, u.id)
	if err != nil {
		return err
	}
	state := uploadAborted
	if committed.ID != uuid.Nil {
		if err := s.adopt(ctx, u.place, committed); err != nil {
			return err
		}
		state = uploadCompleted
	}
	applied, _, err := s.cas(ctx, endEnding, append(append([]any{state, u.closing}, u.at()...), uploadAborting)...)
	if err != nil {
		return err
	}
	if applied {
		u.state = state
		return nil
	}
	return s.reread(ctx, u)
}

// settleLease waits until what was seen before it by anybody does not count any more.
func (s *Store) settleLease(ctx context.Context) error {
	err := clock.Sleep(ctx, clock.System{}, s.leaseMargin())
	return errors.Wrap(errors.KindOf(err), err, "waiting for the commits of an upload that ends")
}

// committedBy is the newest version of the key that was written by the upload; no version if there is none.
func (s *Store) committedBy(ctx context.Context, pl place, upload uuid.UUID) (v meta.Version, err error) {
	err = s.each(ctx, chunkPage, func(scan func(...any) error) (bool, error) {
		var id, version []byte
		var ts int64
		if err := scan(&id, &ts, &version); err != nil {
			return false, err
		}
		if idOf(id) != upload {
			return true, nil
		}
		v = meta.Version{Timestamp: clock.Timestamp(ts), ID: idOf(version)}
		return false, nil
	}, uploadsOfKey, pl.values()...)
	return v, err
}
