package memory

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/listing"
)

func noUpload(r meta.UploadRef) error {
	return errors.E(errors.NotFound, errors.Upload, r.ID.String(), "there is no such open upload of %q", r.Key)
}

// open finds an upload that is open.
func (s *Store) open(r meta.UploadRef) (*upload, error) {
	if u := s.uploads[r.ID]; u != nil && u.UploadRef == r {
		return u, nil
	}
	return nil, noUpload(r)
}

// openMultipart finds a multipart upload that is open.
func (s *Store) openMultipart(r meta.UploadRef) (*upload, error) {
	u, err := s.open(r)
	if err == nil && !u.Multipart {
		err = noUpload(r)
	}
	return u, err
}

// BeginUpload implements meta.Uploads.
func (s *Store) BeginUpload(ctx context.Context, u meta.Upload) error {
	if err := u.Check(); err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if _, err := s.find(u.Bucket); err != nil {
		return err
	}
	if s.uploads[u.ID] != nil || s.completed[u.ID] != nil {
		return errors.E(errors.AlreadyExists, errors.Upload, u.ID.String(), "the upload exists")
	}
	if u.Begun.IsZero() {
		u.Begun = s.now()
	}
	u.State = meta.Open
	up := &upload{Upload: u, progress: s.now(), begun: make(map[uuid.UUID]int), parts: make(map[int]meta.Part)}
	if !u.Multipart {
		up.begun[u.ID] = 0
	}
	s.uploads[u.ID] = up
	return nil
}

// Upload implements meta.Uploads.
func (s *Store) Upload(ctx context.Context, r meta.UploadRef) (meta.Upload, error) {
	if err := s.begin(ctx); err != nil {
		return meta.Upload{}, err
	}
	defer s.mu.Unlock()
	if c := s.completed[r.ID]; c != nil && c.upload.UploadRef == r {
		return c.upload, nil
	}
	u, err := s.open(r)
	if err != nil {
		return meta.Upload{}, err
	}
	return u.Upload, nil
}

// BeginPart implements meta.Uploads.
func (s *Store) BeginPart(ctx context.Context, r meta.UploadRef, number int, attempt uuid.UUID) error {
	if err := meta.CheckPart(number); err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	u, err := s.openMultipart(r)
	if err != nil {
		return err
	}
	if u.parts[number].Attempt != attempt {
		u.begun[attempt] = number
	}
	u.progress = s.now()
	return nil
}

// AddChunks implements meta.Uploads.
func (s *Store) AddChunks(ctx context.Context, r meta.UploadRef, attempt uuid.UUID, chunks []meta.Chunk) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	u, err := s.open(r)
	if err != nil {
		return err
	}
	if _, begun := u.begun[attempt]; !begun {
		return noAttempt(attempt)
	}
	s.addChunks(attempt, chunks)
	u.progress = s.now()
	return nil
}

func noAttempt(attempt uuid.UUID) error {
	return errors.E(errors.NotFound, errors.Part, attempt.String(), "the attempt was not begun, or is finished or replaced")
}

// Progress implements meta.Uploads.
func (s *Store) Progress(ctx context.Context, r meta.UploadRef) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	u, err := s.open(r)
	if err != nil {
		return err
	}
	u.progress = s.now()
	return nil
}

// FinishPart implements meta.Uploads.
func (s *Store) FinishPart(ctx context.Context, r meta.UploadRef, p meta.Part, chunks []meta.Chunk) (meta.Part, error) {
	if err := meta.CheckPart(p.Number); err != nil {
		return meta.Part{}, err
	}
	if err := s.begin(ctx); err != nil {
		return meta.Part{}, err
	}
	defer s.mu.Unlock()
	u, err := s.openMultipart(r)
	if err != nil {
		return meta.Part{}, err
	}
	old, finished := u.parts[p.Number]
	if finished && old.Attempt == p.Attempt {
		return old, nil
	}
	if u.begun[p.Attempt] != p.Number {
		return meta.Part{}, noAttempt(p.Attempt)
	}
	if finished {
		s.discard(u.Bucket, u.Key, []uuid.UUID{old.Attempt})
	}
	s.addChunks(p.Attempt, chunks)
	p.Modified = s.now()
	u.parts[p.Number] = p
	delete(u.begun, p.Attempt)
	u.progress = p.Modified
	return p, nil
}

