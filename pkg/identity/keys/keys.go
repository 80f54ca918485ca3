// Package keys finds identities among the built-in access keys.
package keys

import (
	"context"
	"sync"
	"time"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/telemetry"
)

// MaxKeep is the longest that a key may be kept: so long a deleted key may go on to be served.
const MaxKeep = 2 * time.Second

// maxKept bounds the memory of the cache, in keys.
const maxKept = 10000

// Source is an identity.Source over the keys of a metadata store.
type Source struct {
	keys  meta.Keys
	clock clock.Clock
	keep  time.Duration

	mu   sync.Mutex
	kept map[string]kept

	counts telemetry.CacheCounts
}

type kept struct {
	identity identity.Identity
	until    time.Time
}

var _ identity.Source = (*Source)(nil)

// New makes a source that keeps a key it found for up to keep, at most MaxKeep;
// zero is not at all. That a key does not exist is never kept.
func New(k meta.Keys, c clock.Clock, keep time.Duration) *Source {
	return &Source{keys: k, clock: c, keep: min(keep, MaxKeep), kept: make(map[string]kept)}
}

// Find implements identity.Source.
func (s *Source) Find(ctx context.Context, accessKey string) (identity.Identity, error) {
	// The time is taken before the store is asked: the answer is not younger.
	now := s.clock.Now()
	id, ok := s.lookUp(accessKey, now)
	s.counts.Asked(ok)
	if ok {
		return id, nil
	}
	k, err := s.keys.Key(ctx, accessKey)
	if err != nil {
		if errors.Is(err, errors.NotFound) {
			s.forget(accessKey)
		}
		return identity.Identity{}, err
	}
	id = identity.Identity{AccessKey: k.AccessKey, Secret: k.Secret, Name: k.Name, CreateBuckets: k.CreateBuckets,
		Principals: []string{k.AccessKey}}
	if s.keep > 0 {
		s.remember(id, now)
	}
	return id, nil
}

// CacheCounts are how often a key was in memory, and how often not.
func (s *Source) CacheCounts() (hits, misses int64) { return s.counts.Counts() }

func (s *Source) lookUp(accessKey string, now time.Time) (identity.Identity, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.kept[accessKey]
	return k.identity, ok && now.Before(k.until)
}

func (s *Source) forget(accessKey string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.kept, accessKey)
}

func (s *Source) remember(id identity.Identity, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) >= maxKept {
		clear(s.kept)
	}
	s.kept[id.AccessKey] = kept{id, now.Add(s.keep)}
}
