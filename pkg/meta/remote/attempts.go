package remote

import (
	"context"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/convert"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// Attempts implements meta.Attempts.
func (s *Store) Attempts(ctx context.Context, r meta.FindAttempts) ([]meta.Attempt, error) {
	request := &metadatav1.FindAttemptsRequest{Everywhere: r.Everywhere}
	if r.Cluster != uuid.Nil {
		request.ClusterId = r.Cluster[:]
	}
	for _, id := range r.IDs {
		request.Ids = append(request.Ids, id[:])
	}
	answer, err := s.client.FindAttempts(ctx, request)
	if err != nil {
		return nil, err
	}
	attempts, err := convert.AttemptsFrom(answer.GetAttempts())
	if err == nil && len(attempts) != len(r.IDs) {
		err = errors.Newf(errors.Internal, "the metadata service told of %d of %d attempts", len(attempts), len(r.IDs))
	}
	for i := range attempts {
		if err == nil && attempts[i].ID != r.IDs[i] {
			err = errors.Newf(errors.Internal, "the metadata service told of the attempt %v instead of %v", attempts[i].ID, r.IDs[i])
		}
	}
	return attempts, err
}
