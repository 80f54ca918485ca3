package remote

import (
	"context"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/convert"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// CreateBucket implements meta.Buckets.
func (s *Store) CreateBucket(ctx context.Context, b meta.Bucket) error {
	_, err := s.client.CreateBucket(ctx, &metadatav1.CreateBucketRequest{Bucket: convert.Bucket(b)})
	return err
}

// Bucket implements meta.Buckets.
func (s *Store) Bucket(ctx context.Context, name string) (meta.Bucket, error) {
	r, err := s.client.GetBucket(ctx, &metadatav1.GetBucketRequest{Name: []byte(name)})
	if err != nil {
		return meta.Bucket{}, err
	}
	return convert.BucketFrom(r.GetBucket())
}

// ListBuckets implements meta.Buckets.
func (s *Store) ListBuckets(ctx context.Context, r meta.ListBuckets) (meta.BucketPage, error) {
	p, err := s.client.ListBuckets(ctx, convert.ListBuckets(r))
	if err != nil {
		return meta.BucketPage{}, err
	}
	page := meta.BucketPage{More: p.GetMore()}
	for _, b := range p.GetBuckets() {
		bucket, err := convert.BucketFrom(b)
		if err != nil {
			return meta.BucketPage{}, err
		}
		page.Buckets = append(page.Buckets, bucket)
	}
	return page, nil
}

// DeleteBucket implements meta.Buckets.
func (s *Store) DeleteBucket(ctx context.Context, bucket uuid.UUID) error {
	_, err := s.client.DeleteBucket(ctx, &metadatav1.DeleteBucketRequest{Bucket: bucket[:]})
	return err
}

// SetGrant implements meta.Buckets.
func (s *Store) SetGrant(ctx context.Context, bucket uuid.UUID, g meta.Grant) error {
	_, err := s.client.SetGrant(ctx, &metadatav1.SetGrantRequest{Bucket: bucket[:], Grant: convert.Grant(g)})
	return err
}

// Usage implements meta.Buckets.
func (s *Store) Usage(ctx context.Context, bucket uuid.UUID) (meta.Usage, error) {
	r, err := s.client.GetUsage(ctx, &metadatav1.GetUsageRequest{Bucket: bucket[:]})
	return convert.UsageFrom(r.GetUsage()), err
}

// CreateKey implements meta.Keys.
func (s *Store) CreateKey(ctx context.Context, k meta.Key) error {
	_, err := s.client.CreateKey(ctx, &metadatav1.CreateKeyRequest{Key: convert.Key(k)})
	return err
}

// Key implements meta.Keys.
func (s *Store) Key(ctx context.Context, accessKey string) (meta.Key, error) {
	r, err := s.client.GetKey(ctx, &metadatav1.GetKeyRequest{AccessKey: []byte(accessKey)})
	if err != nil {
		return meta.Key{}, err
	}
	return convert.KeyFrom(r.GetKey())
}

// ListKeys implements meta.Keys.
func (s *Store) ListKeys(ctx context.Context, after string, limit int) (meta.KeyPage, error) {
	r, err := s.client.ListKeys(ctx, &metadatav1.ListKeysRequest{After: []byte(after), Limit: int64(limit)})
	if err != nil {
		return meta.KeyPage{}, err
	}
	page := meta.KeyPage{More: r.GetMore()}
	for _, p := range r.GetKeys() {
		k, err := convert.KeyFrom(p)
		if err != nil {
			return meta.KeyPage{}, err
		}
		page.Keys = append(page.Keys, k)
	}
	return page, nil
}

// DeleteKey implements meta.Keys.
func (s *Store) DeleteKey(ctx context.Context, accessKey string) error {
	_, err := s.client.DeleteKey(ctx, &metadatav1.DeleteKeyRequest{AccessKey: []byte(accessKey)})
	return err
}
