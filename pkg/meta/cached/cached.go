// Package cached keeps buckets and keys, which every request asks for, in memory in front of a
// meta.Store. It is exact, not approximate: every change of buckets, grants and keys must be made
// through it, so it is for a store that one process has for itself. What does not exist is not kept.
package cached

import (
	"context"
	"sync"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/telemetry"
)

// maxKept bounds what is kept of each sort; when it is reached all are forgotten.
const maxKept = 10000

// Store is a meta.Store with buckets and keys in memory.
type Store struct {
	meta.Store
	buckets, keys kept
}

// New puts a cache in front of store. r takes the metrics; nil: they are not published.
func New(store meta.Store, r prometheus.Registerer) *Store {
	s := &Store{Store: store, buckets: kept{m: make(map[string]any)}, keys: kept{m: make(map[string]any)}}
	telemetry.RegisterCache(r, "metadata_bucket", s.buckets.counts.Counts)
	telemetry.RegisterCache(r, "metadata_key", s.keys.counts.Counts)
	return s
}

// kept holds answers of one sort. An answer is kept only if nothing changed since it was asked for.
type kept struct {
	mu      sync.RWMutex
	m       map[string]any
	changes uint64
	counts  telemetry.CacheCounts
}

func (k *kept) get(name string) (v any, changes uint64) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	v, found := k.m[name]
	k.counts.Asked(found)
	return v, k.changes
}

func (k *kept) put(name string, v any, changes uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.changes != changes {
		return
	}
	if len(k.m) >= maxKept {
		clear(k.m)
	}
	k.m[name] = v
}

// forget is called after a change, before it is acknowledged, also if it failed: it may have happened.
func (k *kept) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changes++
	clear(k.m)
}

// Bucket implements meta.Store.
func (s *Store) Bucket(ctx context.Context, name string) (meta.Bucket, error) {
	v, changes := s.buckets.get(name)
	if b, ok := v.(meta.Bucket); ok {
		return b, ctx.Err()
	}
	b, err := s.Store.Bucket(ctx, name)
	if err == nil {
		s.buckets.put(name, b, changes)
	}
	return b, err
}

// Key implements meta.Store.
func (s *Store) Key(ctx context.Context, accessKey string) (meta.Key, error) {
	v, changes := s.keys.get(accessKey)
	if k, ok := v.(meta.Key); ok {
		return k, ctx.Err()
	}
	k, err := s.Store.Key(ctx, accessKey)
	if err == nil {
		s.keys.put(accessKey, k, changes)
	}
	return k, err
}

// CreateBucket implements meta.Store.
func (s *Store) CreateBucket(ctx context.Context, b meta.Bucket) error {
	defer s.buckets.forget()
	return s.Store.CreateBucket(ctx, b)
}

// DeleteBucket implements meta.Store.
func (s *Store) DeleteBucket(ctx context.Context, bucket uuid.UUID) error {
	defer s.buckets.forget()
	return s.Store.DeleteBucket(ctx, bucket)
}

// SetGrant implements meta.Store.
func (s *Store) SetGrant(ctx context.Context, bucket uuid.UUID, g meta.Grant) error {
	defer s.buckets.forget()
	return s.Store.SetGrant(ctx, bucket, g)
}

// CreateKey implements meta.Store.
func (s *Store) CreateKey(ctx context.Context, k meta.Key) error {
	defer s.keys.forget()
	return s.Store.CreateKey(ctx, k)
}

// DeleteKey implements meta.Store. The key's grants go with it.
func (s *Store) DeleteKey(ctx context.Context, accessKey string) error {
	defer s.buckets.forget()
	defer s.keys.forget()
	return s.Store.DeleteKey(ctx, accessKey)
}
