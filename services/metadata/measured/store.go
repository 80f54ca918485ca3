// Package measured tells observers of the operations on a meta.Store.
package measured

import (
	"context"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/meta"
)

// Observer is told of each operation.
type Observer interface {
	// Begin is called when an operation begins, which is made with the context it returns unless it is refused, and end when it ended.
	Begin(ctx context.Context, operation string) (_ context.Context, end func(error), refused error)
}

// New is a store that tells an observer of each operation.
func New(s meta.Store, o Observer) meta.Store { return measured{s, o} }

type measured struct {
	meta.Store
	observer Observer
}

// run measures an operation.
func run[T any](ctx context.Context, m measured, name string, operation func(ctx context.Context) (T, error)) (T, error) {
	ctx, end, err := m.observer.Begin(ctx, name)
	var v T
	if err == nil {
		v, err = operation(ctx)
	}
	end(err)
	return v, err
}

// do measures an operation that answers nothing.
func do(ctx context.Context, m measured, name string, operation func(ctx context.Context) error) error {
	_, err := run(ctx, m, name, func(ctx context.Context) (struct{}, error) { return struct{}{}, operation(ctx) })
	return err
}

// CreateBucket implements meta.Buckets.
func (m measured) CreateBucket(ctx context.Context, b meta.Bucket) error {
	return do(ctx, m, "CreateBucket", func(ctx context.Context) error { return m.Store.CreateBucket(ctx, b) })
}

// Bucket implements meta.Buckets.
func (m measured) Bucket(ctx context.Context, name string) (meta.Bucket, error) {
	return run(ctx, m, "Bucket", func(ctx context.Context) (meta.Bucket, error) { return m.Store.Bucket(ctx, name) })
}

// ListBuckets implements meta.Buckets.
func (m measured) ListBuckets(ctx context.Context, r meta.ListBuckets) (meta.BucketPage, error) {
	return run(ctx, m, "ListBuckets", func(ctx context.Context) (meta.BucketPage, error) { return m.Store.ListBuckets(ctx, r) })
}

// DeleteBucket implements meta.Buckets.
func (m measured) DeleteBucket(ctx context.Context, bucket uuid.UUID) error {
	return do(ctx, m, "DeleteBucket", func(ctx context.Context) error { return m.Store.DeleteBucket(ctx, bucket) })
}

// SetGrant implements meta.Buckets.
func (m measured) SetGrant(ctx context.Context, bucket uuid.UUID, g meta.Grant) error {
	return do(ctx, m, "SetGrant", func(ctx context.Context) error { return m.Store.SetGrant(ctx, bucket, g) })
}

// Usage implements meta.Buckets.
func (m measured) Usage(ctx context.Context, bucket uuid.UUID) (meta.Usage, error) {
	return run(ctx, m, "Usage", func(ctx context.Context) (meta.Usage, error) { return m.Store.Usage(ctx, bucket) })
}

// Object implements meta.Objects.
func (m measured) Object(ctx context.Context, bucket uuid.UUID, key string) (meta.Object, error) {
	return run(ctx, m, "Object", func(ctx context.Context) (meta.Object, error) { return m.Store.Object(ctx, bucket, key) })
}

// Chunks implements meta.Objects.
func (m measured) Chunks(ctx context.Context, attempt uuid.UUID, from uint64, limit int) ([]meta.Chunk, error) {
	return run(ctx, m, "Chunks", func(ctx context.Context) ([]meta.Chunk, error) { return m.Store.Chunks(ctx, attempt, from, limit) })
}

// List implements meta.Objects.
func (m measured) List(ctx context.Context, r meta.List) (meta.Page, error) {
	return run(ctx, m, "List", func(ctx context.Context) (meta.Page, error) { return m.Store.List(ctx, r) })
}

// PutObject implements meta.Objects.
func (m measured) PutObject(ctx context.Context, p meta.Put) (meta.Version, error) {
	return run(ctx, m, "PutObject", func(ctx context.Context) (meta.Version, error) { return m.Store.PutObject(ctx, p) })
}

// DeleteObjects implements meta.Objects.
func (m measured) DeleteObjects(ctx context.Context, bucket uuid.UUID, deletes []meta.Delete) ([]meta.DeleteResult, error) {
	return run(ctx, m, "DeleteObjects", func(ctx context.Context) ([]meta.DeleteResult, error) {
		return m.Store.DeleteObjects(ctx, bucket, deletes)
	})
}

// BeginUpload implements meta.Uploads.
func (m measured) BeginUpload(ctx context.Context, u meta.Upload) error {
	return do(ctx, m, "BeginUpload", func(ctx context.Context) error { return m.Store.BeginUpload(ctx, u) })
}

