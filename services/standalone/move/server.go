package move

import (
	"context"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta/convert"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

const (
	frame    = 256 << 10 // bytes
	maxLease = time.Minute
)

// Source is what is moved from here.
type Source struct {
	Gate      *Gate
	Chunks    chunk.Store
	ClusterID uuid.UUID
	Clock     clock.Clock
}

// Register adds what a migration needs to the administration server, but for the metadata, which is served read-only beside it.
func (s Source) Register(r grpc.ServiceRegistrar) {
	metadatav1.RegisterMigrationSourceServiceServer(r, &sourceServer{Source: s})
}

type sourceServer struct {
	metadatav1.UnimplementedMigrationSourceServiceServer
	Source
}

func (s *sourceServer) GetSource(ctx context.Context, r *metadatav1.GetSourceRequest) (*metadatav1.GetSourceResponse, error) {
	answer := &metadatav1.GetSourceResponse{ClusterId: s.ClusterID[:], Time: convert.Time(s.Clock.Now())}
	if m := s.Gate.Moved(); m != nil {
		answer.Left, answer.Forwards, answer.Endpoint, answer.LeftTo = true, m.Forwards, m.Endpoint, m.Cluster[:]
	}
	if r.GetEndpoint() != "" {
		if err := s.Gate.lookAt(ctx, r.GetEndpoint()); err != nil {
			answer.EndpointProblem = err.Error()
		}
	}
	return answer, nil
}

func (s *sourceServer) GetChunk(r *metadatav1.GetChunkRequest, stream metadatav1.MigrationSourceService_GetChunkServer) error {
	if len(r.GetHash()) != chunk.HashSize {
		return errors.Newf(errors.Invalid, "a hash has %d bytes, not %d", chunk.HashSize, len(r.GetHash()))
	}
	data, err := s.Chunks.Get(stream.Context(), chunk.Hash(r.GetHash()))
	if err != nil {
		return err
	}
	defer data.Release()
	for _, segment := range data.Segments() {
		for len(segment) > 0 {
			n := min(len(segment), frame)
			if err := stream.Send(&metadatav1.GetChunkResponse{Data: segment[:n]}); err != nil {
				return err
			}
			segment = segment[n:]
		}
	}
	return nil
}

func (s *sourceServer) Hold(ctx context.Context, r *metadatav1.HoldRequest) (*metadatav1.HoldResponse, error) {
	id, err := convert.IDFrom(r.GetMigration())
	if err != nil {
		return nil, err
	}
	lease := time.Duration(r.GetLease()) * time.Millisecond
	switch {
	case id == uuid.Nil || lease < 0 || lease > maxLease:
		return nil, errors.Newf(errors.Invalid, "a hold needs an ID, and a lease of at most %v, not %v", maxLease, lease)
	case lease == 0:
		s.Gate.Release(id)
		return &metadatav1.HoldResponse{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lease)
	defer cancel()
	return &metadatav1.HoldResponse{}, s.Gate.Hold(ctx, id, lease, r.GetFreeze(), r.GetRenew())
}

func (s *sourceServer) Leave(_ context.Context, r *metadatav1.LeaveRequest) (*metadatav1.LeaveResponse, error) {
	id, err := convert.IDFrom(r.GetMigration())
	if err != nil {
		return nil, err
	}
	cluster, err := convert.IDFrom(r.GetCluster())
	if err != nil {
		return nil, err
	}
	if cluster == uuid.Nil {
		return nil, errors.Newf(errors.Invalid, "the metadata service that migrates does not say which cluster it is of: use one of this version")
	}
	if _, err := parse(r.GetEndpoint()); err != nil {
		return nil, err
	}
	return &metadatav1.LeaveResponse{}, s.Gate.Leave(id, cluster, r.GetEndpoint())
}

func (s *sourceServer) Forward(_ context.Context, r *metadatav1.ForwardRequest) (*metadatav1.ForwardResponse, error) {
	cluster, err := convert.IDFrom(r.GetCluster())
	if err != nil {
		return nil, err
	}
	return &metadatav1.ForwardResponse{}, s.Gate.Forward(cluster)
}
