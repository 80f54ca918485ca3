package pebble

import (
	"bytes"
	"context"
	"encoding/binary"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/meta"
)

// committed looks whether a write without upload has happened. The caller holds the lock of its key.
func (s *Store) committed(c meta.Commit) (v meta.Version, happened bool, err error) {
	if c.ID == uuid.Nil {
		return meta.Version{}, false, nil
	}
	value, err := s.get(row(tableCommit, c.ID[:]))
	if err != nil || len(value) != 8 {
		return meta.Version{}, false, err
	}
	return meta.Version{Timestamp: clock.Timestamp(binary.BigEndian.Uint64(value)), ID: c.ID}, true, nil
}

// remember keeps what a write without upload made, for its repetition.
func (t *txn) remember(c meta.Commit, made clock.Timestamp) {
	if c.ID != uuid.Nil {
		t.set(row(tableCommit, c.ID[:]), number64(int64(made)))
	}
}

// forgetCommits removes what is kept of writes that are not repeated any more. Their IDs are in the order of time.
func (s *Store) forgetCommits(ctx context.Context) error {
	kept := meta.FirstID(s.clock.Now().Add(-meta.CommitKept))
	first, bound := row(tableCommit), row(tableCommit, kept[:])
	old := false
	err := s.scan(first, nil, func(key, _ []byte) (bool, error) {
		old = bytes.Compare(key, bound) < 0
		return false, nil
	})
	if err != nil || !old {
		return err
	}
	t, err := s.begin(ctx, frees)
	if err != nil {
		return err
	}
	t.deleteRange(first, bound)
	return t.commit()
}