// Upload implements meta.Uploads.
func (m measured) Upload(ctx context.Context, r meta.UploadRef) (meta.Upload, error) {
	return run(ctx, m, "Upload", func(ctx context.Context) (meta.Upload, error) { return m.Store.Upload(ctx, r) })
}

// BeginPart implements meta.Uploads.
func (m measured) BeginPart(ctx context.Context, r meta.UploadRef, number int, attempt uuid.UUID) error {
	return do(ctx, m, "BeginPart", func(ctx context.Context) error { return m.Store.BeginPart(ctx, r, number, attempt) })
}

// AddChunks implements meta.Uploads.
func (m measured) AddChunks(ctx context.Context, r meta.UploadRef, attempt uuid.UUID, chunks []meta.Chunk) error {
	return do(ctx, m, "AddChunks", func(ctx context.Context) error { return m.Store.AddChunks(ctx, r, attempt, chunks) })
}

// Progress implements meta.Uploads.
func (m measured) Progress(ctx context.Context, r meta.UploadRef) error {
	return do(ctx, m, "Progress", func(ctx context.Context) error { return m.Store.Progress(ctx, r) })
}

// FinishPart implements meta.Uploads.
func (m measured) FinishPart(ctx context.Context, r meta.UploadRef, p meta.Part, chunks []meta.Chunk) (meta.Part, error) {
	return run(ctx, m, "FinishPart", func(ctx context.Context) (meta.Part, error) { return m.Store.FinishPart(ctx, r, p, chunks) })
}

// ListParts implements meta.Uploads.
func (m measured) ListParts(ctx context.Context, r meta.UploadRef, after, limit int) (meta.PartPage, error) {
	return run(ctx, m, "ListParts", func(ctx context.Context) (meta.PartPage, error) { return m.Store.ListParts(ctx, r, after, limit) })
}

// ListUploads implements meta.Uploads.
func (m measured) ListUploads(ctx context.Context, r meta.ListUploads) (meta.UploadPage, error) {
	return run(ctx, m, "ListUploads", func(ctx context.Context) (meta.UploadPage, error) { return m.Store.ListUploads(ctx, r) })
}

// CompleteUpload implements meta.Uploads.
func (m measured) CompleteUpload(ctx context.Context, c meta.Complete) (meta.Version, error) {
	return run(ctx, m, "CompleteUpload", func(ctx context.Context) (meta.Version, error) { return m.Store.CompleteUpload(ctx, c) })
}

// AbortUpload implements meta.Uploads.
func (m measured) AbortUpload(ctx context.Context, r meta.UploadRef) error {
	return do(ctx, m, "AbortUpload", func(ctx context.Context) error { return m.Store.AbortUpload(ctx, r) })
}

// CreateKey implements meta.Keys.
func (m measured) CreateKey(ctx context.Context, k meta.Key) error {
	return do(ctx, m, "CreateKey", func(ctx context.Context) error { return m.Store.CreateKey(ctx, k) })
}

// Key implements meta.Keys.
func (m measured) Key(ctx context.Context, accessKey string) (meta.Key, error) {
	return run(ctx, m, "Key", func(ctx context.Context) (meta.Key, error) { return m.Store.Key(ctx, accessKey) })
}

// ListKeys implements meta.Keys.
func (m measured) ListKeys(ctx context.Context, after string, limit int) (meta.KeyPage, error) {
	return run(ctx, m, "ListKeys", func(ctx context.Context) (meta.KeyPage, error) { return m.Store.ListKeys(ctx, after, limit) })
}

// DeleteKey implements meta.Keys.
func (m measured) DeleteKey(ctx context.Context, accessKey string) error {
	return do(ctx, m, "DeleteKey", func(ctx context.Context) error { return m.Store.DeleteKey(ctx, accessKey) })
}

// DropGarbage implements meta.Garbages.
func (m measured) DropGarbage(ctx context.Context, ids ...[]byte) error {
	return do(ctx, m, "DropGarbage", func(ctx context.Context) error { return m.Store.DropGarbage(ctx, ids...) })
}

// Info implements meta.Store.
func (m measured) Info(ctx context.Context) (meta.Info, error) {
	return run(ctx, m, "Info", m.Store.Info)
}

// ListGarbage implements meta.Garbages.
func (m measured) ListGarbage(ctx context.Context, r meta.ListGarbage) ([]meta.Garbage, []byte, error) {
	var next []byte
	garbage, err := run(ctx, m, "ListGarbage", func(ctx context.Context) (garbage []meta.Garbage, err error) {
		garbage, next, err = m.Store.ListGarbage(ctx, r)
		return garbage, err
	})
	return garbage, next, err
}

// Attempts implements meta.Attempts.
func (m measured) Attempts(ctx context.Context, r meta.FindAttempts) ([]meta.Attempt, error) {
	return run(ctx, m, "Attempts", func(ctx context.Context) ([]meta.Attempt, error) { return m.Store.Attempts(ctx, r) })
}
