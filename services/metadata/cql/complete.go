package cql

import (
	"context"
	"crypto/sha256"
	"encoding/binary"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

const (
	startComplete = `UPDATE uploads SET state = ?, closing = ?, parts = ?, version_id = ?` + uploadAt + ` IF state = 0`
	endComplete   = `UPDATE uploads SET state = ?, completed = ?, version_ts = ?, version_id = ?` + uploadAt + ` IF state = ? AND version_id = ?`
	undoComplete  = `UPDATE uploads SET state = ?` + uploadAt + ` IF state = ? AND version_id = ?`
	readSelection = `SELECT parts` + inUploads
)

// A completion goes: open → completing with the list of parts and a name of its
// own, the object's row, completing → completed with the version. Completing holds only as long as a lease:
// whoever meets it later settles it by whether a row of the key was written by the upload, to completed or
// back to open; the call that was too slow then finds that it is not its own any more, and takes its row back.

// wroteParts is what the row of an object says of the multipart upload that wrote it, and the other way round: not
// the ID itself, so that it is not taken for what a single upload wrote.
func wroteParts(upload uuid.UUID) uuid.UUID {
	for i := range upload {
		upload[i] = ^upload[i]
	}
	return upload
}

// selection is what a completion was asked for: 18 bytes a part, so that 10,000 of them are one cell.
type selection struct {
	named [sha256.Size]byte // of numbers and ETags, which a repetition is compared by
	kept  map[uuid.UUID]bool
}

// appendSelection encodes the parts of a completion.
func appendSelection(parts []meta.Part) []byte {
	named := nameOf(parts)
	b := named[:]
	for _, p := range parts {
		b = binary.BigEndian.AppendUint16(b, uint16(p.Number))
		b = append(b, p.Attempt[:]...)
	}
	return b
}

// nameOf tells lists of parts apart as meta.SameParts does.
func nameOf(parts []meta.Part) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, p := range parts {
		var head [6]byte
		binary.BigEndian.PutUint16(head[:], uint16(p.Number))
		binary.BigEndian.PutUint32(head[2:], uint32(len(p.ETag)))
		_, _ = h.Write(append(head[:], p.ETag...)) // never fails
	}
	h.Sum(sum[:0])
	return sum
}

func parseSelection(b []byte) (selection, error) {
	const one = 2 + 16
	if len(b) < sha256.Size || (len(b)-sha256.Size)%one != 0 {
		return selection{}, errors.Newf(errors.Corrupted, "the list of parts of an upload is damaged")
	}
	s := selection{named: [sha256.Size]byte(b), kept: make(map[uuid.UUID]bool)}
	for b = b[sha256.Size:]; len(b) > 0; b = b[one:] {
		s.kept[uuid.UUID(b[2:one])] = true
	}
	return s, nil
}

func (s *Store) selection(ctx context.Context, u *uploadRow) (selection, error) {
	var b []byte
	if _, err := s.one(ctx, []any{&b}, readSelection, u.at()...); err != nil {
		return selection{}, err
	}
	return parseSelection(b)
}

// CompleteUpload implements meta.Uploads.
func (s *Store) CompleteUpload(ctx context.Context, c meta.Complete) (meta.Version, error) {
	if err := c.Check(); err != nil {
		return meta.Version{}, err
	}
	b, err := s.live(ctx, c.Bucket)
	if err != nil {
		return meta.Version{}, err
	}
	pl := b.place(c.Key)
	unlock, err := s.lockKey(ctx, pl)
	if err != nil {
		return meta.Version{}, err
	}
	defer unlock()
	ctx, cancel := whole(ctx)
	defer cancel()
	u, err := s.readUploadRow(ctx, pl, true, c.ID)
	if err == nil && u.there() && u.state == uploadCompleting {
		err = s.resolveCompletion(ctx, u)
	}
	if err != nil {
		return meta.Version{}, err
	}
	switch {
	case u.there() && u.state == uploadCompleted:
		return s.completed(ctx, u, c)
	case !u.open():
		return meta.Version{}, noUpload(c.UploadRef)
	}
	up, err := u.decode()
	if err != nil {
		return meta.Version{}, err
	}
	parts, err := s.selected(ctx, c)
	if err != nil {
		return meta.Version{}, err
	}
	r, err := rowOf(c.Object(up, parts), wroteParts(c.ID), nil)
	if err != nil {
		return meta.Version{}, err
	}
	r.written = c.Written
	return s.complete(ctx, b, u, c, r)
}

// completed answers a repeated completion. Kinds: NotFound (Upload).
func (s *Store) completed(ctx context.Context, u *uploadRow, c meta.Complete) (meta.Version, error) {
	sel, err := s.selection(ctx, u)
	if err != nil {
		return meta.Version{}, err
	}
	if sel.named != nameOf(c.Parts) {
		return meta.Version{}, noUpload(c.UploadRef)
	}
	return u.version, nil
}

