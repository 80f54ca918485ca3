package pebble

import (
	"context"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/convert"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// CompleteUpload implements meta.Uploads.
func (s *Store) CompleteUpload(ctx context.Context, c meta.Complete) (meta.Version, error) {
	if err := c.Check(); err != nil {
		return meta.Version{}, err
	}
	t, err := s.begin(ctx, adds)
	if err != nil {
		return meta.Version{}, err
	}
	if !t.enter(c.Bucket) {
		return meta.Version{}, t.decided(noBucket(c.Bucket))
	}
	t.hold(s.uploads.lock(c.ID[:]))
	t.lock(rowOf(tableListed, c.Bucket, c.Key))
	var p metadatav1.Upload
	open, err := s.read(multipartRow(c.Bucket, c.Key, c.ID), &p)
	if err != nil {
		return meta.Version{}, t.abandon(err)
	}
	if !open {
		v, err := s.completed(c)
		return v, t.decided(err)
	}
	u, err := convert.UploadFrom(&p)
	if err != nil {
		return meta.Version{}, t.abandon(err)
	}
	parts, left, err := s.sortOut(c)
	if err != nil {
		return meta.Version{}, t.decided(err)
	}
	cur, err := t.current(c.Bucket, c.Key)
	if err != nil {
		return meta.Version{}, t.abandon(err)
	}
	if err := c.Condition.Check(c.Key, cur.exists, cur.etag); err != nil {
		return meta.Version{}, t.decided(err)
	}
	v, err := t.install(c.Bucket, c.Object(u, parts), cur, c.Written)
	if err != nil {
		return meta.Version{}, t.abandon(err)
	}
	t.discard(c.Bucket, c.Key, left)
	t.dropMultipart(c.UploadRef)
	t.answer(u, c.Parts, v)
	return v, t.commit()
}

// completed answers a repeated completion. Kinds: NotFound (Upload).
func (s *Store) completed(c meta.Complete) (meta.Version, error) {
	var done metadatav1.Completion
	found, err := s.read(row(tableCompletion, c.ID[:]), &done)
	if err != nil {
		return meta.Version{}, err
	}
	if !found {
		return meta.Version{}, noUpload(c.UploadRef)
	}
	u, err := convert.UploadFrom(done.GetUpload())
	if err != nil {
		return meta.Version{}, err
	}
	parts, err := convert.PartsFrom(done.GetParts())
	if err != nil {
		return meta.Version{}, err
	}
	if u.UploadRef != c.UploadRef || !meta.SameParts(parts, c.Parts) {
		return meta.Version{}, noUpload(c.UploadRef)
	}
	return convert.VersionFrom(done.GetVersion())
}

// answer keeps what a repeated completion is answered.
func (t *txn) answer(u meta.Upload, parts []meta.Part, v meta.Version) {
	u.State = meta.Completed
	named := make([]meta.Part, len(parts))
	for i, p := range parts {
		named[i] = meta.Part{Number: p.Number, ETag: p.ETag}
	}
	at := t.s.clock.Now().UnixMicro()
	t.put(row(tableCompletion, u.ID[:]), &metadatav1.Completion{Upload: convert.Upload(u), Parts: convert.Parts(named), Version: convert.Version(v), At: at})
	t.set(row(tableCompleted, number64(at), u.ID[:]), nil)
}

// sortOut reads the stored parts that a completion names, and the attempts that it leaves out.
// Kinds: NotFound (Part).
func (s *Store) sortOut(c meta.Complete) (parts []meta.Part, left []uuid.UUID, err error) {
	next := 0
	err = s.scan(row(tablePart, c.ID[:]), nil, func(_, value []byte) (bool, error) {
		p, err := decodePart(value)
		if err != nil {
			return false, err
		}
		if next < len(c.Parts) && c.Parts[next].Number == p.Number {
			if want := c.Parts[next]; want.Attempt != p.Attempt || want.ETag != p.ETag {
				return false, nil
			}
			parts = append(parts, p)
			next++
		} else {
			left = append(left, p.Attempt)
		}
		return true, nil
	})
	if err == nil && next < len(c.Parts) {
		err = errors.E(errors.NotFound, errors.Part, "", "part %d is not finished with this attempt", c.Parts[next].Number)
	}
	if err != nil {
		return nil, nil, err
	}
	begun, err := s.begun(c.ID)
	return parts, append(left, begun...), err
}

// begun lists the attempts of an upload that are not finished.
func (s *Store) begun(upload uuid.UUID) (attempts []uuid.UUID, err error) {
	prefix := row(tableAttempt, upload[:])
	err = s.scan(prefix, nil, func(key, _ []byte) (bool, error) {
		attempts = append(attempts, uuid.UUID(key[len(prefix):]))
		return true, nil
	})
	return attempts, err
}

// held lists all attempts of a multipart upload.
func (s *Store) held(upload uuid.UUID) ([]uuid.UUID, error) {
	attempts, err := s.begun(upload)
	if err != nil {
		return nil, err
	}
	err = s.scan(row(tablePart, upload[:]), nil, func(_, value []byte) (bool, error) {
		p, err := decodePart(value)
		attempts = append(attempts, p.Attempt)
		return true, err
	})
	return attempts, err
}

// dropMultipart removes the rows of a multipart upload.
func (t *txn) dropMultipart(r meta.UploadRef) {
	t.delete(multipartRow(r.Bucket, r.Key, r.ID))
	for _, table := range []byte{tablePart, tableAttempt} {
		t.clear(row(table, r.ID[:]))
	}
	t.usage.Uploads--
}

// fewRows is up to how many rows are removed one by one: a range deletion costs every later reader a little.
const fewRows = 64

// clear removes all rows that begin with prefix.
func (t *txn) clear(prefix []byte) {
	var rows [][]byte
	t.note(t.s.scan(prefix, nil, func(key, _ []byte) (bool, error) {
		rows = append(rows, append([]byte(nil), key...))
		return len(rows) <= fewRows, nil
	}))
	if len(rows) > fewRows {
		t.deleteRange(prefix, end(prefix))
		return
	}
	for _, k := range rows {
		t.delete(k)
	}
}

// AbortUpload implements meta.Uploads.
func (s *Store) AbortUpload(ctx context.Context, r meta.UploadRef) error {
	t, err := s.withUpload(ctx, r, s.openEither, frees)
	if err != nil {
		return err
	}
	single, err := s.openSingle(r)
	if err != nil {
		return t.abandon(err)
	}
	if err := t.end(r, single); err != nil {
		return t.abandon(err)
	}
	return t.commit()
}

// end ends an open upload; what it holds becomes garbage.
func (t *txn) end(r meta.UploadRef, single bool) error {
	if single {
		t.discard(r.Bucket, r.Key, []uuid.UUID{r.ID})
		t.dropSingle(r.ID)
		return nil
	}
	attempts, err := t.s.held(r.ID)
	if err != nil {
		return err
	}
	t.discard(r.Bucket, r.Key, attempts)
	t.dropMultipart(r)
	return nil
}

// endUploads ends all uploads of a bucket and forgets its completions. The bucket's lock is held alone.
func (t *txn) endUploads(bucket uuid.UUID) error {
	err := t.s.scan(row(tableMultipart, bucket[:]), nil, func(_, value []byte) (bool, error) {
		u, err := decodeUpload(value)
		if err != nil {
			return false, err
		}
		return true, t.end(u.UploadRef, false)
	})
	if err != nil {
		return err
	}
	return t.s.scan(row(tableSingle), nil, func(_, value []byte) (bool, error) {
		u, err := decodeUpload(value)
		if err == nil && u.Bucket == bucket {
			err = t.end(u.UploadRef, true)
		}
		return err == nil, err
	})
}
