package memory

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/listing"
)

// Object implements meta.Objects.
func (s *Store) Object(ctx context.Context, bucket uuid.UUID, key string) (meta.Object, error) {
	if err := s.begin(ctx); err != nil {
		return meta.Object{}, err
	}
	defer s.mu.Unlock()
	if b := s.buckets[bucket]; b != nil {
		if o, found := b.objects[key]; found {
			return o, nil
		}
	}
	return meta.Object{}, errors.E(errors.NotFound, errors.Object, key, "there is no such object")
}

// Chunks implements meta.Objects.
func (s *Store) Chunks(ctx context.Context, attempt uuid.UUID, from uint64, limit int) ([]meta.Chunk, error) {
	if err := meta.CheckLimit(limit); err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	rows := s.chunks[attempt]
	i, found := slices.BinarySearchFunc(rows, from, compareOffset)
	if !found && i > 0 && rows[i-1].Offset+uint64(rows[i-1].Length) > from {
		i--
	}
	return slices.Clone(rows[i:min(len(rows), i+limit)]), nil
}

// List implements meta.Objects.
func (s *Store) List(ctx context.Context, r meta.List) (meta.Page, error) {
	if err := meta.CheckLimit(r.Limit); err != nil {
		return meta.Page{}, err
	}
	if err := s.begin(ctx); err != nil {
		return meta.Page{}, err
	}
	defer s.mu.Unlock()
	b, err := s.find(r.Bucket)
	if err != nil {
		return meta.Page{}, err
	}
	var page meta.Page
	it := &listing.Slice{Keys: b.keys}
	q := listing.Query{Prefix: r.Prefix, Delimiter: r.Delimiter, After: r.After, Limit: r.Limit}
	page.More = listing.Walk(it, q, func(e listing.Entry) bool {
		if e.Prefix != "" {
			page.Prefixes, page.Next = append(page.Prefixes, e.Prefix), e.Prefix
			return true
		}
		o := b.objects[string(it.Key())]
		page.Objects, page.Next = append(page.Objects, o.Listed()), o.Key
		return true
	})
	return page, nil
}

// PutObject implements meta.Objects.
func (s *Store) PutObject(ctx context.Context, p meta.Put) (meta.Version, error) {
	if err := p.Check(); err != nil {
		return meta.Version{}, err
	}
	if err := s.begin(ctx); err != nil {
		return meta.Version{}, err
	}
	defer s.mu.Unlock()
	b, err := s.find(p.Bucket)
	if err != nil {
		return meta.Version{}, err
	}
	if v, happened := s.commits[p.Commit.ID]; happened {
		return v, nil
	}
	current, exists := b.objects[p.Key]
	if p.Upload != uuid.Nil {
		ref := meta.UploadRef{Bucket: p.Bucket, Key: p.Key, ID: p.Upload}
		if u, err := s.open(ref); err != nil || u.Multipart {
			if exists && current.Wrote(p.Upload) {
				return current.Version, nil
			}
			return meta.Version{}, noUpload(ref)
		}
	}
	if err := p.Condition.Check(p.Key, exists, current.ETag); err != nil {
		return meta.Version{}, err
	}
	if p.Upload != uuid.Nil {
		s.addChunks(p.Upload, p.Chunks)
		delete(s.uploads, p.Upload)
	}
	v, err := s.commit(b, p.Object(), p.Written)
	if err == nil {
		s.remember(p.Commit, v)
	}
	return v, err
}

// remember keeps what a write without upload made, for its repetition.
func (s *Store) remember(c meta.Commit, v meta.Version) {
	if c.ID != uuid.Nil {
		s.commits[c.ID] = v
	}
}

// commit makes o the newest version of its key.
func (s *Store) commit(b *bucket, o meta.Object, written clock.Timestamp) (meta.Version, error) {
	if o.ID == uuid.Nil {
		var err error
		if o.ID, err = clock.NewUUID(s.random); err != nil {
			return meta.Version{}, errors.Wrap(errors.Internal, err, "drawing a version ID")
		}
	}
	old, exists := b.objects[o.Key]
	if o.Timestamp = written; written <= old.Timestamp {
		o.Timestamp = s.hybrid.After(old.Timestamp)
	}
	if exists {
		s.discard(b.ID, o.Key, old.Attempts())
	} else {
		i, _ := slices.BinarySearch(b.keys, o.Key)
		b.keys = slices.Insert(b.keys, i, o.Key)
	}
	b.objects[o.Key] = o
	return o.Version, nil
}

// DeleteObjects implements meta.Objects.
func (s *Store) DeleteObjects(ctx context.Context, bucket uuid.UUID, deletes []meta.Delete) ([]meta.DeleteResult, error) {
	if err := meta.CheckDeletes(deletes); err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	b, err := s.find(bucket)
	if err != nil {
		return nil, err
	}
	results := make([]meta.DeleteResult, len(deletes))
	for i, d := range deletes {
		if _, happened := s.commits[d.Commit.ID]; happened {
			results[i].Existed = true
			continue
		}
		o, exists := b.objects[d.Key]
		results[i].Existed = exists
		if results[i].Err = d.Condition.Check(d.Key, exists, o.ETag); results[i].Err != nil || !exists {
			continue
		}
		s.remember(d.Commit, meta.Version{})
		s.discard(bucket, d.Key, o.Attempts())
		delete(b.objects, d.Key)
		at, _ := slices.BinarySearch(b.keys, d.Key)
		b.keys = slices.Delete(b.keys, at, at+1)
	}
	return results, nil
}
