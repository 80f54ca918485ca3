package console

import (
	"context"
	"sync"
	"time"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

const (
	// maxRefused is how many refused attempts to sign in the audit log has of each refusedWindow, over all addresses: whoever reaches
	// the page can make them, and must not push out of the log what else it has.
	maxRefused    = 10
	refusedWindow = time.Minute
)

// refused bounds how many refused attempts to sign in are noted one by one, and counts the others.
type refused struct {
	mu    sync.Mutex
	noted int
	more  int
}

// note reports whether one that was just refused is to be noted; otherwise it is counted.
func (f *refused) note() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.noted >= maxRefused {
		f.more++
		return false
	}
	f.noted++
	return true
}

// next begins a new window, and returns how many of the last one were only counted.
func (f *refused) next() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	more := f.more
	f.noted, f.more = 0, 0
	return more
}

// tellRefused notes after each window, and at the end, how many refused attempts were not noted one by one.
func (c *Console) tellRefused(ctx context.Context) {
	for going := true; going; {
		going = clock.Sleep(ctx, c.deps.Clock, refusedWindow) == nil
		if more := c.refused.next(); more > 0 {
			c.record(ctx, Entry{Operator: ownName, Action: "SignIn"}, errors.Newf(errors.Unauthenticated, "%d more were refused", more))
		}
	}
}
