package server

import (
	"context"
	"sync"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/convert"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// maxEntries bounds a page, in entries: with the longest keys and the usual
// attributes it stays well under the largest message of package rpc.
const maxEntries = 2000

// maxGarbage and maxBuckets do the same for entries that may hold many IDs.
const (
	maxGarbage = 50
	maxBuckets = 500
	maxUploads = 500
)

type server struct {
	metadatav1.UnimplementedMetadataServiceServer
	store meta.Store

	mu      sync.Mutex
	cluster uuid.UUID // of the store, once it was asked; it is the same as long as the store is open
}

// clusterID is which cluster the store is of. To ask costs a look at every bucket, so it is asked once.
func (s *server) clusterID(ctx context.Context) (uuid.UUID, error) {
	s.mu.Lock()
	known := s.cluster
	s.mu.Unlock()
	if known != uuid.Nil {
		return known, nil
	}
	info, err := s.store.Info(ctx)
	if err != nil {
		return uuid.Nil, err
	}
	s.mu.Lock()
	s.cluster = info.ClusterID
	s.mu.Unlock()
	return info.ClusterID, nil
}

// Register adds the service to a gRPC server.
func Register(r grpc.ServiceRegistrar, store meta.Store) {
	metadatav1.RegisterMetadataServiceServer(r, &server{store: store})
}

func clamp(limit int64, most int) int { return int(min(limit, int64(most))) }

func (s *server) GetInfo(ctx context.Context, _ *metadatav1.GetInfoRequest) (*metadatav1.GetInfoResponse, error) {
	i, err := s.store.Info(ctx)
	return &metadatav1.GetInfoResponse{ClusterId: convert.ID(i.ClusterID), Kind: i.Kind, Buckets: i.Buckets, Usage: convert.Usage(i.Usage)}, err
}

func (s *server) GetObject(ctx context.Context, r *metadatav1.GetObjectRequest) (*metadatav1.GetObjectResponse, error) {
	bucket, err := convert.IDFrom(r.GetBucket())
	if err != nil {
		return nil, err
	}
	o, err := s.store.Object(ctx, bucket, string(r.GetKey()))
	if err != nil {
		return nil, err
	}
	return &metadatav1.GetObjectResponse{Object: convert.Object(&o)}, nil
}

func (s *server) ListChunks(ctx context.Context, r *metadatav1.ListChunksRequest) (*metadatav1.ListChunksResponse, error) {
	attempt, err := convert.IDFrom(r.GetAttempt())
	if err != nil {
		return nil, err
	}
	chunks, err := s.store.Chunks(ctx, attempt, r.GetFrom(), clamp(r.GetLimit(), maxEntries))
	if err != nil {
		return nil, err
	}
	return &metadatav1.ListChunksResponse{Chunks: convert.Chunks(chunks)}, nil
}

func (s *server) ListObjects(ctx context.Context, r *metadatav1.ListObjectsRequest) (*metadatav1.ListObjectsResponse, error) {
	bucket, err := convert.IDFrom(r.GetBucket())
	if err != nil {
		return nil, err
	}
	page, err := s.store.List(ctx, meta.List{
		Bucket: bucket, Prefix: string(r.GetPrefix()), Delimiter: string(r.GetDelimiter()), After: string(r.GetAfter()), Limit: clamp(r.GetLimit(), maxEntries),
	})
	if err != nil {
		return nil, err
	}
	return convert.Page(page), nil
}

func (s *server) PutObject(ctx context.Context, r *metadatav1.PutObjectRequest) (*metadatav1.PutObjectResponse, error) {
	p, err := convert.PutFrom(r)
	if err != nil {
		return nil, err
	}
	v, err := s.store.PutObject(ctx, p)
	if err != nil {
		return nil, err
	}
	return &metadatav1.PutObjectResponse{Version: convert.Version(v)}, nil
}

func (s *server) DeleteObjects(ctx context.Context, r *metadatav1.DeleteObjectsRequest) (*metadatav1.DeleteObjectsResponse, error) {
	bucket, err := convert.IDFrom(r.GetBucket())
	if err != nil {
		return nil, err
	}
	deletes, err := convert.DeletesFrom(r.GetDeletes())
	if err != nil {
		return nil, err
	}
	results, err := s.store.DeleteObjects(ctx, bucket, deletes)
	if err != nil {
		return nil, err
	}
	resp := &metadatav1.DeleteObjectsResponse{Results: make([]*metadatav1.DeleteResult, len(results))}
	for i, r := range results {
		resp.Results[i] = &metadatav1.DeleteResult{Existed: r.Existed}
		if r.Err == nil {
			continue
		}
		st, _ := status.FromError(errors.ToStatus(r.Err))
		if resp.Results[i].Error, err = proto.Marshal(st.Proto()); err != nil {
			return nil, errors.Wrap(errors.Internal, err, "writing the answer for %q", deletes[i].Key)
		}
	}
	return resp, nil
}

func (s *server) ListGarbage(ctx context.Context, r *metadatav1.ListGarbageRequest) (*metadatav1.ListGarbageResponse, error) {
	q := meta.ListGarbage{Limit: clamp(r.GetLimit(), maxGarbage), IdleBefore: convert.TimeFrom(r.GetIdleBefore()), Before: convert.TimeFrom(r.GetBefore())}
	if len(r.GetCursor()) > 0 {
		q.Cursor = r.GetCursor()
	}
	garbage, next, err := s.store.ListGarbage(ctx, q)
	if err != nil {
		return nil, err
	}
	resp := &metadatav1.ListGarbageResponse{Next: next}
	for _, g := range garbage {
		resp.Garbage = append(resp.Garbage, convert.Garbage(g))
	}
	return resp, nil
}

func (s *server) DropGarbage(ctx context.Context, r *metadatav1.DropGarbageRequest) (*metadatav1.DropGarbageResponse, error) {
	return &metadatav1.DropGarbageResponse{}, s.store.DropGarbage(ctx, r.GetIds()...)
}
