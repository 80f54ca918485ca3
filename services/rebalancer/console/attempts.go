package console

import (
	"net/netip"
	"sync"
	"time"

	"deuxfleurs.fr/garage/pkg/clock"
)

const (
	// maxAttempts is how often one address may try to sign in within attemptWindow; the operator's token is taken in any case.
	maxAttempts   = 10
	attemptWindow = time.Minute
	// maxAddresses is how many addresses are remembered: a further one replaces the one that began to try first.
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
	address = network(address)
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
			a.forgetOldest()
		}
		t = &tried{since: now}
		a.all[address] = t
	}
	t.times++
	return t.times <= maxAttempts
}

func (a *attempts) forgetOldest() {
	oldest, found := "", (*tried)(nil)
	for key, t := range a.all {
		if found == nil || t.since.Before(found.since) {
			oldest, found = key, t
		}
	}
	delete(a.all, oldest)
}

// forget forgets the attempts of an address from which somebody has shown the operator's token. That a person has signed in is no
// reason to: they might try the passwords of others.
func (a *attempts) forget(address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.all, network(address))
}

// network is what attempts are counted by: an address or, as one machine has so many of them, a /64 of IPv6.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip, 64).Masked().String()
}
