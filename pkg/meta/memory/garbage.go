package memory

import (
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"time"

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
func (s *Store) ListGarbage(ctx context.Context, cursor []byte, limit int, idleBefore time.Time) ([]meta.Garbage, []byte, error) {
	var after uint64
	if err := meta.CheckLimit(limit); err != nil {
		return nil, nil, err
	}
	if cursor != nil {
		var err error
		if after, err = parseGarbageID(cursor); err != nil {
			return nil, nil, err
		}
	}
	if err := s.begin(ctx); err != nil {
		return nil, nil, err
	}
	defer s.mu.Unlock()
	for id, u := range s.uploads {
		if !u.Multipart && u.progress.Before(idleBefore) {
			s.end(u)
			delete(s.uploads, id)
		}
	}
	maps.DeleteFunc(s.completed, func(_ uuid.UUID, c *completion) bool { return c.at.Before(idleBefore) })
	var page []meta.Garbage
	for _, n := range slices.Sorted(maps.Keys(s.garbage)) {
		if n <= after {
			continue
		}
		if len(page) == limit {
			return page, page[limit-1].ID, nil
		}
		page = append(page, s.garbage[n])
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
