package metadata

import (
	"context"
	"io"

	"google.golang.org/grpc"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
	"deuxfleurs.fr/garage/services/metadata/snapshot"
)

// RegisterSnapshots adds what the operator does with snapshots to an administration server. store is the one to restore into: it
// is what the process sees of the service's own.
func (s *Service) RegisterSnapshots(r grpc.ServiceRegistrar, store meta.Store) {
	metadatav1.RegisterSnapshotServiceServer(r, &snapshotServer{snapshots: s.snapshots, into: store})
}

type snapshotServer struct {
	metadatav1.UnimplementedSnapshotServiceServer
	*snapshots
	into meta.Store
}

// told hands progress on while the caller listens; that it does no more is seen by the call's context.
func told(send func(*metadatav1.Snapshot) error) snapshot.Progress {
	return func(m snapshot.Manifest) { _ = send(m.Proto()) }
}

func (s *snapshotServer) TakeSnapshot(_ *metadatav1.TakeSnapshotRequest, stream metadatav1.SnapshotService_TakeSnapshotServer) error {
	done, err := s.take(stream.Context(), told(func(p *metadatav1.Snapshot) error {
		return stream.Send(&metadatav1.TakeSnapshotResponse{Progress: p})
	}))
	if err != nil {
		return err
	}
	return stream.Send(&metadatav1.TakeSnapshotResponse{Result: done})
}

func (s *snapshotServer) ListSnapshots(ctx context.Context, _ *metadatav1.ListSnapshotsRequest) (*metadatav1.ListSnapshotsResponse, error) {
	all, err := s.list(ctx)
	return &metadatav1.ListSnapshotsResponse{Snapshots: all}, err
}

func (s *snapshotServer) VerifySnapshot(r *metadatav1.VerifySnapshotRequest, stream metadatav1.SnapshotService_VerifySnapshotServer) error {
	return s.with(stream.Context(), r.GetSource(), func(in io.Reader) error {
		m, err := snapshot.Verify(in, told(func(p *metadatav1.Snapshot) error {
			return stream.Send(&metadatav1.VerifySnapshotResponse{Progress: p})
		}))
		if err != nil {
			return err
		}
		return stream.Send(&metadatav1.VerifySnapshotResponse{Result: m.Proto()})
	})
}

func (s *snapshotServer) RestoreSnapshot(r *metadatav1.RestoreSnapshotRequest, stream metadatav1.SnapshotService_RestoreSnapshotServer) error {
	return s.with(stream.Context(), r.GetSource(), func(in io.Reader) error {
		lost := int64(0)
		m, err := s.restore(stream.Context(), s.into, in, told(func(p *metadatav1.Snapshot) error {
			p.Lost = lost
			return stream.Send(&metadatav1.RestoreSnapshotResponse{Progress: p})
		}), func(l snapshot.Lost) {
			lost++
			s.deps.Logger.Warn("an object was not restored", "bucket", l.Bucket, "key", l.Key, "error", l.Problem)
			_ = stream.Send(&metadatav1.RestoreSnapshotResponse{Lost: &metadatav1.LostObject{Bucket: l.Bucket, Key: []byte(l.Key), Problem: l.Problem.Error()}})
		})
		if err != nil {
			return err
		}
		done := m.Proto()
		done.Lost = lost
		s.deps.Logger.Info("restored a snapshot of the metadata", "objects", m.Objects, "lost", lost)
		return stream.Send(&metadatav1.RestoreSnapshotResponse{Result: done})
	})
}

// with reads a snapshot while nothing else is done with any.
func (s *snapshotServer) with(ctx context.Context, from *metadatav1.SnapshotSource, f func(io.Reader) error) error {
	if !s.busy.TryLock() {
		return busy()
	}
	defer s.busy.Unlock()
	in, closed, err := s.open(ctx, from)
	if err != nil {
		return err
	}
	return errors.Join(f(in), closed())
}
