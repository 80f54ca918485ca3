package identity

import (
	"context"
	"sync"
	"time"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

// maxKnown bounds what a Combined remembers, in access keys.
const maxKnown = 10000

// Combined finds identities among the built-in keys and in a directory. The rule: a built-in key wins.
// The directory is asked only for what is not built in, so a directory that is away hides no built-in key,
// and no entry of it can take the place of one. So that a request of somebody in the directory does not ask
// for a built-in key each time, it is remembered for a short time that there was none, but only of access
// keys that the directory has.
type Combined struct {
	builtIn, directory Source
	clock              clock.Clock
	keep               time.Duration

	mu    sync.Mutex
	known map[string]time.Time // access keys of the directory: when there was no built-in key
}

var _ Source = (*Combined)(nil)

// Combine makes a source of two. A built-in key that gets the access key of an entry of the directory
// takes its place within keep.
func Combine(builtIn, directory Source, c clock.Clock, keep time.Duration) *Combined {
	return &Combined{builtIn: builtIn, directory: directory, clock: c, keep: keep, known: make(map[string]time.Time)}
}

// Find implements Source.
func (s *Combined) Find(ctx context.Context, accessKey string) (Identity, error) {
	now := s.clock.Now()
	if s.isKnown(accessKey, now) {
		if id, err := s.directory.Find(ctx, accessKey); err == nil {
			return id, nil
		}
		// It may be a built-in key by now.
	}
	id, err := s.builtIn.Find(ctx, accessKey)
	if !errors.Is(err, errors.NotFound) {
		return id, err
	}
	id, err = s.directory.Find(ctx, accessKey)
	if err == nil {
		s.remember(accessKey, now)
	}
	return id, err
}

func (s *Combined) isKnown(accessKey string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, known := s.known[accessKey]
	age := now.Sub(at)
	return known && age >= 0 && age < s.keep
}

func (s *Combined) remember(accessKey string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= maxKnown {
		clear(s.known)
	}
	s.known[accessKey] = now
}
