package cql

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

const (
	singleAt      = ` WHERE bucket_id = ? AND shard = ? AND key = ? AND upload_id = ?`
	stateOfSingle = `SELECT state, done, begin_id FROM singles` + singleAt
	markDone      = `UPDATE singles USING TIMESTAMP ? SET done = ?` + singleAt
	unmarkDone    = `DELETE done FROM singles USING TIMESTAMP ?` + singleAt
	removeSingle  = `DELETE FROM singles USING TIMESTAMP ?` + singleAt
	winSingle     = `UPDATE singles SET state = ?` + singleAt + ` IF state = ?`
	sealChunks    = `INSERT INTO chunks (attempt_id, sealed) VALUES (?, ?) USING TIMESTAMP 1`
)

// youngUpload is how long after its begin a single upload may be committed without reading first whether
// it is open: nobody gives up an upload so soon.
const youngUpload = 10 * time.Minute

// surelyOpen says whether the upload may be committed while it is read whether it is open: this service saw
// it open, did not try to commit it before, and it is young. Otherwise that is read first, so that what was committed
// through another service and replaced since does not show again, not even for a moment.
func (s *Store) surelyOpen(p meta.Put) bool {
	known, ok := s.begun.get(p.Upload, p.Upload)
	s.begun.end(p.Upload)
	return ok && known.ref == meta.UploadRef{Bucket: p.Bucket, Key: p.Key, ID: p.Upload} && s.young(p.Upload)
}

// single is what a commit must know of its upload.
type single struct {
	found bool
	state int
	done  uuid.UUID
	seen  time.Time // when the read began
}

// openFor says whether the upload may be committed as the version.
func (u single) openFor(v meta.Version) bool {
	return u.found && u.state == uploadOpen && (u.done == uuid.Nil || u.done == v.ID)
}

func (p place) upload(id uuid.UUID) []any { return append(p.values(), id[:]) }

func (s *Store) single(ctx context.Context, p place, id uuid.UUID) (single, error) {
	u := single{seen: monotonic()}
	var state *int
	var done []byte
	var begin *uuid.UUID
	_, err := s.one(ctx, []any{&state, &done, &begin}, stateOfSingle, p.upload(id)...)
	// A row of which there is only the mark of a commit was never begun.
	if u.found = begin != nil; state != nil {
		u.state = *state
	}
	u.done = idOf(done)
	return u, err
}

// young says whether the upload began a short time ago.
func (s *Store) young(id uuid.UUID) bool {
	begun, known := begunAt(id)
	return known && s.clock.Now().Sub(begun).Abs() < youngUpload
}

// begunAt is when an upload began, by its ID, if that is of meta.NewUploadID.
func begunAt(id uuid.UUID) (time.Time, bool) {
	if id.Version() != 7 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(id[0])<<40 | int64(id[1])<<32 | int64(id[2])<<24 | int64(id[3])<<16 | int64(id[4])<<8 | int64(id[5])), true
}

// repeatedError carries the version that the upload was committed as before.
type repeatedError struct{ version meta.Version }

func (repeatedError) Error() string { return "the upload was committed before" }

// repeated is the answer for an upload whose row another call wrote: a repeatedError, when it stays. The upload has ended before it
// is given, so that the other call, if it is still at work, finds that.
func (s *Store) repeated(ctx context.Context, at place, upload uuid.UUID, v meta.Version) error {
	if err := s.adopt(ctx, at, v); err != nil {
		return err
	}
	if err := s.exec(ctx, removeSingle, append([]any{s.deletion()}, at.upload(upload)...)...); err != nil {
		return err
	}
	return repeatedError{v}
}

// putUpload commits what a single upload wrote.
func (s *Store) putUpload(ctx context.Context, b liveBucket, p meta.Put, r *row) (meta.Version, error) {
	at := b.place(p.Key)
	if !s.surelyOpen(p) {
		if _, err := s.openSingleFor(ctx, b, p); err != nil {
			return repeatedVersion(err)
		}
	}
	var u single
	beside := append(s.besideUpload(ctx, at, p, r), func() (err error) { u, err = s.single(ctx, at, p.Upload); return err })
	_, err := s.commit(ctx, b, p.Key, r, beside, s.verifyOpen(ctx, at, p, r, &u))
	if err != nil {
		if !errors.IsEntity(err, errors.NotFound, errors.Upload) {
			s.unmark(at, p.Upload, r)
		}
		return repeatedVersion(err)
	}
	s.endedSingle(at, p.Upload)
	return r.version, nil
}

func repeatedVersion(err error) (meta.Version, error) {
	var again repeatedError
	if errors.As(err, &again) {
		return again.version, nil
	}
	return meta.Version{}, err
}

// besideUpload is what the commit of an upload writes besides its row: its last chunks, that these are all, and
// that it is committed. The row holds the chunks too, so that it is never seen without them.
func (s *Store) besideUpload(ctx context.Context, at place, p meta.Put, r *row) []func() error {
	return []func() error{
		func() error { return s.writeTail(ctx, r, p.Chunks) },
		func() error {
			return s.exec(ctx, markDone, append([]any{int64(r.version.Timestamp), r.version.ID[:]}, at.upload(p.Upload)...)...)
		},
	}
}

