package ldap

import (
	"time"

	"deuxfleurs.fr/garage/pkg/identity"
)

// maxKept bounds each sort of kept answers.
const maxKept = 10000

// retryAfter is how long the directory is left alone after it could not be asked.
const retryAfter = time.Second

// kept decides what is answered from memory and when the directory is asked. It does nothing else: no clock, no lock. An answer goes by the
// key of its question: an access key, or that of membership.
type kept struct {
	keep, refuse, away time.Duration

	found   map[string]foundAt
	refused map[string]time.Time // when it was asked

	down    bool      // the last answer was none
	next    time.Time // when down: not to be asked before
	probing bool      // when down: somebody is asking
}

type foundAt struct {
	identity identity.Identity
	at       time.Time // when it was asked
}

// verdict is what to do with a question.
type verdict uint8

const (
	ask         verdict = iota // ask the directory and wait for it
	serve                      // answer the kept identity
	serveAndAsk                // answer the kept identity, and find out whether the directory is back
	refuse                     // the directory does not have it
	unavailable                // nobody knows
)

func newKept(c *Config) *kept {
	return &kept{
		keep: c.CacheTime, refuse: c.RefusedTime, away: c.AwayTime,
		found: make(map[string]foundAt), refused: make(map[string]time.Time),
	}
}

// young reports whether less than limit has passed since at. A clock that went back makes nothing young.
func young(at, now time.Time, limit time.Duration) bool {
	age := now.Sub(at)
	return age >= 0 && age < limit
}

// decide says what to do about a question. After ask and serveAndAsk, tell what came of it with one of the methods below.
func (k *kept) decide(key string, now time.Time) (verdict, identity.Identity) {
	f, known := k.found[key]
	if known && young(f.at, now, k.keep) {
		return serve, f.identity
	}
	if at, is := k.refused[key]; is && young(at, now, k.refuse) {
		return refuse, identity.Identity{}
	}
	if !k.down {
		return ask, identity.Identity{}
	}
	probe := !k.probing && !now.Before(k.next)
	k.probing = k.probing || probe
	switch {
	case known && young(f.at, now, k.away) && probe:
		return serveAndAsk, f.identity
	case known && young(f.at, now, k.away):
		return serve, f.identity
	case probe:
		return ask, identity.Identity{}
	}
	return unavailable, identity.Identity{}
}

// isThere notes an identity that the directory had when it was asked. It reports whether the directory was down.
func (k *kept) isThere(key string, id identity.Identity, asked time.Time) (wasDown bool) {
	delete(k.refused, key)
	if _, known := k.found[key]; !known && len(k.found) >= maxKept {
		k.makeRoom(asked)
	}
	k.found[key] = foundAt{id, asked}
	return k.up()
}

// isNotThere notes that the directory does not have whom it was asked for. It reports whether the directory was down.
func (k *kept) isNotThere(key string, asked time.Time) (wasDown bool) {
	delete(k.found, key)
	if k.refuse > 0 {
		if len(k.refused) >= maxKept {
			clear(k.refused)
		}
		k.refused[key] = asked
	}
	return k.up()
}

// cannotTell notes that the directory could not be asked, and answers with what is kept.
// It reports whether the directory was up.
func (k *kept) cannotTell(key string, asked, now time.Time) (id identity.Identity, ok, wasUp bool) {
	wasUp = !k.down
	k.down, k.probing, k.next = true, false, now.Add(retryAfter)
	f, known := k.found[key]
	return f.identity, known && young(f.at, asked, k.away), wasUp
}

// crowded notes that others asked so much that this was not asked. That does not mean that the directory is away, and
// makes nothing older serve: who floods the gateway must not keep what was revoked. But if it is away, what is kept serves.
func (k *kept) crowded(key string, asked time.Time) (id identity.Identity, ok bool) {
	k.probing = false
	f, known := k.found[key]
	return f.identity, k.down && known && young(f.at, asked, k.away)
}

func (k *kept) up() (wasDown bool) {
	wasDown = k.down
	k.down, k.probing = false, false
	return wasDown
}

// makeRoom drops what can no longer serve, or else any identity.
func (k *kept) makeRoom(now time.Time) {
	for key, f := range k.found {
		if !young(f.at, now, max(k.keep, k.away)) {
			delete(k.found, key)
		}
	}
	for key := range k.found {
		if len(k.found) < maxKept {
			return
		}
		delete(k.found, key)
	}
}