// ListParts implements meta.Uploads.
func (s *Store) ListParts(ctx context.Context, r meta.UploadRef, after, limit int) (meta.PartPage, error) {
	if err := meta.CheckLimit(limit); err != nil {
		return meta.PartPage{}, err
	}
	if err := s.begin(ctx); err != nil {
		return meta.PartPage{}, err
	}
	defer s.mu.Unlock()
	u, err := s.openMultipart(r)
	if err != nil {
		return meta.PartPage{}, err
	}
	var page meta.PartPage
	for _, n := range slices.Sorted(maps.Keys(u.parts)) {
		if n <= after {
			continue
		}
		if len(page.Parts) == limit {
			page.More = true
			break
		}
		page.Parts = append(page.Parts, u.parts[n])
	}
	return page, nil
}

// ListUploads implements meta.Uploads.
func (s *Store) ListUploads(ctx context.Context, r meta.ListUploads) (meta.UploadPage, error) {
	if err := meta.CheckLimit(r.Limit); err != nil {
		return meta.UploadPage{}, err
	}
	if err := s.begin(ctx); err != nil {
		return meta.UploadPage{}, err
	}
	defer s.mu.Unlock()
	if _, err := s.find(r.Bucket); err != nil {
		return meta.UploadPage{}, err
	}
	var rows []meta.Upload
	for _, u := range s.uploads {
		if u.Bucket == r.Bucket && u.Multipart && r.Shows(u.Key, u.ID) {
			rows = append(rows, u.Upload)
		}
	}
	slices.SortFunc(rows, func(a, b meta.Upload) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), bytes.Compare(a.ID[:], b.ID[:]))
	})
	it := &listing.Slice{Keys: make([]string, len(rows))}
	for i, u := range rows {
		it.Keys[i] = u.Key
	}
	var page meta.UploadPage
	page.More = listing.Walk(it, r.Query(), func(e listing.Entry) bool {
		if e.Prefix != "" {
			page.Prefixes, page.Next, page.NextID = append(page.Prefixes, e.Prefix), e.Prefix, uuid.Nil
			return true
		}
		u := rows[it.At]
		page.Uploads, page.Next, page.NextID = append(page.Uploads, u), u.Key, u.ID
		return true
	})
	return page, nil
}

// CompleteUpload implements meta.Uploads.
func (s *Store) CompleteUpload(ctx context.Context, c meta.Complete) (meta.Version, error) {
	if err := c.Check(); err != nil {
		return meta.Version{}, err
	}
	if err := s.begin(ctx); err != nil {
		return meta.Version{}, err
	}
	defer s.mu.Unlock()
	b, err := s.find(c.Bucket)
	if err != nil {
		return meta.Version{}, err
	}
	if done := s.completed[c.ID]; done != nil && done.upload.UploadRef == c.UploadRef && meta.SameParts(done.parts, c.Parts) {
		return done.version, nil
	}
	u, err := s.openMultipart(c.UploadRef)
	if err != nil {
		return meta.Version{}, err
	}
	parts := make([]meta.Part, len(c.Parts))
	for i, p := range c.Parts {
		stored, found := u.parts[p.Number]
		if parts[i] = stored; !found || stored.Attempt != p.Attempt || stored.ETag != p.ETag {
			return meta.Version{}, errors.E(errors.NotFound, errors.Part, "", "part %d is not finished with this attempt", p.Number)
		}
	}
	current, exists := b.objects[c.Key]
	if err := c.Condition.Check(c.Key, exists, current.ETag); err != nil {
		return meta.Version{}, err
	}
	v, err := s.commit(b, c.Object(u.Upload, parts), c.Written)
	if err != nil {
		return meta.Version{}, err
	}
	for _, p := range parts {
		delete(u.parts, p.Number)
	}
	s.end(u)
	delete(s.uploads, c.ID)
	u.State = meta.Completed
	s.completed[c.ID] = &completion{upload: u.Upload, parts: c.Parts, version: v, at: s.now()}
	return v, nil
}

// AbortUpload implements meta.Uploads.
func (s *Store) AbortUpload(ctx context.Context, r meta.UploadRef) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	u, err := s.open(r)
	if err != nil {
		return err
	}
	s.end(u)
	delete(s.uploads, r.ID)
	return nil
}

// end makes everything that an upload still holds garbage.
func (s *Store) end(u *upload) {
	attempts := slices.Collect(maps.Keys(u.begun))
	for _, p := range u.parts {
		attempts = append(attempts, p.Attempt)
	}
	s.discard(u.Bucket, u.Key, attempts)
}