// writeTail records the last chunks of an attempt and seals it.
func (s *Store) writeTail(ctx context.Context, r *row, tail []meta.Chunk) error {
	if r.upload == uuid.Nil {
		return nil
	}
	return together(
		func() error { return s.writeChunks(ctx, r.upload, tail) },
		func() error { return s.exec(ctx, sealChunks, r.upload[:], r.size) },
	)
}

// openSingleFor looks whether the upload is open. Kinds: NotFound (Bucket, Upload); a repeatedError if
// it was committed and its object is the newest.
func (s *Store) openSingleFor(ctx context.Context, b liveBucket, p meta.Put) (heads []head, err error) {
	var u single
	at := b.place(p.Key)
	err = together(
		func() (err error) { u, err = s.single(ctx, at, p.Upload); return err },
		func() (err error) { heads, err = s.heads(ctx, at, 1); return err },
		func() error { return s.stillLive(ctx, b) },
	)
	if err != nil {
		return nil, err
	}
	if newest := below(heads, meta.Version{}); newest.upload == p.Upload && newest.exists() {
		return nil, s.repeated(ctx, at, p.Upload, newest.Version)
	}
	if !u.found || u.state != uploadOpen || u.done != uuid.Nil {
		return nil, noUpload(meta.UploadRef{Bucket: p.Bucket, Key: p.Key, ID: p.Upload})
	}
	return heads, nil
}

// verifyOpen is what a commit of an upload asks before it goes on.
func (s *Store) verifyOpen(ctx context.Context, at place, p meta.Put, r *row, u *single) verify {
	return func(heads []head, again bool) (err error) {
		if again || !s.leased(u.seen) {
			if *u, err = s.single(ctx, at, p.Upload); err != nil {
				return err
			}
		}
		return s.verifySingle(ctx, at, p, r, *u, heads)
	}
}

// verifySingle decides, when the row is durable, whether the upload was open. One that is being ended is
// decided by a transaction: whoever ends it looks for the row after a lease.
func (s *Store) verifySingle(ctx context.Context, at place, p meta.Put, r *row, u single, heads []head) error {
	own := u.found && u.done == r.version.ID
	if u.openFor(r.version) || own && u.state == uploadCompleted {
		return nil
	}
	if own && u.state == uploadAborting {
		won, there, err := s.cas(ctx, winSingle, append(append([]any{uploadCompleted}, at.upload(p.Upload)...), uploadAborting)...)
		if there["state"] == uploadCompleted {
			won, err = true, nil // by this call, or by who ended the upload and found the row
		}
		if err != nil || won {
			return err
		}
	}
	if !u.found {
		// The mark of this commit stands alone.
		if err := s.exec(ctx, removeSingle, append([]any{s.deletion()}, at.upload(p.Upload)...)...); err != nil {
			return err
		}
	}
	if newest := below(heads, r.version); newest.upload == p.Upload && newest.exists() {
		return s.repeated(ctx, at, p.Upload, newest.Version)
	}
	return noUpload(meta.UploadRef{Bucket: p.Bucket, Key: p.Key, ID: p.Upload})
}

// unmark takes the mark of a commit back that failed, so that it can be tried again.
func (s *Store) unmark(at place, id uuid.UUID, r *row) {
	ctx, cancel := context.WithTimeout(s.running, withdrawTime)
	defer cancel()
	if err := s.exec(ctx, unmarkDone, append([]any{int64(r.version.Timestamp)}, at.upload(id)...)...); err != nil {
		s.log.Warn("an upload whose commit failed stays closed until it is swept", "upload", id, "error", err)
	}
}

// deletion is a write time above that of every row of uploads: transactions have the
// time of the database's machines.
func (s *Store) deletion() int64 { return max(int64(s.hybrid.Now()), time.Now().UnixMicro()) }

// endings are uploads that were committed and whose rows are to be removed.
type endings struct{ queue chan endedUpload }

type endedUpload struct {
	place
	id uuid.UUID
}

// endedQueue bounds the rows that wait to be removed; beyond, they are left to the sweeper.
const endedQueue = 4096

// endedSingle removes the row of an upload that was committed, beside the call.
func (s *Store) endedSingle(at place, id uuid.UUID) {
	select {
	case s.ended.queue <- endedUpload{at, id}:
	default:
	}
}

// removeEnded removes the rows of uploads that were committed, until the store is closed; what
// is left or cannot be removed then is the sweeper's.
func (s *Store) removeEnded() {
	slots := make(chan struct{}, wide)
	var work sync.WaitGroup
	defer work.Wait()
	for {
		select {
		case <-s.running.Done():
			return
		case u := <-s.ended.queue:
			slots <- struct{}{} // given back within the time of one statement
			work.Go(func() {
				defer func() { <-slots }()
				ctx, cancel := context.WithTimeout(s.running, s.config.Timeout)
				defer cancel()
				if err := s.exec(ctx, removeSingle, append([]any{s.deletion()}, u.upload(u.id)...)...); err != nil {
					s.log.Debug("the row of an upload that was committed stays until it is swept", "upload", u.id, "error", err)
				}
			})
		}
	}
}
