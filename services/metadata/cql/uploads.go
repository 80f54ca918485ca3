package cql

import (
	"context"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/convert"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

const (
	inUploads = ` FROM uploads` + uploadAt
	inSingles = ` FROM singles` + uploadAt
	uploadAt  = ` WHERE bucket_id = ? AND shard = ? AND key = ? AND upload_id = ?`

	uploadColumns = `key, upload_id, begun, progress, upload, begin_id, state, closing, completed, version_ts, version_id, conditional`
	beginUpload   = `INSERT INTO uploads (bucket_id, shard, key, upload_id, begun, upload, begin_id) VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?`
	openState     = `UPDATE uploads USING TIMESTAMP 1 SET state = 0` + uploadAt // below what any transaction writes
	readUpload    = `SELECT ` + uploadColumns + inUploads
	abortOpen     = `UPDATE uploads SET state = ?, closing = ?` + uploadAt + ` IF state = 0`
	dropUpload    = `DELETE FROM uploads USING TIMESTAMP ?` + uploadAt
)

// What ends the rows of one upload is written ahead of the clocks, so that nothing that comes late, from a machine
// whose clock is ahead, counts: an upload's ID is used once. ScyllaDB refuses what is three days ahead of its own clock.
const (
	dropAhead     = 48 * time.Hour
	progressAhead = 24 * time.Hour // that its chunks are gone: below the deletion of its row
)

// ahead is a write time that far above what is written to rows of uploads now.
func (s *Store) ahead(d time.Duration) int64 { return s.deletion() + d.Microseconds() }

// uploadRow is a row of uploads. It is there if it was begun: late writes to one that was deleted leave the rest.
type uploadRow struct {
	place
	id        uuid.UUID
	multipart bool
	begun     int64
	progress  int64
	upload    []byte
	beginID   uuid.UUID
	state     int
	closing   int64

	done uuid.UUID // single

	completed   int64        // multipart
	version     meta.Version // once decided
	conditional bool
}

func (u *uploadRow) there() bool { return u.beginID != uuid.Nil }

// open reports whether the upload takes chunks and parts.
func (u *uploadRow) open() bool {
	return u.there() && u.state == uploadOpen && u.done == uuid.Nil
}

func (u *uploadRow) ref() meta.UploadRef {
	return meta.UploadRef{Bucket: u.bucket, Key: u.key, ID: u.id}
}

// at are the values of uploadAt.
func (u *uploadRow) at() []any {
	return []any{u.bucket, u.shard, []byte(u.key), u.id[:]}
}

// scan reads the row with what reads uploadColumns, or singleColumns.
func (u *uploadRow) scan(scan func(...any) error) error {
	var key, id, done, version []byte
	var begin *uuid.UUID
	var ts int64
	dest := []any{&key, &id, &u.begun, &u.progress, &u.upload, &begin, &u.state, &u.closing}
	if u.multipart {
		dest = append(dest, &u.completed, &ts, &version, &u.conditional)
	} else {
		dest = append(dest, &done)
	}
	err := scan(dest...)
	u.key, u.id, u.done = string(key), idOf(id), idOf(done)
	u.version = meta.Version{Timestamp: clock.Timestamp(ts), ID: idOf(version)}
	if begin != nil {
		u.beginID = *begin
	}
	return err
}

// decodeUpload reads the column upload of either table.
func decodeUpload(record []byte) (meta.Upload, error) {
	var p metadatav1.Upload
	if err := proto.Unmarshal(record, &p); err != nil {
		return meta.Upload{}, errors.Wrap(errors.Corrupted, err, "the record of an upload is damaged")
	}
	return convert.UploadFrom(&p)
}

// decode is what meta says of the upload.
func (u *uploadRow) decode() (meta.Upload, error) {
	up, err := decodeUpload(u.upload)
	if err != nil {
		return meta.Upload{}, errors.Annotate(err, "the row of the upload %v", u.id)
	}
	switch u.state {
	case uploadCompleting:
		up.State = meta.Completing
	case uploadCompleted:
		up.State = meta.Completed
	case uploadAborting, uploadAborted:
		up.State = meta.Aborted
	}
	return up, nil
}

// drop removes the row for good.
func (s *Store) drop(u *uploadRow) statement {
	cql := dropSingle
	if u.multipart {
		cql = dropUpload
	}
	return statement{cql, append([]any{s.ahead(dropAhead)}, u.at()...)}
}

func noUpload(r meta.UploadRef) error {
	return errors.E(errors.NotFound, errors.Upload, r.ID.String(), "there is no such open upload of %q", r.Key)
}

// readUploadRow reads the row of an upload, there or not.
func (s *Store) readUploadRow(ctx context.Context, pl place, multipart bool, id uuid.UUID) (*uploadRow, error) {
	u := &uploadRow{place: pl, id: id, multipart: multipart}
	cql := readSingleRow
	if multipart {
		cql = readUpload
	}
	err := s.each(ctx, 1, func(scan func(...any) error) (bool, error) { return false, u.scan(scan) }, cql, u.at()...)
	return u, err
}

// findUpload reads an upload of either kind in a bucket that is live. Kinds: NotFound (Upload).
func (s *Store) findUpload(ctx context.Context, r meta.UploadRef) (*uploadRow, error) {
	pl, err := s.placeOfUpload(ctx, r)
	if err != nil {
		return nil, err
	}
	var single, multi *uploadRow
	err = together(
		func() (err error) { single, err = s.readUploadRow(ctx, pl, false, r.ID); return err },
		func() (err error) { multi, err = s.readUploadRow(ctx, pl, true, r.ID); return err },
	)
	switch {
	case err != nil:
		return nil, err
	case single.there():
		return single, nil
	case multi.there():
		return multi, nil
	}
	return nil, noUpload(r)
}

func (s *Store) placeOfUpload(ctx context.Context, r meta.UploadRef) (place, error) {
	b, err := s.live(ctx, r.Bucket)
	if errors.Is(err, errors.NotFound) {
		return place{}, noUpload(r)
	}
	return b.place(r.Key), err
}

// openUpload is findUpload of one that is open. Kinds: NotFound (Upload).
func (s *Store) openUpload(ctx context.Context, r meta.UploadRef) (*uploadRow, error) {
	u, err := s.findUpload(ctx, r)
	if err == nil && !u.open() {
		return nil, noUpload(r)
	}
	return u, err
}

// openMultipart is a multipart upload that is open. Kinds: NotFound (Upload).
func (s *Store) openMultipart(ctx context.Context, r meta.UploadRef) (*uploadRow, error) {
	pl, err := s.placeOfUpload(ctx, r)
	if err != nil {
		return nil, err
	}
	u, err := s.readUploadRow(ctx, pl, true, r.ID)
	if err == nil && !u.open() {
		return nil, noUpload(r)
	}
	return u, err
}

// BeginUpload implements meta.Uploads. A single upload is written without a look first: its ID is drawn for it.
func (s *Store) BeginUpload(ctx context.Context, u meta.Upload) error {
	if err := u.Check(); err != nil {
		return err
	}
	b, err := s.live(ctx, u.Bucket)
	if err != nil {
		return err
	}
	begin, err := s.newID()
	if err != nil {
		return err
	}
	if u.Begun.IsZero() {
		u.Begun = s.now()
	}
	u.State = meta.Open
	record, err := proto.Marshal(convert.Upload(u))
	if err != nil {
		return errors.Wrap(errors.Internal, err, "writing an upload")
	}
	row := &uploadRow{place: b.place(u.Key), id: u.ID, multipart: u.Multipart}
	insert := func() error {
		values := append(row.at(), at(u.Begun), record, begin, int64(s.hybrid.Now()))
		if u.Multipart {
			return s.batch(ctx, statement{beginUpload, values}, statement{openState, row.at()})
		}
		return s.batch(ctx, statement{beginSingle, values}, statement{openSingle, row.at()}, s.progress(row))
	}
	taken := func() error {
		old, err := s.readUploadRow(ctx, row.place, u.Multipart, u.ID)
		if err == nil && old.there() && old.beginID != begin {
			return errors.E(errors.AlreadyExists, errors.Upload, u.ID.String(), "the upload exists")
		}
		return err
	}
	attempt := func() error { return s.describe(ctx, u.UploadRef, u.ID, 0) }
	if !u.Multipart {
		err = together(insert, taken, attempt)
		s.begun.add(u.ID, begunAttempt{ref: u.UploadRef})
	} else if err = taken(); err == nil {
		err = insert()
	}
	if err != nil {
		return err
	}
	if err := s.stillLive(ctx, b); err != nil {
		return errors.Join(err, s.run(ctx, s.drop(row)), s.takeBack(ctx, u.ID))
	}
	if u.Multipart {
		s.begun.opened(u.UploadRef)
		s.count(u.Bucket, meta.Usage{Uploads: 1})
	}
	return nil
}

// Upload implements meta.Uploads.
func (s *Store) Upload(ctx context.Context, r meta.UploadRef) (meta.Upload, error) {
	u, err := s.findUpload(ctx, r)
	if err != nil {
		return meta.Upload{}, err
	}
	if !u.open() && !(u.multipart && (u.state == uploadCompleting || u.state == uploadCompleted)) {
		return meta.Upload{}, noUpload(r)
	}
	return u.decode()
}

// Progress implements meta.Uploads.
func (s *Store) Progress(ctx context.Context, r meta.UploadRef) error {
	u, err := s.openUpload(ctx, r)
	if err != nil || u.multipart {
		return err
	}
	return s.run(ctx, s.progress(u))
}

// AbortUpload implements meta.Uploads.
func (s *Store) AbortUpload(ctx context.Context, r meta.UploadRef) error {
	u, err := s.findUpload(ctx, r)
	if err == nil && u.multipart && u.state == uploadCompleting {
		err = s.resolveCompletion(ctx, u)
	}
	if err != nil {
		return err
	}
	if !u.open() {
		return noUpload(r)
	}
	s.begun.end(u.id)
	if !u.multipart {
		return s.endSingle(ctx, u)
	}
	return s.abortMultipart(ctx, u)
}

// abortMultipart ends an open multipart upload. Kinds: NotFound (Upload) if it was ended otherwise.
func (s *Store) abortMultipart(ctx context.Context, u *uploadRow) error {
	args := append([]any{uploadAborted, at(s.now())}, u.at()...)
	applied, there, err := s.cas(ctx, abortOpen, args...)
	if state, told := there["state"]; err != nil && told && state != uploadOpen {
		applied, err = state == uploadAborted, nil // by this or by another that aborts it: the same to both
	}
	if err != nil {
		return err
	}
	if !applied {
		return noUpload(u.ref())
	}
	s.count(u.bucket, meta.Usage{Uploads: -1})
	s.garbage()
	return nil
}
