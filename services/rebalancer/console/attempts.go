package console

import (
	"sync"
	"time"

	"deuxfleurs.fr/garage/pkg/clock"
)

const (
	// maxAttempts is how often one address may try to sign in within attemptWindow without success.
	maxAttempts   = 10
	attemptWindow = time.Minute
	// maxAddresses is how many addresses are remembered; while there are as many, no new one may try.
	maxAddresses = 1000
)

// attempts bounds how often signing in is tried.
type attempts struct {
	clock clock.Clock

	mu  sync.Mutex
	all map[string]*tried
}

type tried struct {
	since time.Time
	times int
}

func newAttempts(c clock.Clock) *attempts { return &attempts{clock: c, all: map[string]*tried{}} }

// admit counts an attempt, and reports whether it may be made.
func (a *attempts) admit(address string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.Now()
	for key, t := range a.all {
		if now.Sub(t.since) >= attemptWindow {
			delete(a.all, key)
		}
	}
	t := a.all[address]
	if t == nil {
		if len(a.all) >= maxAddresses {
			return false
		}
		t = &tried{since: now}
		a.all[address] = t
	}
	t.times++
	return t.times <= maxAttempts
}

// succeeded forgets the attempts of an address from which somebody has signed in.
func (a *attempts) succeeded(address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.all, address)
}
