// Package server answers chunk-node calls over gRPC.
//
// A chunk that arrives is hashed while it is received, so the store is told
// that it need not do it again. Errors are those of package errors; the gRPC
// server translates them (package rpc).
//
// What adds or removes a reference, or compares, is let in only with the layout that the node has adopted. What can do no
// harm is always done: to record a debt, to replace a bad copy, and to find a chunk; only that a chunk is not here is no answer
// to who looks for it by another layout.
package server

import (
	"context"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/remote"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

// Node is what is served.
type Node interface {
	chunk.Node
	chunk.Inventory
	chunk.Controlled
	chunk.VerifiedPutter
	// PutVerifiedFor is PutFor without looking whether data has the hash h; it is PutVerified if the owner is the zero NodeID.
	PutVerifiedFor(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref, owner chunk.NodeID) (chunk.Outcome, error)
	// RepairVerified is Repair without looking whether data has the hash h.
	RepairVerified(ctx context.Context, h chunk.Hash, data *buffer.Buffer) error
}

// Options are what the gRPC server must be made with.
func Options() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.ForceServerCodecV2(remote.Codec())}
}

// Layouts are those that the node has adopted.
type Layouts interface {
	// Enter lets a request in that was computed with the layout of that number (0: with none), or fails with layout.Differs; Leave follows.
	Enter(number uint64) (adopted uint64, err error)
	Leave(adopted uint64)
	// Compare is Enter without letting anything in.
	Compare(number uint64) error
	// Layouts are the current ones, or nil.
	Layouts() *layout.Active
	// Adopt makes newer ones the current ones, durably.
	Adopt(*layout.Active) error
}

// Config is what is served.
type Config struct {
	Node    Node
	ID      chunk.NodeID
	Pool    *buffer.Pool // memory for chunks that are received
	Layouts Layouts
}

// Register adds the service of a node to a gRPC server.
func Register(r grpc.ServiceRegistrar, c Config) {
	chunknodev1.RegisterChunkNodeServiceServer(r, &server{Config: c, node: c.Node, id: c.ID.String(), pool: c.Pool})
}

type server struct {
	chunknodev1.UnimplementedChunkNodeServiceServer
	Config
	node Node
	id   string
	pool *buffer.Pool
}

// addressed refuses a request that is meant for another node.
func (s *server) addressed(ctx context.Context) error {
	for _, id := range metadata.ValueFromIncomingContext(ctx, remote.NodeKey) {
		if id != s.id {
			return errors.E(errors.Unavailable, errors.Node, id, "this is node %s: the address has changed hands", s.id)
		}
	}
	return nil
}

// Get sends a chunk.
func (s *server) Get(req *chunknodev1.GetRequest, stream grpc.ServerStreamingServer[chunknodev1.GetResponse]) error {
	if err := s.addressed(stream.Context()); err != nil {
		return err
	}
	h, err := remote.HashFrom(req.Hash)
	if err != nil {
		return err
	}
	b, err := s.node.Get(stream.Context(), h)
	if errors.Is(err, errors.NotFound) {
		if differs := s.Layouts.Compare(req.Layout); differs != nil {
			return differs
		}
	}
	if err != nil {
		return err
	}
	defer b.Release()
	if err := stream.SendMsg(&remote.Frame{Header: &chunknodev1.GetHeader{Length: uint32(b.Len())}}); err != nil {
		return err
	}
	return remote.Send(stream, b)
}

// header receives the first frame of a chunk.
func header(stream remote.Stream, into proto.Message) error {
	f := remote.Frame{Header: into}
	if err := stream.RecvMsg(&f); err != nil {
		return errors.Annotate(err, "receiving the header of a chunk")
	}
	defer f.Received.Free()
	if !f.HasHeader || f.Received.Len() > 0 {
		return errors.Newf(errors.Invalid, "the first frame of a chunk is not a header")
	}
	return nil
}

// receive receives and verifies a chunk.
func (s *server) receive(stream remote.Stream, hash []byte, length uint32) (chunk.Hash, *buffer.Buffer, error) {
	h, err := remote.HashFrom(hash)
	if err != nil {
		return h, nil, err
	}
	b, got, err := remote.Receive(stream, s.pool, int(length))
	if err != nil {
		return h, nil, errors.Annotate(err, "receiving the chunk %v", h)
	}
	if got != h {
		b.Release()
		return h, nil, errors.E(errors.Invalid, errors.Chunk, h.String(), "the bytes that arrived have the hash %v", got)
	}
	return h, b, nil
}

