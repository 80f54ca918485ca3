package console

import (
	"bytes"
	"context"
	"sync"
	"time"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

const (
	lookEvery    = time.Second
	maxFollowers = 64
)

// follower receives what is new; what it has not yet taken is replaced by what is newer.
type follower chan []byte

// feed looks at something for all who follow it, at most once in lookEvery, and not while nobody does.
type feed struct {
	look  func(context.Context) []byte
	clock clock.Clock
	wake  chan struct{} // holds one when somebody has joined

	mu   sync.Mutex
	all  map[follower]struct{}
	last []byte // what was seen last; nil while nobody follows
}

func newFeed(look func(context.Context) []byte, c clock.Clock) *feed {
	return &feed{look: look, clock: c, wake: make(chan struct{}, 1), all: map[follower]struct{}{}}
}

// join adds a follower, who is told at once what was seen last. Kinds: Overloaded.
func (f *feed) join() (follower, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.all) >= maxFollowers {
		return nil, errors.Newf(errors.Overloaded, "%d pages follow the status already: close one", maxFollowers)
	}
	one := make(follower, 1)
	if f.last != nil {
		one <- f.last
	}
	f.all[one] = struct{}{}
	select {
	case f.wake <- struct{}{}:
	default: // it is awake
	}
	return one, nil
}

func (f *feed) leave(one follower) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, one)
	if len(f.all) == 0 {
		f.last = nil // it will be old when somebody joins again
	}
}

// followed tells whether anybody follows.
func (f *feed) followed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.all) > 0
}

// publish hands on what is new.
func (f *feed) publish(content []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.all) == 0 || bytes.Equal(content, f.last) {
		return
	}
	f.last = content
	for one := range f.all {
		select {
		case <-one: // it was not taken, and is old now
		default:
		}
		one <- content // there is room, and nobody else sends
	}
}

// run looks until ctx ends.
func (f *feed) run(ctx context.Context) {
	for {
		select {
		case <-f.wake:
		case <-ctx.Done():
			return
		}
		for f.followed() {
			began := f.clock.Now()
			f.publish(f.look(ctx))
			if clock.Sleep(ctx, f.clock, lookEvery-f.clock.Now().Sub(began)) != nil {
				return
			}
		}
	}
}
