package server

import (
	"context"

	"google.golang.org/grpc/metadata"

	"deuxfleurs.fr/garage/pkg/chunk/remote"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

// aboutLayouts refuses a request about layouts that is meant for another node, or comes from another cluster.
func (s *server) aboutLayouts(ctx context.Context) error {
	if err := s.addressed(ctx); err != nil {
		return err
	}
	for _, theirs := range metadata.ValueFromIncomingContext(ctx, remote.ClusterKey) {
		status, err := s.node.Status(ctx)
		if err != nil {
			return err
		}
		if theirs != status.ClusterID.String() {
			return errors.E(errors.Invalid, errors.Node, s.id, "it belongs to the cluster %v, and who asks to the cluster %s: mixing clusters would lose data", status.ClusterID, theirs)
		}
	}
	return nil
}

// GetLayouts tells the layouts that the node has adopted.
func (s *server) GetLayouts(ctx context.Context, _ *chunknodev1.GetLayoutsRequest) (*chunknodev1.GetLayoutsResponse, error) {
	if err := s.aboutLayouts(ctx); err != nil {
		return nil, err
	}
	a := s.Layouts.Layouts()
	if a == nil {
		return &chunknodev1.GetLayoutsResponse{}, nil
	}
	b, err := a.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return &chunknodev1.GetLayoutsResponse{Layouts: b}, nil
}

// AdoptLayouts adopts layouts if they are newer than those of the node.
func (s *server) AdoptLayouts(ctx context.Context, req *chunknodev1.AdoptLayoutsRequest) (*chunknodev1.AdoptLayoutsResponse, error) {
	if err := s.aboutLayouts(ctx); err != nil {
		return nil, err
	}
	a, err := layout.ParseActive(req.Layouts)
	if err != nil {
		return nil, errors.Wrap(errors.Invalid, err, "the layouts to adopt")
	}
	if err := s.Layouts.Adopt(a); err != nil {
		return nil, err
	}
	return &chunknodev1.AdoptLayoutsResponse{Layout: s.Layouts.Layouts().Number()}, nil
}
