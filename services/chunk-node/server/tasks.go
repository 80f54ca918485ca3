package server

import (
	"context"

	"deuxfleurs.fr/garage/pkg/chunk/remote"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

// Command starts or stops a task.
func (s *server) Command(ctx context.Context, req *chunknodev1.CommandRequest) (*chunknodev1.CommandResponse, error) {
	if err := s.addressed(ctx); err != nil {
		return nil, err
	}
	status, err := s.node.Command(ctx, remote.CommandFrom(req))
	if err != nil {
		return nil, err
	}
	return &chunknodev1.CommandResponse{Status: remote.TaskTo(status)}, nil
}

// GetGaps tells in which partitions copies are missing.
func (s *server) GetGaps(ctx context.Context, _ *chunknodev1.GetGapsRequest) (*chunknodev1.GetGapsResponse, error) {
	if err := s.addressed(ctx); err != nil {
		return nil, err
	}
	gaps, err := s.node.Gaps(ctx)
	if err != nil {
		return nil, err
	}
	return remote.GapsTo(gaps), nil
}

// ListDamaged names chunks without a good copy here.
func (s *server) ListDamaged(ctx context.Context, req *chunknodev1.ListDamagedRequest) (*chunknodev1.ListDamagedResponse, error) {
	if err := s.addressed(ctx); err != nil {
		return nil, err
	}
	after, err := remote.HashFrom(req.After)
	if err != nil {
		return nil, err
	}
	damaged, err := s.node.Damaged(ctx, after, int(min(req.Limit, remote.MaxEntries)))
	if err != nil {
		return nil, err
	}
	answer := &chunknodev1.ListDamagedResponse{}
	for _, d := range damaged {
		answer.Damaged = append(answer.Damaged, remote.DamageTo(d))
	}
	return answer, nil
}
