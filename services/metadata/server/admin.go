package server

import (
	"context"

	"deuxfleurs.fr/garage/pkg/meta/convert"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

func (s *server) CreateBucket(ctx context.Context, r *metadatav1.CreateBucketRequest) (*metadatav1.CreateBucketResponse, error) {
	b, err := convert.BucketFrom(r.GetBucket())
	if err != nil {
		return nil, err
	}
	return &metadatav1.CreateBucketResponse{}, s.store.CreateBucket(ctx, b)
}

func (s *server) GetBucket(ctx context.Context, r *metadatav1.GetBucketRequest) (*metadatav1.GetBucketResponse, error) {
	b, err := s.store.Bucket(ctx, string(r.GetName()))
	if err != nil {
		return nil, err
	}
	return &metadatav1.GetBucketResponse{Bucket: convert.Bucket(b)}, nil
}

func (s *server) ListBuckets(ctx context.Context, r *metadatav1.ListBucketsRequest) (*metadatav1.ListBucketsResponse, error) {
	query := convert.ListBucketsFrom(r)
	query.Limit = clamp(r.GetLimit(), maxBuckets)
	page, err := s.store.ListBuckets(ctx, query)
	if err != nil {
		return nil, err
	}
	resp := &metadatav1.ListBucketsResponse{More: page.More}
	for _, b := range page.Buckets {
		resp.Buckets = append(resp.Buckets, convert.Bucket(b))
	}
	return resp, nil
}

func (s *server) DeleteBucket(ctx context.Context, r *metadatav1.DeleteBucketRequest) (*metadatav1.DeleteBucketResponse, error) {
	id, err := convert.IDFrom(r.GetBucket())
	if err != nil {
		return nil, err
	}
	return &metadatav1.DeleteBucketResponse{}, s.store.DeleteBucket(ctx, id)
}

func (s *server) SetGrant(ctx context.Context, r *metadatav1.SetGrantRequest) (*metadatav1.SetGrantResponse, error) {
	bucket, err := convert.IDFrom(r.GetBucket())
	if err != nil {
		return nil, err
	}
	g, err := convert.GrantFrom(r.GetGrant())
	if err != nil {
		return nil, err
	}
	return &metadatav1.SetGrantResponse{}, s.store.SetGrant(ctx, bucket, g)
}

func (s *server) GetUsage(ctx context.Context, r *metadatav1.GetUsageRequest) (*metadatav1.GetUsageResponse, error) {
	bucket, err := convert.IDFrom(r.GetBucket())
	if err != nil {
		return nil, err
	}
	u, err := s.store.Usage(ctx, bucket)
	return &metadatav1.GetUsageResponse{Usage: convert.Usage(u)}, err
}

func (s *server) CreateKey(ctx context.Context, r *metadatav1.CreateKeyRequest) (*metadatav1.CreateKeyResponse, error) {
	k, err := convert.KeyFrom(r.GetKey())
	if err != nil {
		return nil, err
	}
	return &metadatav1.CreateKeyResponse{}, s.store.CreateKey(ctx, k)
}

func (s *server) GetKey(ctx context.Context, r *metadatav1.GetKeyRequest) (*metadatav1.GetKeyResponse, error) {
	k, err := s.store.Key(ctx, string(r.GetAccessKey()))
	if err != nil {
		return nil, err
	}
	return &metadatav1.GetKeyResponse{Key: convert.Key(k)}, nil
}

func (s *server) ListKeys(ctx context.Context, r *metadatav1.ListKeysRequest) (*metadatav1.ListKeysResponse, error) {
	page, err := s.store.ListKeys(ctx, string(r.GetAfter()), clamp(r.GetLimit(), maxEntries))
	if err != nil {
		return nil, err
	}
	resp := &metadatav1.ListKeysResponse{More: page.More}
	for _, k := range page.Keys {
		resp.Keys = append(resp.Keys, convert.Key(k))
	}
	return resp, nil
}

func (s *server) DeleteKey(ctx context.Context, r *metadatav1.DeleteKeyRequest) (*metadatav1.DeleteKeyResponse, error) {
	return &metadatav1.DeleteKeyResponse{}, s.store.DeleteKey(ctx, string(r.GetAccessKey()))
}
