package memory

import (
	"bytes"
	"context"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

func garbageID(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func parseGarbageID(id []byte) (uint64, error) {
	if len(id) != 8 {
		return 0, errors.Newf(errors.Invalid, "%x is not an ID of garbage", id)
	}
	return binary.BigEndian.Uint64(id), nil
}

// ListGarbage implements meta.Garbages.
func (s *Store) ListGarbage(ctx context.Context, r meta.ListGarbage) ([]meta.Garbage, []byte, error) {
	var after uint64
	if err := meta.CheckLimit(r.Limit); err != nil {
		return nil, nil, err
	}
	if r.Cursor != nil {
		var err error
		if after, err = parseGarbageID(r.Cursor); err != nil {
			return nil, nil, err
		}
	}
	if err := s.begin(ctx); err != nil {
		return nil, nil, err
	}
	defer s.mu.Unlock()
	for id, u := range s.uploads {
		if !u.Multipart && u.progress.Before(r.IdleBefore) {
			s.end(u)
			delete(s.uploads, id)
		}
	}
	maps.DeleteFunc(s.completed, func(_ uuid.UUID, c *completion) bool { return c.at.Before(r.IdleBefore) })
	kept := meta.FirstID(s.clock.Now().Add(-meta.CommitKept))
	maps.DeleteFunc(s.commits, func(id uuid.UUID, _ meta.Version) bool { return bytes.Compare(id[:], kept[:]) < 0 })
	var page []meta.Garbage
	for _, n := range slices.Sorted(maps.Keys(s.garbage)) {
		if n <= after {
			continue
		}
		if !r.Before.IsZero() && !s.garbage[n].since.Time().Before(r.Before) {
			break
		}
		if len(page) == r.Limit {
			return page, page[r.Limit-1].ID, nil
		}
		page = append(page, s.garbage[n].Garbage)
	}
	return page, nil, nil
}

// DropGarbage implements meta.Garbages.
func (s *Store) DropGarbage(ctx context.Context, ids ...[]byte) error {
	var numbers []uint64
	for _, id := range ids {
		n, err := parseGarbageID(id)
		if err != nil {
			return err
		}
		numbers = append(numbers, n)
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	for _, n := range numbers {
		for _, a := range s.garbage[n].Attempts {
			delete(s.chunks, a)
		}
		delete(s.garbage, n)
	}
	return nil
}