// Put receives and stores a chunk.
func (s *server) Put(stream grpc.ClientStreamingServer[chunknodev1.PutRequest, chunknodev1.PutResponse]) error {
	if err := s.addressed(stream.Context()); err != nil {
		return err
	}
	var first chunknodev1.PutHeader
	if err := header(stream, &first); err != nil {
		return err
	}
	ref, err := remote.RefFrom(first.Ref)
	if err != nil {
		return err
	}
	adopted, err := s.Layouts.Enter(first.Layout)
	if err != nil {
		return err
	}
	defer s.Layouts.Leave(adopted)
	var owner chunk.NodeID
	if first.StandInFor != nil {
		if owner, err = uuid.FromBytes(first.StandInFor); err != nil {
			return errors.Wrap(errors.Invalid, err, "the owner that the node stands in for")
		}
	}
	h, b, err := s.receive(stream, first.Hash, first.Length)
	if err != nil {
		return err
	}
	defer b.Release()
	outcome, err := s.node.PutVerifiedFor(stream.Context(), h, b, ref, owner)
	if err != nil {
		return err
	}
	return stream.SendAndClose(&chunknodev1.PutResponse{Outcome: remote.OutcomeTo(outcome)})
}

// Repair receives a good copy.
func (s *server) Repair(stream grpc.ClientStreamingServer[chunknodev1.RepairRequest, chunknodev1.RepairResponse]) error {
	if err := s.addressed(stream.Context()); err != nil {
		return err
	}
	var first chunknodev1.RepairHeader
	if err := header(stream, &first); err != nil {
		return err
	}
	h, b, err := s.receive(stream, first.Hash, first.Length)
	if err != nil {
		return err
	}
	defer b.Release()
	if err := s.node.RepairVerified(stream.Context(), h, b); err != nil {
		return err
	}
	return stream.SendAndClose(&chunknodev1.RepairResponse{})
}

// PutRef adds a reference.
func (s *server) PutRef(ctx context.Context, req *chunknodev1.PutRefRequest) (*chunknodev1.PutRefResponse, error) {
	h, ref, err := s.reference(ctx, req.Hash, req.Ref)
	if err != nil {
		return nil, err
	}
	adopted, err := s.Layouts.Enter(req.Layout)
	if err != nil {
		return nil, err
	}
	defer s.Layouts.Leave(adopted)
	outcome, err := s.node.PutRef(ctx, h, ref)
	if err != nil {
		return nil, err
	}
	return &chunknodev1.PutRefResponse{Outcome: remote.OutcomeTo(outcome)}, nil
}

// reference reads what a small call is about.
func (s *server) reference(ctx context.Context, hash []byte, r *chunknodev1.Ref) (h chunk.Hash, ref chunk.Ref, err error) {
	if err = s.addressed(ctx); err != nil {
		return h, ref, err
	}
	if h, err = remote.HashFrom(hash); err != nil {
		return h, ref, err
	}
	ref, err = remote.RefFrom(r)
	return h, ref, err
}

// Delete removes a reference.
func (s *server) Delete(ctx context.Context, req *chunknodev1.DeleteRequest) (*chunknodev1.DeleteResponse, error) {
	h, ref, err := s.reference(ctx, req.Hash, req.Ref)
	if err != nil {
		return nil, err
	}
	adopted, err := s.Layouts.Enter(req.Layout)
	if err != nil {
		return nil, err
	}
	defer s.Layouts.Leave(adopted)
	if err := s.node.Delete(ctx, h, ref); err != nil {
		return nil, err
	}
	return &chunknodev1.DeleteResponse{}, nil
}

// Owe notes what another node lacks.
func (s *server) Owe(ctx context.Context, req *chunknodev1.OweRequest) (*chunknodev1.OweResponse, error) {
	h, ref, err := s.reference(ctx, req.Hash, req.Ref)
	if err != nil {
		return nil, err
	}
	owner, err := uuid.FromBytes(req.Owner)
	if err != nil {
		return nil, errors.Wrap(errors.Invalid, err, "the owner of a debt")
	}
	if err := s.node.Owe(ctx, h, ref, owner); err != nil {
		return nil, err
	}
	return &chunknodev1.OweResponse{}, nil
}

// Status describes the node.
func (s *server) Status(ctx context.Context, _ *chunknodev1.StatusRequest) (*chunknodev1.StatusResponse, error) {
	if err := s.addressed(ctx); err != nil {
		return nil, err
	}
	status, err := s.node.Status(ctx)
	if err != nil {
		return nil, err
	}
	return remote.StatusTo(status), nil
}
