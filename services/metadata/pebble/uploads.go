package pebble

import (
	"context"
	"encoding/binary"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/convert"
	"deuxfleurs.fr/garage/pkg/meta/listing"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

func noUpload(r meta.UploadRef) error {
	return errors.E(errors.NotFound, errors.Upload, r.ID.String(), "there is no such open upload of %q", r.Key)
}

// single reads an open single upload.
func (s *Store) single(r meta.UploadRef) (u meta.Upload, open bool, err error) {
	var p metadatav1.Upload
	if open, err = s.read(row(tableSingle, r.ID[:]), &p); err != nil || !open {
		return meta.Upload{}, false, err
	}
	u, err = convert.UploadFrom(&p)
	return u, u.UploadRef == r, err
}

func (s *Store) openSingle(r meta.UploadRef) (bool, error) {
	_, open, err := s.single(r)
	return open, err
}

func (s *Store) openMultipart(r meta.UploadRef) (bool, error) {
	return s.has(multipartRow(r.Bucket, r.Key, r.ID))
}

// dropSingle removes the rows of a single upload.
func (t *txn) dropSingle(id uuid.UUID) {
	t.delete(row(tableSingle, id[:]))
	t.delete(row(tableProgress, id[:]))
}

func (t *txn) progress(id uuid.UUID) {
	t.set(row(tableProgress, id[:]), number64(t.s.clock.Now().UnixMicro()))
}

// BeginUpload implements meta.Uploads.
func (s *Store) BeginUpload(ctx context.Context, u meta.Upload) error {
	if err := u.Check(); err != nil {
		return err
	}
	t, err := s.begin(ctx, adds)
	if err != nil {
		return err
	}
	if !t.enter(u.Bucket) {
		return t.decided(noBucket(u.Bucket))
	}
	t.hold(s.uploads.lock(u.ID[:]))
	multi := multipartRow(u.Bucket, u.Key, u.ID)
	for _, at := range [][]byte{row(tableSingle, u.ID[:]), multi, row(tableCompletion, u.ID[:])} {
		taken, err := s.has(at)
		if err != nil {
			return t.abandon(err)
		}
		if taken {
			return t.decided(errors.E(errors.AlreadyExists, errors.Upload, u.ID.String(), "the upload exists"))
		}
	}
	if u.Begun.IsZero() {
		u.Begun = s.now()
	}
	u.State = meta.Open
	if u.Multipart {
		t.put(multi, convert.Upload(u))
		t.usage.Uploads++
	} else {
		t.put(row(tableSingle, u.ID[:]), convert.Upload(u))
		t.progress(u.ID)
		t.describe(u.UploadRef, u.ID, 0)
	}
	return t.commit()
}

// Upload implements meta.Uploads.
func (s *Store) Upload(ctx context.Context, r meta.UploadRef) (meta.Upload, error) {
	if err := s.gate.enter(ctx); err != nil {
		return meta.Upload{}, err
	}
	defer s.gate.leave()
	if s.find(r.Bucket) == nil {
		return meta.Upload{}, noUpload(r)
	}
	if u, open, err := s.single(r); err != nil || open {
		return u, err
	}
	// The rows change hands in one batch, open before completed: in this order none is missed.
	var p metadatav1.Upload
	if open, err := s.read(multipartRow(r.Bucket, r.Key, r.ID), &p); err != nil {
		return meta.Upload{}, err
	} else if open {
		return convert.UploadFrom(&p)
	}
	var done metadatav1.Completion
	if found, err := s.read(row(tableCompletion, r.ID[:]), &done); err != nil {
		return meta.Upload{}, err
	} else if found {
		if u, err := convert.UploadFrom(done.GetUpload()); err != nil || u.UploadRef == r {
			return u, err
		}
	}
	return meta.Upload{}, noUpload(r)
}

// withUpload starts a write of an upload that open finds.
func (s *Store) withUpload(ctx context.Context, r meta.UploadRef, open func(meta.UploadRef) (bool, error), e effect) (*txn, error) {
	t, err := s.begin(ctx, e)
	if err != nil {
		return nil, err
	}
	if !t.enter(r.Bucket) {
		return nil, t.decided(noUpload(r))
	}
	t.hold(s.uploads.lock(r.ID[:]))
	found, err := open(r)
	if err != nil {
		return nil, t.abandon(err)
	}
	if !found {
		return nil, t.decided(noUpload(r))
	}
	return t, nil
}

// openEither finds an open upload of either kind.
func (s *Store) openEither(r meta.UploadRef) (bool, error) {
	if open, err := s.openSingle(r); err != nil || open {
		return open, err
	}
	return s.openMultipart(r)
}

// BeginPart implements meta.Uploads.
func (s *Store) BeginPart(ctx context.Context, r meta.UploadRef, number int, attempt uuid.UUID) error {
	if err := meta.CheckPart(number); err != nil {
		return err
	}
	t, err := s.withUpload(ctx, r, s.openMultipart, adds)
	if err != nil {
		return err
	}
	old, _, err := s.part(r.ID, number)
	if err != nil {
		return t.abandon(err)
	}
	if old.Attempt != attempt {
		t.set(row(tableAttempt, r.ID[:], attempt[:]), number16(number))
		t.describe(r, attempt, number)
	}
	return t.commit()
}

func (s *Store) part(upload uuid.UUID, number int) (meta.Part, bool, error) {
	var p metadatav1.Part
	found, err := s.read(row(tablePart, upload[:], number16(number)), &p)
	if err != nil || !found {
		return meta.Part{}, false, err
	}
	part, err := convert.PartFrom(&p)
	return part, true, err
}

func noAttempt(attempt uuid.UUID) error {
	return errors.E(errors.NotFound, errors.Part, attempt.String(), "the attempt was not begun, or is finished or replaced")
}

// AddChunks implements meta.Uploads.
func (s *Store) AddChunks(ctx context.Context, r meta.UploadRef, attempt uuid.UUID, chunks []meta.Chunk) error {
	t, err := s.withUpload(ctx, r, s.openEither, adds)
	if err != nil {
		return err
	}
	begun := attempt == r.ID
	if begun {
		begun, err = s.openSingle(r)
	} else {
		begun, err = s.has(row(tableAttempt, r.ID[:], attempt[:]))
	}
	if err != nil {
		return t.abandon(err)
	}
	if !begun {
		return t.decided(noAttempt(attempt))
	}
	t.addChunks(attempt, chunks)
	if attempt == r.ID {
		t.progress(r.ID)
	}
	return t.commit()
}

// Progress implements meta.Uploads.
func (s *Store) Progress(ctx context.Context, r meta.UploadRef) error {
	t, err := s.withUpload(ctx, r, s.openEither, adds)
	if err != nil {
		return err
	}
	single, err := s.openSingle(r)
	if err != nil {
		return t.abandon(err)
	}
	if single {
		t.progress(r.ID)
	}
	return t.commit()
}

// FinishPart implements meta.Uploads.
func (s *Store) FinishPart(ctx context.Context, r meta.UploadRef, p meta.Part, chunks []meta.Chunk) (meta.Part, error) {
	if err := meta.CheckPart(p.Number); err != nil {
		return meta.Part{}, err
	}
	t, err := s.withUpload(ctx, r, s.openMultipart, adds)
	if err != nil {
		return meta.Part{}, err
	}
	old, finished, err := s.part(r.ID, p.Number)
	if err != nil {
		return meta.Part{}, t.abandon(err)
	}
	if finished && old.Attempt == p.Attempt {
		return old, t.decided(nil)
	}
	at := row(tableAttempt, r.ID[:], p.Attempt[:])
	number, err := s.get(at)
	if err != nil {
		return meta.Part{}, t.abandon(err)
	}
	if len(number) != 2 || int(binary.BigEndian.Uint16(number)) != p.Number {
		return meta.Part{}, t.decided(noAttempt(p.Attempt))
	}
	if finished {
		t.discard(r.Bucket, r.Key, []uuid.UUID{old.Attempt})
	}
	t.addChunks(p.Attempt, chunks)
	p.Modified = s.now()
	t.put(row(tablePart, r.ID[:], number16(p.Number)), convert.Part(p))
	t.delete(at)
	return p, t.commit()
}

// ListParts implements meta.Uploads.
func (s *Store) ListParts(ctx context.Context, r meta.UploadRef, after, limit int) (meta.PartPage, error) {
	if err := meta.CheckLimit(limit); err != nil {
		return meta.PartPage{}, err
	}
	if err := s.gate.enter(ctx); err != nil {
		return meta.PartPage{}, err
	}
	defer s.gate.leave()
	open, err := s.openMultipart(r)
	if err != nil {
		return meta.PartPage{}, err
	}
	if !open {
		return meta.PartPage{}, noUpload(r)
	}
	var page meta.PartPage
	if after >= meta.MaxParts {
		return page, nil
	}
	prefix := row(tablePart, r.ID[:])
	err = s.scan(prefix, row(tablePart, r.ID[:], number16(max(after, 0)+1)), func(_, value []byte) (bool, error) {
		if page.More = len(page.Parts) == limit; page.More {
			return false, nil
		}
		p, err := decodePart(value)
		page.Parts = append(page.Parts, p)
		return true, err
	})
	if err != nil {
		return page, err
	}
	return page, s.allSettled(ctx)
}

func decodePart(value []byte) (meta.Part, error) {
	var p metadatav1.Part
	if err := unmarshal(value, &p); err != nil {
		return meta.Part{}, err
	}
	return convert.PartFrom(&p)
}

// uploadCursor is a listing.Iterator over open multipart uploads, by the keys of their objects.
type uploadCursor struct {
	*cursor
	after   []byte // rows of this key begin behind afterID
	afterID []byte
}

// SeekGE implements listing.Iterator.
func (c *uploadCursor) SeekGE(key []byte) {
	if c.afterID != nil && string(key) == string(c.after) {
		c.cursor.SeekGE(row(0, escape(key), keyEnd, c.afterID, []byte{0})[1:])
		return
	}
	c.cursor.SeekGE(escape(key))
}

// Key implements listing.Iterator.
func (c *uploadCursor) Key() []byte {
	if !c.it.Valid() {
		return nil
	}
	return multipartKey(c.it.Key())
}

// ListUploads implements meta.Uploads.
func (s *Store) ListUploads(ctx context.Context, r meta.ListUploads) (meta.UploadPage, error) {
	if err := meta.CheckLimit(r.Limit); err != nil {
		return meta.UploadPage{}, err
	}
	if err := s.gate.enter(ctx); err != nil {
		return meta.UploadPage{}, err
	}
	defer s.gate.leave()
	if s.find(r.Bucket) == nil {
		return meta.UploadPage{}, noBucket(r.Bucket)
	}
	inner, err := s.cursor(row(tableMultipart, r.Bucket[:]))
	if err != nil {
		return meta.UploadPage{}, err
	}
	c := &uploadCursor{cursor: inner, after: []byte(r.After)}
	if r.AfterID != uuid.Nil {
		c.afterID = r.AfterID[:]
	}
	var page meta.UploadPage
	var problem error
	page.More = listing.Walk(c, r.Query(), func(e listing.Entry) bool {
		if e.Prefix != "" {
			page.Prefixes, page.Next, page.NextID = append(page.Prefixes, e.Prefix), e.Prefix, uuid.Nil
			return true
		}
		var u meta.Upload
		u, problem = decodeUpload(c.it.Value())
		page.Uploads, page.Next, page.NextID = append(page.Uploads, u), u.Key, u.ID
		return problem == nil
	})
	if err := c.close(s, problem); err != nil {
		return page, err
	}
	return page, s.allSettled(ctx)
}

func decodeUpload(value []byte) (meta.Upload, error) {
	var p metadatav1.Upload
	if err := unmarshal(value, &p); err != nil {
		return meta.Upload{}, err
	}
	return convert.UploadFrom(&p)
}
