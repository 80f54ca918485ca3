package pebble

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/convert"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// discard makes attempts garbage. The ID begins with the time, so that old
// garbage is listed first, and an attempt is garbage once, so that it is unique.
func (t *txn) discard(bucket uuid.UUID, key string, attempts []uuid.UUID) {
	if len(attempts) == 0 {
		return
	}
	t.made = true
	at := number64(int64(t.s.hybrid.Now()))
	t.put(row(tableGarbage, at, attempts[0][:]), convert.Garbage(meta.Garbage{Bucket: bucket, Key: key, Attempts: attempts}))
}

// ListGarbage implements meta.Garbages.
func (s *Store) ListGarbage(ctx context.Context, r meta.ListGarbage) ([]meta.Garbage, []byte, error) {
	if err := meta.CheckLimit(r.Limit); err != nil {
		return nil, nil, err
	}
	if err := s.gate.enter(ctx); err != nil {
		return nil, nil, err
	}
	defer s.gate.leave()
	prefix := row(tableGarbage)
	var from []byte
	if r.Cursor == nil && !r.IdleBefore.IsZero() {
		if err := errors.Join(s.endIdle(ctx, r.IdleBefore), s.forgetCompletions(ctx, r.IdleBefore), s.forgetCommits(ctx)); err != nil {
			return nil, nil, err
		}
	}
	if r.Cursor != nil {
		after, err := garbageRow(r.Cursor)
		if err != nil {
			return nil, nil, err
		}
		from = append(after, 0)
	}
	var page []meta.Garbage
	var next []byte
	err := s.scan(prefix, from, func(key, value []byte) (bool, error) {
		if !r.Before.IsZero() && !garbageSince(key).Before(r.Before) {
			return false, nil
		}
		if len(page) == r.Limit {
			next = page[r.Limit-1].ID
			return false, nil
		}
		var p metadatav1.Garbage
		if err := unmarshal(value, &p); err != nil {
			return false, err
		}
		g, err := convert.GarbageFrom(&p)
		g.ID = append([]byte(nil), key[1:]...)
		page = append(page, g)
		return true, err
	})
	if err != nil || len(page) == 0 {
		return nil, nil, err
	}
	// The references of what is listed are deleted for good, so it must be durably garbage.
	if err := s.barrier(ctx); err != nil {
		return nil, nil, err
	}
	return page, next, nil
}

// garbageSince is when the entry of a row became garbage.
func garbageSince(row []byte) time.Time {
	return clock.Timestamp(binary.BigEndian.Uint64(row[1:])).Time()
}

// endIdle ends single uploads without progress since a time.
func (s *Store) endIdle(ctx context.Context, before time.Time) error {
	var idle []uuid.UUID
	err := s.scan(row(tableProgress), nil, func(key, value []byte) (bool, error) {
		if progressed(value).Before(before) {
			idle = append(idle, uuid.UUID(key[1:]))
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, id := range idle {
		if err := s.endIfIdle(ctx, id, before); err != nil {
			return err
		}
	}
	return nil
}

func progressed(value []byte) time.Time {
	if len(value) != 8 {
		return time.Time{}
	}
	return time.UnixMicro(int64(binary.BigEndian.Uint64(value)))
}

// endIfIdle looks again under the upload's lock: it may have gone on, or have ended.
func (s *Store) endIfIdle(ctx context.Context, id uuid.UUID, before time.Time) error {
	var p metadatav1.Upload
	found, err := s.read(row(tableSingle, id[:]), &p)
	if err != nil || !found {
		return err
	}
	u, err := convert.UploadFrom(&p)
	if err != nil {
		return err
	}
	t, err := s.withUpload(ctx, u.UploadRef, s.openSingle, frees)
	if errors.Is(err, errors.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	last, err := s.get(row(tableProgress, id[:]))
	if err != nil {
		return t.abandon(err)
	}
	if !progressed(last).Before(before) {
		return t.abandon(nil)
	}
	if err := t.end(u.UploadRef, true); err != nil {
		return t.abandon(err)
	}
	return t.commit()
}

// forgottenAtOnce bounds the completions that one batch forgets.
const forgottenAtOnce = 1000

// forgetCompletions removes the answers of completions before a time.
func (s *Store) forgetCompletions(ctx context.Context, before time.Time) error {
	for {
		t, err := s.begin(ctx, frees)
		if err != nil {
			return err
		}
		n := 0
		err = s.scan(row(tableCompleted), nil, func(key, _ []byte) (bool, error) {
			at := time.UnixMicro(int64(binary.BigEndian.Uint64(key[1:])))
			if !at.Before(before) || n == forgottenAtOnce {
				return false, nil
			}
			n++
			t.delete(key)
			t.delete(row(tableCompletion, key[1+8:]))
			return true, nil
		})
		if err != nil || n == 0 {
			return t.abandon(err)
		}
		if err := t.commit(); err != nil || n < forgottenAtOnce {
			return err
		}
	}
}

// DropGarbage implements meta.Garbages. It takes no lock: nothing else changes garbage.
func (s *Store) DropGarbage(ctx context.Context, ids ...[]byte) error {
	t, err := s.begin(ctx, frees)
	if err != nil {
		return err
	}
	for _, id := range ids {
		at, err := garbageRow(id)
		if err != nil {
			return t.abandon(err)
		}
		var p metadatav1.Garbage
		found, err := s.read(at, &p)
		if err != nil {
			return t.abandon(err)
		}
		if !found {
			continue
		}
		g, err := convert.GarbageFrom(&p)
		if err != nil {
			return t.abandon(err)
		}
		for _, a := range g.Attempts {
			t.clear(row(tableChunk, a[:]))
			t.delete(row(tableHolder, a[:]))
		}
		t.delete(at)
	}
	return t.commit()
}
