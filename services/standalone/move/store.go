package move

import (
	"context"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// gated is a meta.Store whose writes pass a gate.
type gated struct {
	meta.Store
	pass func(func() error) error
}

// Store is the store with the gate before its writes: for all who serve clients and operators. What collects garbage does not need it.
func (g *Gate) Store(store meta.Store) meta.Store { return gated{store, g.write} }

// ReadOnly refuses all writes, with Kind PermissionDenied.
func ReadOnly(store meta.Store) meta.Store {
	return gated{store, func(func() error) error {
		return errors.Newf(errors.PermissionDenied, "metadata is only read here")
	}}
}

func (s gated) CreateBucket(ctx context.Context, b meta.Bucket) error {
	return s.pass(func() error { return s.Store.CreateBucket(ctx, b) })
}

func (s gated) DeleteBucket(ctx context.Context, bucket uuid.UUID) error {
	return s.pass(func() error { return s.Store.DeleteBucket(ctx, bucket) })
}

func (s gated) SetGrant(ctx context.Context, bucket uuid.UUID, g meta.Grant) error {
	return s.pass(func() error { return s.Store.SetGrant(ctx, bucket, g) })
}

func (s gated) PutObject(ctx context.Context, p meta.Put) (v meta.Version, err error) {
	err = s.pass(func() error { v, err = s.Store.PutObject(ctx, p); return err })
	return v, err
}

func (s gated) DeleteObjects(ctx context.Context, bucket uuid.UUID, deletes []meta.Delete) (r []meta.DeleteResult, err error) {
	err = s.pass(func() error { r, err = s.Store.DeleteObjects(ctx, bucket, deletes); return err })
	return r, err
}

func (s gated) BeginUpload(ctx context.Context, u meta.Upload) error {
	return s.pass(func() error { return s.Store.BeginUpload(ctx, u) })
}

func (s gated) BeginPart(ctx context.Context, r meta.UploadRef, number int, attempt uuid.UUID) error {
	return s.pass(func() error { return s.Store.BeginPart(ctx, r, number, attempt) })
}

func (s gated) AddChunks(ctx context.Context, r meta.UploadRef, attempt uuid.UUID, chunks []meta.Chunk) error {
	return s.pass(func() error { return s.Store.AddChunks(ctx, r, attempt, chunks) })
}

func (s gated) Progress(ctx context.Context, r meta.UploadRef) error {
	return s.pass(func() error { return s.Store.Progress(ctx, r) })
}

func (s gated) FinishPart(ctx context.Context, r meta.UploadRef, p meta.Part, chunks []meta.Chunk) (done meta.Part, err error) {
	err = s.pass(func() error { done, err = s.Store.FinishPart(ctx, r, p, chunks); return err })
	return done, err
}

func (s gated) CompleteUpload(ctx context.Context, c meta.Complete) (v meta.Version, err error) {
	err = s.pass(func() error { v, err = s.Store.CompleteUpload(ctx, c); return err })
	return v, err
}

func (s gated) AbortUpload(ctx context.Context, r meta.UploadRef) error {
	return s.pass(func() error { return s.Store.AbortUpload(ctx, r) })
}

func (s gated) CreateKey(ctx context.Context, k meta.Key) error {
	return s.pass(func() error { return s.Store.CreateKey(ctx, k) })
}

func (s gated) DeleteKey(ctx context.Context, accessKey string) error {
	return s.pass(func() error { return s.Store.DeleteKey(ctx, accessKey) })
}

func (s gated) ListGarbage(ctx context.Context, r meta.ListGarbage) (all []meta.Garbage, next []byte, err error) {
	err = s.pass(func() error { all, next, err = s.Store.ListGarbage(ctx, r); return err })
	return all, next, err
}

func (s gated) DropGarbage(ctx context.Context, ids ...[]byte) error {
	return s.pass(func() error { return s.Store.DropGarbage(ctx, ids...) })
}
