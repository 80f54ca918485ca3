package memory

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
)

// CreateBucket implements meta.Buckets.
func (s *Store) CreateBucket(ctx context.Context, b meta.Bucket) error {
	if err := b.Check(); err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if _, taken := s.names[b.Name]; taken || s.buckets[b.ID] != nil {
		return errors.E(errors.AlreadyExists, errors.Bucket, b.Name, "the name is taken")
	}
	if b.Created.IsZero() {
		b.Created = s.now()
	}
	s.names[b.Name] = b.ID
	s.buckets[b.ID] = &bucket{Bucket: b, objects: make(map[string]meta.Object)}
	return nil
}

// Bucket implements meta.Buckets.
func (s *Store) Bucket(ctx context.Context, name string) (meta.Bucket, error) {
	if err := s.begin(ctx); err != nil {
		return meta.Bucket{}, err
	}
	defer s.mu.Unlock()
	return s.named(name)
}

func (s *Store) named(name string) (meta.Bucket, error) {
	id, found := s.names[name]
	if !found {
		return meta.Bucket{}, errors.E(errors.NotFound, errors.Bucket, name, "there is no bucket with this name")
	}
	return s.buckets[id].Bucket, nil
}

// ListBuckets implements meta.Buckets.
func (s *Store) ListBuckets(ctx context.Context, r meta.ListBuckets) (meta.BucketPage, error) {
	if err := meta.CheckLimit(r.Limit); err != nil {
		return meta.BucketPage{}, err
	}
	if err := s.begin(ctx); err != nil {
		return meta.BucketPage{}, err
	}
	defer s.mu.Unlock()
	var page meta.BucketPage
	for _, name := range slices.Sorted(maps.Keys(s.names)) {
		b := s.buckets[s.names[name]].Bucket
		if name <= r.After || !strings.HasPrefix(name, r.Prefix) || !r.Shows(b) {
			continue
		}
		if len(page.Buckets) == r.Limit {
			page.More = true
			break
		}
		page.Buckets = append(page.Buckets, b)
	}
	return page, nil
}

// DeleteBucket implements meta.Buckets.
func (s *Store) DeleteBucket(ctx context.Context, bucket uuid.UUID) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	b, err := s.find(bucket)
	if err != nil {
		return err
	}
	if len(b.objects) > 0 {
		return errors.E(errors.NotEmpty, errors.Bucket, b.Name, "it holds objects; delete them first")
	}
	for id, u := range s.uploads {
		if u.Bucket == b.ID {
			s.end(u)
			delete(s.uploads, id)
		}
	}
	maps.DeleteFunc(s.completed, func(_ uuid.UUID, c *completion) bool { return c.upload.Bucket == b.ID })
	delete(s.names, b.Name)
	delete(s.buckets, b.ID)
	return nil
}

// SetGrant implements meta.Buckets.
func (s *Store) SetGrant(ctx context.Context, bucket uuid.UUID, g meta.Grant) error {
	if err := g.Check(); err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	b, err := s.find(bucket)
	if err != nil {
		return err
	}
	if _, found := s.keys[g.Grantee]; !found && g.Rights != 0 && identity.IsAccessKey(g.Grantee) {
		return errors.E(errors.NotFound, errors.AccessKey, g.Grantee, "there is no such access key")
	}
	b.Grants = b.Granted(g)
	return nil
}

// Usage implements meta.Buckets.
func (s *Store) Usage(ctx context.Context, bucket uuid.UUID) (meta.Usage, error) {
	if err := s.begin(ctx); err != nil {
		return meta.Usage{}, err
	}
	defer s.mu.Unlock()
	if _, err := s.find(bucket); err != nil {
		return meta.Usage{}, err
	}
	return s.usage(bucket), nil
}

// CreateKey implements meta.Keys.
func (s *Store) CreateKey(ctx context.Context, k meta.Key) error {
	if err := k.Check(); err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if _, found := s.keys[k.AccessKey]; found {
		return errors.E(errors.AlreadyExists, errors.AccessKey, k.AccessKey, "the access key exists")
	}
	if k.Created.IsZero() {
		k.Created = s.now()
	}
	s.keys[k.AccessKey] = k
	return nil
}

// Key implements meta.Keys.
func (s *Store) Key(ctx context.Context, accessKey string) (meta.Key, error) {
	if err := s.begin(ctx); err != nil {
		return meta.Key{}, err
	}
	defer s.mu.Unlock()
	k, found := s.keys[accessKey]
	if !found {
		return meta.Key{}, errors.E(errors.NotFound, errors.AccessKey, accessKey, "there is no such access key")
	}
	return k, nil
}

// ListKeys implements meta.Keys.
func (s *Store) ListKeys(ctx context.Context, after string, limit int) (meta.KeyPage, error) {
	if err := meta.CheckLimit(limit); err != nil {
		return meta.KeyPage{}, err
	}
	if err := s.begin(ctx); err != nil {
		return meta.KeyPage{}, err
	}
	defer s.mu.Unlock()
	var page meta.KeyPage
	for _, k := range slices.Sorted(maps.Keys(s.keys)) {
		if k <= after {
			continue
		}
		if len(page.Keys) == limit {
			page.More = true
			break
		}
		page.Keys = append(page.Keys, s.keys[k])
	}
	return page, nil
}

// DeleteKey implements meta.Keys.
func (s *Store) DeleteKey(ctx context.Context, accessKey string) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if _, found := s.keys[accessKey]; !found {
		return errors.E(errors.NotFound, errors.AccessKey, accessKey, "there is no such access key")
	}
	delete(s.keys, accessKey)
	for _, b := range s.buckets {
		b.Grants = b.Granted(meta.Grant{Grantee: accessKey})
	}
	return nil
}
