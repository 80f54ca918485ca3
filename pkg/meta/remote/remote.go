package remote

import (
	"context"

	"github.com/google/uuid"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/convert"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// Store is a meta.Store behind a connection.
type Store struct {
	client metadatav1.MetadataServiceClient
}

var _ meta.Store = (*Store)(nil)

// New makes a store over a connection of package rpc, which gives calls
// without deadline one, and errors their kinds. The connection stays the caller's.
func New(conn grpc.ClientConnInterface) *Store {
	return &Store{client: metadatav1.NewMetadataServiceClient(conn)}
}

// Info implements meta.Store.
func (s *Store) Info(ctx context.Context) (meta.Info, error) {
	r, err := s.client.GetInfo(ctx, &metadatav1.GetInfoRequest{})
	if err != nil {
		return meta.Info{}, err
	}
	id, err := convert.IDFrom(r.GetClusterId())
	return meta.Info{ClusterID: id, Kind: r.GetKind(), Buckets: r.GetBuckets(), Usage: convert.UsageFrom(r.GetUsage())}, err
}

// Object implements meta.Objects.
func (s *Store) Object(ctx context.Context, bucket uuid.UUID, key string) (meta.Object, error) {
	r, err := s.client.GetObject(ctx, &metadatav1.GetObjectRequest{Bucket: bucket[:], Key: []byte(key)})
	if err != nil {
		return meta.Object{}, err
	}
	return convert.ObjectFrom(r.GetObject())
}

// Chunks implements meta.Objects.
func (s *Store) Chunks(ctx context.Context, attempt uuid.UUID, from uint64, limit int) ([]meta.Chunk, error) {
	r, err := s.client.ListChunks(ctx, &metadatav1.ListChunksRequest{Attempt: attempt[:], From: from, Limit: int64(limit)})
	if err != nil {
		return nil, err
	}
	return convert.ChunksFrom(r.GetChunks())
}

// List implements meta.Objects.
func (s *Store) List(ctx context.Context, r meta.List) (meta.Page, error) {
	page, err := s.client.ListObjects(ctx, &metadatav1.ListObjectsRequest{
		Bucket: r.Bucket[:], Prefix: []byte(r.Prefix), Delimiter: []byte(r.Delimiter), After: []byte(r.After), Limit: int64(r.Limit),
	})
	if err != nil {
		return meta.Page{}, err
	}
	return convert.PageFrom(page)
}

// PutObject implements meta.Objects.
func (s *Store) PutObject(ctx context.Context, p meta.Put) (meta.Version, error) {
	r, err := s.client.PutObject(ctx, convert.Put(p))
	if err != nil {
		return meta.Version{}, err
	}
	return convert.VersionFrom(r.GetVersion())
}

// DeleteObjects implements meta.Objects.
func (s *Store) DeleteObjects(ctx context.Context, bucket uuid.UUID, deletes []meta.Delete) ([]meta.DeleteResult, error) {
	r, err := s.client.DeleteObjects(ctx, &metadatav1.DeleteObjectsRequest{Bucket: bucket[:], Deletes: convert.Deletes(deletes)})
	if err != nil {
		return nil, err
	}
	if len(r.GetResults()) != len(deletes) {
		return nil, errors.Newf(errors.Internal, "the metadata service answered %d of %d deletions", len(r.GetResults()), len(deletes))
	}
	results := make([]meta.DeleteResult, len(deletes))
	for i, p := range r.GetResults() {
		results[i].Existed = p.GetExisted()
		if len(p.GetError()) == 0 {
			continue
		}
		var st statuspb.Status
		if err := proto.Unmarshal(p.GetError(), &st); err != nil {
			return nil, errors.Wrap(errors.Internal, err, "reading the answer for %q", deletes[i].Key)
		}
		results[i].Err = errors.FromStatus(status.ErrorProto(&st))
	}
	return results, nil
}

// ListGarbage implements meta.Garbages.
func (s *Store) ListGarbage(ctx context.Context, q meta.ListGarbage) ([]meta.Garbage, []byte, error) {
	r, err := s.client.ListGarbage(ctx, &metadatav1.ListGarbageRequest{
		Cursor: q.Cursor, Limit: int64(q.Limit), IdleBefore: convert.Time(q.IdleBefore), Before: convert.Time(q.Before),
	})
	if err != nil {
		return nil, nil, err
	}
	var garbage []meta.Garbage
	for _, p := range r.GetGarbage() {
		g, err := convert.GarbageFrom(p)
		if err != nil {
			return nil, nil, err
		}
		garbage = append(garbage, g)
	}
	if len(r.GetNext()) == 0 {
		return garbage, nil, nil
	}
	return garbage, r.GetNext(), nil
}

// DropGarbage implements meta.Garbages.
func (s *Store) DropGarbage(ctx context.Context, ids ...[]byte) error {
	_, err := s.client.DropGarbage(ctx, &metadatav1.DropGarbageRequest{Ids: ids})
	return err
}
