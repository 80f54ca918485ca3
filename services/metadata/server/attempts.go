package server

import (
	"context"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/convert"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

func (s *server) FindAttempts(ctx context.Context, r *metadatav1.FindAttemptsRequest) (*metadatav1.FindAttemptsResponse, error) {
	if len(r.GetClusterId()) > 0 {
		cluster, err := s.clusterID(ctx)
		if err != nil {
			return nil, err
		}
		if string(r.GetClusterId()) != string(cluster[:]) {
			return nil, errors.Newf(errors.Conflict, "this is the metadata of the cluster %v, and %x was meant", cluster, r.GetClusterId())
		}
	}
	query := meta.FindAttempts{Everywhere: r.GetEverywhere()}
	for _, b := range r.GetIds() {
		id, err := uuid.FromBytes(b)
		if err != nil {
			return nil, errors.Wrap(errors.Invalid, err, "reading the ID of an attempt")
		}
		query.IDs = append(query.IDs, id)
	}
	attempts, err := s.store.Attempts(ctx, query)
	if err != nil {
		return nil, err
	}
	return &metadatav1.FindAttemptsResponse{Attempts: convert.Attempts(attempts)}, nil
}
