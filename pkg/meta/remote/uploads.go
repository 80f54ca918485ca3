package remote

import (
	"context"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/convert"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// BeginUpload implements meta.Uploads.
func (s *Store) BeginUpload(ctx context.Context, u meta.Upload) error {
	_, err := s.client.BeginUpload(ctx, &metadatav1.BeginUploadRequest{Upload: convert.Upload(u)})
	return err
}

// Upload implements meta.Uploads.
func (s *Store) Upload(ctx context.Context, r meta.UploadRef) (meta.Upload, error) {
	p, err := s.client.GetUpload(ctx, &metadatav1.GetUploadRequest{Ref: convert.UploadRef(r)})
	if err != nil {
		return meta.Upload{}, err
	}
	return convert.UploadFrom(p.GetUpload())
}

// BeginPart implements meta.Uploads.
func (s *Store) BeginPart(ctx context.Context, r meta.UploadRef, number int, attempt uuid.UUID) error {
	_, err := s.client.BeginPart(ctx, &metadatav1.BeginPartRequest{Ref: convert.UploadRef(r), Number: int64(number), Attempt: attempt[:]})
	return err
}

// AddChunks implements meta.Uploads.
func (s *Store) AddChunks(ctx context.Context, r meta.UploadRef, attempt uuid.UUID, chunks []meta.Chunk) error {
	_, err := s.client.AddChunks(ctx, &metadatav1.AddChunksRequest{Ref: convert.UploadRef(r), Attempt: attempt[:], Chunks: convert.Chunks(chunks)})
	return err
}

// Progress implements meta.Uploads.
func (s *Store) Progress(ctx context.Context, r meta.UploadRef) error {
	_, err := s.client.RecordProgress(ctx, &metadatav1.RecordProgressRequest{Ref: convert.UploadRef(r)})
	return err
}

// FinishPart implements meta.Uploads.
func (s *Store) FinishPart(ctx context.Context, r meta.UploadRef, p meta.Part, chunks []meta.Chunk) (meta.Part, error) {
	resp, err := s.client.FinishPart(ctx, &metadatav1.FinishPartRequest{Ref: convert.UploadRef(r), Part: convert.Part(p), Chunks: convert.Chunks(chunks)})
	if err != nil {
		return meta.Part{}, err
	}
	return convert.PartFrom(resp.GetPart())
}

// ListParts implements meta.Uploads.
func (s *Store) ListParts(ctx context.Context, r meta.UploadRef, after, limit int) (meta.PartPage, error) {
	p, err := s.client.ListParts(ctx, &metadatav1.ListPartsRequest{Ref: convert.UploadRef(r), After: int64(after), Limit: int64(limit)})
	if err != nil {
		return meta.PartPage{}, err
	}
	parts, err := convert.PartsFrom(p.GetParts())
	return meta.PartPage{Parts: parts, More: p.GetMore()}, err
}

// ListUploads implements meta.Uploads.
func (s *Store) ListUploads(ctx context.Context, r meta.ListUploads) (meta.UploadPage, error) {
	p, err := s.client.ListUploads(ctx, &metadatav1.ListUploadsRequest{
		Bucket: r.Bucket[:], Prefix: []byte(r.Prefix), Delimiter: []byte(r.Delimiter), After: []byte(r.After), AfterId: convert.ID(r.AfterID), Limit: int64(r.Limit),
	})
	if err != nil {
		return meta.UploadPage{}, err
	}
	return convert.UploadsFrom(p)
}

// CompleteUpload implements meta.Uploads.
func (s *Store) CompleteUpload(ctx context.Context, c meta.Complete) (meta.Version, error) {
	r, err := s.client.CompleteUpload(ctx, convert.Complete(c))
	if err != nil {
		return meta.Version{}, err
	}
	return convert.VersionFrom(r.GetVersion())
}

// AbortUpload implements meta.Uploads.
func (s *Store) AbortUpload(ctx context.Context, r meta.UploadRef) error {
	_, err := s.client.AbortUpload(ctx, &metadatav1.AbortUploadRequest{Ref: convert.UploadRef(r)})
	return err
}
