package cql

import (
	"context"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// conditional commits r if the condition holds at the newest version. Prepare, if not nil, runs before the decision; its undo runs
// if the decision is not made. Ended runs beside the writing of the row. The caller holds the lock of the key.
func (s *Store) conditional(ctx context.Context, b liveBucket, key string, r *row, c meta.Condition,
	prepare func() (undo func(), err error), beside []func() error,
) (under head, err error) {
	p := b.place(key)
	// Most conditions that fail, fail here, without a claim.
	if under, err = s.check(ctx, b, p, c); err != nil {
		return under, err
	}
	hold, err := s.claimKey(ctx, p)
	if err != nil {
		return head{}, err
	}
	defer func() {
		if err != nil && !hold.decided {
			hold.release(ctx)
		}
	}()
	if under, err = s.check(ctx, b, p, c); err != nil {
		return under, err
	}
	undo := func() {}
	if prepare != nil {
		if undo, err = prepare(); err != nil {
			return head{}, err
		}
	}
	if err := s.nameVersion(r); err != nil {
		undo()
		return head{}, err
	}
	// Of when the key was taken, and not of now: what unconditional writers began since, and wait with, comes above.
	r.version.Timestamp = max(hold.began, under.Timestamp+1)
	checked := int64(under.Timestamp)
	r.checked = &checked
	if err := hold.decide(ctx, r); err != nil {
		undo()
		return head{}, err
	}
	if err := together(append(beside, func() error { return s.run(ctx, r.insertion(p)) })...); err != nil {
		return head{}, err // whoever meets the claim writes the row
	}
	s.config.Step(ctx, "written")
	if err := s.stillLive(ctx, b); err != nil {
		// Whoever meets the claim would write the row again, but the bucket is gone.
		return head{}, s.withdraw(p, r, err)
	}
	if hold.release(ctx) {
		s.replaced(p, r, under)
	}
	return under, nil
}

// check reads the newest version and decides whether the condition holds there. It also sees that the bucket is live.
func (s *Store) check(ctx context.Context, b liveBucket, p place, c meta.Condition) (head, error) {
	var heads []head
	err := together(
		func() (err error) { heads, err = s.heads(ctx, p, 1); return err },
		func() error { return s.stillLive(ctx, b) },
	)
	if err != nil {
		return head{}, err
	}
	newest := below(heads, meta.Version{})
	return newest, c.Check(p.key, newest.exists(), newest.etag)
}

// putConditional commits an object if its condition holds.
func (s *Store) putConditional(ctx context.Context, b liveBucket, p meta.Put, r *row) (meta.Version, error) {
	at := b.place(p.Key)
	if p.Upload == uuid.Nil {
		_, err := s.conditional(ctx, b, p.Key, r, p.Condition, nil, nil)
		return r.version, err
	}
	if _, err := s.openSingleFor(ctx, b, p); err != nil {
		return repeatedVersion(err)
	}
	change := func(ctx context.Context, from, to int) (bool, error) {
		// Who else would change it settles the claim first.
		return s.casTo(ctx, to, winSingle, append(append([]any{to}, at.upload(p.Upload)...), from)...)
	}
	// The upload is not ended by others while the decision is made: they settle the claim first.
	prepare := func() (func(), error) {
		mine, err := change(ctx, uploadOpen, uploadCompleting)
		if err == nil && !mine {
			err = noUpload(meta.UploadRef{Bucket: p.Bucket, Key: p.Key, ID: p.Upload})
		}
		return func() {
			ctx, cancel := context.WithTimeout(s.running, withdrawTime)
			defer cancel()
			if _, err := change(ctx, uploadCompleting, uploadOpen); err != nil {
				s.log.Warn("an upload whose commit was not decided stays closed until it is swept", "upload", p.Upload, "error", err)
			}
		}, err
	}
	if _, err := s.conditional(ctx, b, p.Key, r, p.Condition, prepare, s.besideUpload(ctx, at, p, r)); err != nil {
		return meta.Version{}, err
	}
	s.endedSingle(at, p.Upload)
	return r.version, nil
}

// deleteConditional hides a key if the condition holds.
func (s *Store) deleteConditional(ctx context.Context, b liveBucket, d meta.Delete) (bool, error) {
	under, err := s.conditional(ctx, b, d.Key, markerRow(d.Commit), d.Condition, nil, nil)
	// A condition that failed says whether there was an object to fail at.
	if err != nil && !errors.Is(err, errors.PreconditionFailed) {
		return false, err
	}
	return under.exists(), err
}
