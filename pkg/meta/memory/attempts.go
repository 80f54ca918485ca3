package memory

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/meta"
)

// Attempts implements meta.Attempts.
func (s *Store) Attempts(ctx context.Context, r meta.FindAttempts) ([]meta.Attempt, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	attempts := make([]meta.Attempt, len(r.IDs))
	for i, id := range r.IDs {
		attempts[i] = s.attempt(id)
		attempts[i].ID = id
		if b := s.buckets[attempts[i].Bucket]; b != nil {
			attempts[i].BucketName = b.Name
		}
	}
	return attempts, nil
}

func (s *Store) attempt(id uuid.UUID) meta.Attempt {
	for _, u := range s.uploads {
		if u.holds(id) {
			return meta.Attempt{State: meta.AttemptOpen, Bucket: u.Bucket, Key: u.Key, Upload: u.ID}
		}
	}
	for _, b := range s.buckets {
		for _, o := range b.objects {
			if o.Holds(id) {
				return meta.Attempt{State: meta.AttemptComplete, Bucket: b.ID, Key: o.Key, Version: o.Version}
			}
		}
	}
	for _, g := range s.garbage {
		if slices.Contains(g.Attempts, id) {
			return meta.Attempt{State: meta.AttemptGarbage, Bucket: g.Bucket, Key: g.Key}
		}
	}
	return meta.Attempt{}
}

func (u *upload) holds(attempt uuid.UUID) bool {
	if _, begun := u.begun[attempt]; begun {
		return true
	}
	for _, p := range u.parts {
		if p.Attempt == attempt {
			return true
		}
	}
	return false
}