// selected reads the stored parts that a completion names. Kinds: NotFound (Part).
func (s *Store) selected(ctx context.Context, c meta.Complete) ([]meta.Part, error) {
	parts := make([]meta.Part, 0, len(c.Parts))
	last := 0
	err := s.eachPart(ctx, func(row partRow) (bool, error) {
		if row.modified == 0 || row.number == last {
			return true, nil
		}
		last = row.number
		if len(parts) == len(c.Parts) || c.Parts[len(parts)].Number != row.number {
			return len(parts) < len(c.Parts), nil
		}
		p, err := row.decode()
		if want := c.Parts[len(parts)]; err != nil || want.Attempt != p.Attempt || want.ETag != p.ETag {
			return false, err
		}
		parts = append(parts, p)
		return true, nil
	}, partsOf, c.ID[:], 0)
	if err == nil && len(parts) < len(c.Parts) {
		err = errors.E(errors.NotFound, errors.Part, "", "part %d is not finished with this attempt", c.Parts[len(parts)].Number)
	}
	return parts, err
}

// complete decides the completion of an open upload and carries it out.
func (s *Store) complete(ctx context.Context, b liveBucket, u *uploadRow, c meta.Complete, r *row) (meta.Version, error) {
	own, err := s.newID()
	if err != nil {
		return meta.Version{}, err
	}
	prepare := func() (func(), error) {
		s.config.Step(ctx, "completing")
		s.begun.end(u.id)
		applied, there, err := s.cas(ctx, startComplete, append([]any{uploadCompleting, at(s.now()), appendSelection(c.Parts), own[:]}, u.at()...)...)
		if err != nil && there != nil {
			var now *uploadRow
			now, err = s.readUploadRow(ctx, u.place, true, u.id)
			applied = err == nil && now.state == uploadCompleting && now.version.ID == own
		}
		if err == nil && !applied {
			err = noUpload(c.UploadRef)
		}
		return func() { s.undoCompletion(u, own) }, err
	}
	win := func(v meta.Version) error {
		// Only who thought this call dead would have completed it instead.
		applied, err := s.casTo(ctx, uploadCompleted, endComplete, s.endValues(u, v, own)...)
		switch {
		case err != nil:
			return err
		case applied:
			s.count(u.bucket, meta.Usage{Uploads: -1})
			s.garbage()
			return nil
		}
		// Someone thought this call dead, and found its row or took the upload back.
		now, err := s.readUploadRow(ctx, u.place, true, u.id)
		if err == nil && now.state != uploadCompleted {
			err = tookTooLong(c)
		}
		return err
	}
	if !c.Condition.Unconditional() {
		if _, err := s.conditional(ctx, b, c.Key, r, c.Condition, prepare, nil); err != nil {
			return meta.Version{}, err
		}
		return r.version, win(r.version)
	}
	if _, err := prepare(); err != nil {
		return meta.Version{}, err
	}
	// After an error the row may be there or not: whoever meets the upload looks.
	still := func(_ []head, again bool) error {
		if !again {
			return nil
		}
		now, err := s.readUploadRow(ctx, u.place, true, u.id)
		if err == nil && (now.state != uploadCompleting || now.version.ID != own) {
			err = tookTooLong(c)
		}
		return err
	}
	under, err := s.commit(ctx, b, c.Key, r, nil, still)
	if err != nil {
		return meta.Version{}, err
	}
	if err = win(r.version); errors.Is(err, errors.Conflict) {
		s.replacedBack(u.place, r, under)
		err = s.withdraw(u.place, r, err)
	}
	return r.version, err
}

func tookTooLong(c meta.Complete) error {
	return errors.E(errors.Conflict, errors.Object, c.Key, "the completion took too long, and another call decided it; try again")
}

// replacedBack takes back what replaced counted.
func (s *Store) replacedBack(p place, r *row, under head) {
	back := meta.Usage{Objects: -1, Bytes: -r.size}
	if under.exists() {
		back.Objects++
		back.Bytes += under.size
	}
	s.count(p.bucket, back)
}

// endValues are the values of endComplete.
func (s *Store) endValues(u *uploadRow, v meta.Version, own uuid.UUID) []any {
	return append(append([]any{uploadCompleted, at(s.now()), int64(v.Timestamp), v.ID[:]}, u.at()...), uploadCompleting, own[:])
}

// undoCompletion opens an upload again whose completion failed. If that fails too, whoever meets it settles it.
func (s *Store) undoCompletion(u *uploadRow, own uuid.UUID) {
	ctx, cancel := context.WithTimeout(s.running, withdrawTime)
	defer cancel()
	if _, _, err := s.cas(ctx, undoComplete, append(append([]any{uploadOpen}, u.at()...), uploadCompleting, own[:])...); err != nil {
		s.log.Warn("an upload whose completion failed stays closed until it is looked at", "upload", u.id, "error", err)
	}
}

// resolveCompletion settles a completion that another began, and reads the upload again.
func (s *Store) resolveCompletion(ctx context.Context, u *uploadRow) error {
	if err := s.settleClaim(ctx, u.place); err != nil {
		return err
	}
	if err := s.settleLease(ctx); err != nil {
		return err
	}
	v, err := s.committedBy(ctx, u.place, wroteParts(u.id))
	if err != nil {
		return err
	}
	own := u.version.ID
	if v.ID != uuid.Nil {
		if err := s.adopt(ctx, u.place, v); err != nil {
			return err
		}
		applied, _, err := s.cas(ctx, endComplete, s.endValues(u, v, own)...)
		if err != nil {
			return err
		}
		if applied {
			s.count(u.bucket, meta.Usage{Uploads: -1})
		}
	} else if _, _, err := s.cas(ctx, undoComplete, append(append([]any{uploadOpen}, u.at()...), uploadCompleting, own[:])...); err != nil {
		return err
	}
	return s.reread(ctx, u)
}
