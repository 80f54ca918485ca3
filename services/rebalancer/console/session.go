package console

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"sync"
	"time"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

const (
	// sessionLife is how long a session lasts at most, and sessionIdle how long without anything that its operator does. That a page
	// follows the status by itself is nothing that they do.
	sessionLife = 12 * time.Hour
	sessionIdle = time.Hour
	// maxSessions is how many there are at most: a further one ends the one that was idle longest.
	maxSessions = 200
	secretSize  = 32 // bytes
)

// session is the time between signing in and out.
type session struct {
	operator Operator
	token    string // that changes carry
	began    time.Time
	used     time.Time     // protected by the sessions' mutex
	ended    chan struct{} // closed when it has ended
}

// sessions are those of all operators, by the hash of what their browsers know.
type sessions struct {
	clock  clock.Clock
	random clock.Random

	mu  sync.Mutex
	all map[[sha256.Size]byte]*session
}

func newSessions(c clock.Clock, r clock.Random) *sessions {
	return &sessions{clock: c, random: r, all: map[[sha256.Size]byte]*session{}}
}

// begin makes a session, and returns the ID that its browser is to show.
func (s *sessions) begin(o Operator) (id string, made *session, err error) {
	id, err = s.secret()
	if err != nil {
		return "", nil, err
	}
	token, err := s.secret()
	if err != nil {
		return "", nil, err
	}
	now := s.clock.Now()
	made = &session{operator: o, token: token, began: now, used: now, ended: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	for len(s.all) >= maxSessions {
		s.endOldest()
	}
	s.all[sha256.Sum256([]byte(id))] = made
	return id, made, nil
}

func (s *sessions) secret() (string, error) {
	b := make([]byte, secretSize)
	if _, err := io.ReadFull(s.random, b); err != nil {
		return "", errors.Wrap(errors.Internal, err, "drawing a session")
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// find returns the session of that ID; nil: there is none, or it is over. used tells that its operator does something.
func (s *sessions) find(id string, used bool) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	s.expire(now)
	found := s.all[sha256.Sum256([]byte(id))]
	if found != nil && used {
		found.used = now
	}
	return found
}

// end ends the session of that ID, and reports whether there was one.
func (s *sessions) end(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.remove(sha256.Sum256([]byte(id)))
}

// check ends what has lasted too long.
func (s *sessions) check() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(s.clock.Now())
}

func (s *sessions) expire(now time.Time) {
	for hash, one := range s.all {
		if now.Sub(one.began) >= sessionLife || now.Sub(one.used) >= sessionIdle {
			s.remove(hash)
		}
	}
}

func (s *sessions) endOldest() {
	var oldest [sha256.Size]byte
	var found *session
	for hash, one := range s.all {
		if found == nil || one.used.Before(found.used) {
			oldest, found = hash, one
		}
	}
	s.remove(oldest)
}

func (s *sessions) remove(hash [sha256.Size]byte) bool {
	one := s.all[hash]
	if one != nil {
		delete(s.all, hash)
		close(one.ended)
	}
	return one != nil
}
