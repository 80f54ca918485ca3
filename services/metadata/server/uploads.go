package server

import (
	"context"

	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/convert"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

func (s *server) BeginUpload(ctx context.Context, r *metadatav1.BeginUploadRequest) (*metadatav1.BeginUploadResponse, error) {
	u, err := convert.UploadFrom(r.GetUpload())
	if err != nil {
		return nil, err
	}
	return &metadatav1.BeginUploadResponse{}, s.store.BeginUpload(ctx, u)
}

func (s *server) GetUpload(ctx context.Context, r *metadatav1.GetUploadRequest) (*metadatav1.GetUploadResponse, error) {
	ref, err := convert.UploadRefFrom(r.GetRef())
	if err != nil {
		return nil, err
	}
	u, err := s.store.Upload(ctx, ref)
	if err != nil {
		return nil, err
	}
	return &metadatav1.GetUploadResponse{Upload: convert.Upload(u)}, nil
}

func (s *server) BeginPart(ctx context.Context, r *metadatav1.BeginPartRequest) (*metadatav1.BeginPartResponse, error) {
	ref, err := convert.UploadRefFrom(r.GetRef())
	if err != nil {
		return nil, err
	}
	attempt, err := convert.IDFrom(r.GetAttempt())
	if err != nil {
		return nil, err
	}
	return &metadatav1.BeginPartResponse{}, s.store.BeginPart(ctx, ref, int(r.GetNumber()), attempt)
}

func (s *server) AddChunks(ctx context.Context, r *metadatav1.AddChunksRequest) (*metadatav1.AddChunksResponse, error) {
	ref, err := convert.UploadRefFrom(r.GetRef())
	if err != nil {
		return nil, err
	}
	attempt, err := convert.IDFrom(r.GetAttempt())
	if err != nil {
		return nil, err
	}
	chunks, err := convert.ChunksFrom(r.GetChunks())
	if err != nil {
		return nil, err
	}
	return &metadatav1.AddChunksResponse{}, s.store.AddChunks(ctx, ref, attempt, chunks)
}

func (s *server) RecordProgress(ctx context.Context, r *metadatav1.RecordProgressRequest) (*metadatav1.RecordProgressResponse, error) {
	ref, err := convert.UploadRefFrom(r.GetRef())
	if err != nil {
		return nil, err
	}
	return &metadatav1.RecordProgressResponse{}, s.store.Progress(ctx, ref)
}

func (s *server) FinishPart(ctx context.Context, r *metadatav1.FinishPartRequest) (*metadatav1.FinishPartResponse, error) {
	ref, err := convert.UploadRefFrom(r.GetRef())
	if err != nil {
		return nil, err
	}
	part, err := convert.PartFrom(r.GetPart())
	if err != nil {
		return nil, err
	}
	chunks, err := convert.ChunksFrom(r.GetChunks())
	if err != nil {
		return nil, err
	}
	p, err := s.store.FinishPart(ctx, ref, part, chunks)
	if err != nil {
		return nil, err
	}
	return &metadatav1.FinishPartResponse{Part: convert.Part(p)}, nil
}

func (s *server) ListParts(ctx context.Context, r *metadatav1.ListPartsRequest) (*metadatav1.ListPartsResponse, error) {
	ref, err := convert.UploadRefFrom(r.GetRef())
	if err != nil {
		return nil, err
	}
	page, err := s.store.ListParts(ctx, ref, int(r.GetAfter()), clamp(r.GetLimit(), maxEntries))
	if err != nil {
		return nil, err
	}
	return &metadatav1.ListPartsResponse{Parts: convert.Parts(page.Parts), More: page.More}, nil
}

func (s *server) ListUploads(ctx context.Context, r *metadatav1.ListUploadsRequest) (*metadatav1.ListUploadsResponse, error) {
	bucket, err := convert.IDFrom(r.GetBucket())
	if err != nil {
		return nil, err
	}
	after, err := convert.IDFrom(r.GetAfterId())
	if err != nil {
		return nil, err
	}
	page, err := s.store.ListUploads(ctx, meta.ListUploads{
		Bucket: bucket, Prefix: string(r.GetPrefix()), Delimiter: string(r.GetDelimiter()),
		After: string(r.GetAfter()), AfterID: after, Limit: clamp(r.GetLimit(), maxUploads),
	})
	if err != nil {
		return nil, err
	}
	return convert.Uploads(page), nil
}

func (s *server) CompleteUpload(ctx context.Context, r *metadatav1.CompleteUploadRequest) (*metadatav1.CompleteUploadResponse, error) {
	c, err := convert.CompleteFrom(r)
	if err != nil {
		return nil, err
	}
	v, err := s.store.CompleteUpload(ctx, c)
	if err != nil {
		return nil, err
	}
	return &metadatav1.CompleteUploadResponse{Version: convert.Version(v)}, nil
}

func (s *server) AbortUpload(ctx context.Context, r *metadatav1.AbortUploadRequest) (*metadatav1.AbortUploadResponse, error) {
	ref, err := convert.UploadRefFrom(r.GetRef())
	if err != nil {
		return nil, err
	}
	return &metadatav1.AbortUploadResponse{}, s.store.AbortUpload(ctx, ref)
}
