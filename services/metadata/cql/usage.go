package cql

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/meta"
)

const (
	writeUsage = `INSERT INTO usage (bucket_id, writer, objects, bytes, uploads) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?`
	ownUsage   = `SELECT objects, bytes, uploads FROM usage WHERE bucket_id = ? AND writer = ?`
	readUsage  = `SELECT objects, bytes, uploads FROM usage WHERE bucket_id = ?`
)

// flushEvery is how often a service writes its totals down.
const flushEvery = time.Second

// totals are what this service has added to each bucket since ever: its rows of usage.
type totals struct {
	mu      sync.Mutex
	of      map[uuid.UUID]*total
	writing sync.Mutex // held while rows are written, so that an older total does not overtake a newer one
	last    int64      // write time of the last row
}

type total struct {
	added meta.Usage // since the row was read or written
	sum   meta.Usage // the row, if it was read
	read  bool
}

func sum(a, b meta.Usage) meta.Usage {
	return meta.Usage{Objects: a.Objects + b.Objects, Bytes: a.Bytes + b.Bytes, Uploads: a.Uploads + b.Uploads}
}

// count adds to the totals of a bucket.
func (s *Store) count(bucket uuid.UUID, u meta.Usage) {
	if u == (meta.Usage{}) {
		return
	}
	s.usage.mu.Lock()
	defer s.usage.mu.Unlock()
	if s.usage.of == nil {
		s.usage.of = make(map[uuid.UUID]*total)
	}
	t := s.usage.of[bucket]
	if t == nil {
		t = &total{}
		s.usage.of[bucket] = t
	}
	t.added = sum(t.added, u)
}

// pending is the buckets whose totals are not written down.
func (s *Store) pending() []uuid.UUID {
	s.usage.mu.Lock()
	defer s.usage.mu.Unlock()
	var ids []uuid.UUID
	for id, t := range s.usage.of {
		if t.added != (meta.Usage{}) {
			ids = append(ids, id)
		}
	}
	return ids
}

// flush writes down the totals that changed.
func (s *Store) flush(ctx context.Context) error {
	s.usage.writing.Lock()
	defer s.usage.writing.Unlock()
	ids := s.pending()
	return inParallel(ctx, len(ids), wide, func(ctx context.Context, i int) error { return s.flushBucket(ctx, ids[i]) })
}

func (s *Store) flushBucket(ctx context.Context, id uuid.UUID) error {
	s.usage.mu.Lock()
	t := s.usage.of[id]
	read := t.read
	s.usage.mu.Unlock()
	if !read {
		var before meta.Usage
		if _, err := s.one(ctx, []any{&before.Objects, &before.Bytes, &before.Uploads}, ownUsage, id, s.config.Writer); err != nil {
			return err
		}
		s.usage.mu.Lock()
		t.sum, t.read = before, true
		s.usage.mu.Unlock()
	}
	s.usage.mu.Lock()
	added := t.added
	now := sum(t.sum, added)
	s.usage.last = max(s.usage.last+1, time.Now().UnixMicro())
	written := s.usage.last
	s.usage.mu.Unlock()
	if err := s.exec(ctx, writeUsage, id, s.config.Writer, now.Objects, now.Bytes, now.Uploads, written); err != nil {
		return err
	}
	s.usage.mu.Lock()
	defer s.usage.mu.Unlock()
	t.sum = now
	t.added = sum(t.added, meta.Usage{Objects: -added.Objects, Bytes: -added.Bytes, Uploads: -added.Uploads})
	return nil
}

// flushUsage writes the totals down now and then until the store is closed.
func (s *Store) flushUsage() {
	failing := false
	for clock.Sleep(s.running, clock.System{}, flushEvery) == nil {
		ctx, cancel := context.WithTimeout(s.running, s.config.Timeout)
		err := s.flush(ctx)
		cancel()
		if err != nil && !failing && s.running.Err() == nil {
			s.log.Warn("the totals of the buckets could not be written; it is tried again", "error", err)
		}
		failing = err != nil
	}
}

// total is the usage of a bucket as all services wrote it down.
func (s *Store) total(ctx context.Context, id uuid.UUID) (meta.Usage, error) {
	if err := s.flush(ctx); err != nil {
		return meta.Usage{}, err
	}
	var all meta.Usage
	err := s.each(ctx, bucketPage, func(scan func(...any) error) (bool, error) {
		var u meta.Usage
		if err := scan(&u.Objects, &u.Bytes, &u.Uploads); err != nil {
			return false, err
		}
		all = sum(all, u)
		return true, nil
	}, readUsage, id)
	return all, err
}

// Usage implements meta.Buckets.
func (s *Store) Usage(ctx context.Context, id uuid.UUID) (meta.Usage, error) {
	if _, err := s.bucket(ctx, id); err != nil {
		return meta.Usage{}, err
	}
	return s.total(ctx, id)
}
