package kv

import (
	"context"
	"log/slog"
	"time"

	"github.com/hashicorp/consul/api"

	"deuxfleurs.fr/garage/pkg/clock"
)

const (
	watchWait  = 5 * time.Minute // Consul's own default
	retryFirst = 500 * time.Millisecond
	retryMost  = 5 * time.Second
)

// Watcher is told about the layout. Its functions are called one after the other.
type Watcher struct {
	// Published gets each layout that is put in force, from the current one on; of several in a short time perhaps
	// only the last.
	Published func(Published)
	// Reached, if set, is told when Consul could not be asked (the reason) and when it answers again (nil).
	Reached func(error)
	Clock   clock.Clock
	Log     *slog.Logger
}

// Watch follows the layout by blocking queries until ctx ends, whose error it returns. While Consul is away, the
// last layout stays; what fails is tried again.
func (s *Store) Watch(ctx context.Context, w Watcher) error {
	f := follower{store: s, watcher: w}
	wait := retryFirst
	for {
		err := f.next(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			f.report(nil)
			wait = retryFirst
			continue
		}
		f.report(err)
		if err := clock.Sleep(ctx, w.Clock, wait); err != nil {
			return err
		}
		wait = min(2*wait, retryMost)
	}
}

type follower struct {
	store   *Store
	watcher Watcher
	index   uint64 // of Consul, up to which the current number is known
	number  uint64 // of the last layout that was handed over
	away    bool   // the last thing reported was a failure
}

// next waits until the current number may have changed and hands over its layout.
func (f *follower) next(ctx context.Context) error {
	key := f.store.prefix + "current"
	options := &api.QueryOptions{WaitIndex: f.index, WaitTime: watchWait}
	pair, meta, err := f.store.client.KV().Get(key, options.WithContext(ctx))
	if err != nil {
		f.index = 0 // what is known about a Consul that was away may be of another one
		return away(err, "following the layout")
	}
	index := meta.LastIndex
	if index < f.index {
		index = 0 // Consul's counting began anew
	}
	switch {
	case pair == nil && f.number != 0:
		f.watcher.Log.Warn("Consul has no layout any more; the last one stays", "key", key, "layout", f.number)
	case pair != nil:
		if err := f.handOver(ctx, pair.Value); err != nil {
			return err
		}
	}
	f.index = index
	return nil
}

func (f *follower) handOver(ctx context.Context, value []byte) error {
	number, err := f.store.number(value)
	if err != nil {
		return err
	}
	if number < f.number {
		f.watcher.Log.Error("Consul has a layout that is older than the last one, which stays", "consul", number, "layout", f.number)
	}
	if number <= f.number {
		return nil
	}
	published, err := f.store.Get(ctx, number)
	if err != nil {
		return err
	}
	f.number = number
	f.watcher.Published(published)
	return nil
}

func (f *follower) report(err error) {
	switch {
	case err != nil && !f.away:
		f.watcher.Log.Warn("the layout cannot be followed; the last one stays", "layout", f.number, "error", err)
	case err == nil && f.away:
		f.watcher.Log.Info("the layout is followed again", "layout", f.number)
	case err == nil:
		return
	}
	f.away = err != nil
	if f.watcher.Reached != nil {
		f.watcher.Reached(err)
	}
}
