package kv

import (
	"context"

	"github.com/hashicorp/consul/api"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
)

// Watch calls apply, one call at a time, for the layout in force and for each newer one that is published (of
// several in a short time perhaps only for the last) until ctx ends, whose error it returns. While Consul is away
// nothing is called: the last layout stays.
func (s *Store) Watch(ctx context.Context, apply func(layout.Layout, *layout.Assignment)) error {
	f := follower{store: s, apply: apply}
	return s.consul.Follow(ctx, "the layout", func(options *api.QueryOptions) (*api.QueryMeta, error) {
		pair, meta, err := s.consul.API().KV().Get(s.prefix+"current", options)
		if err != nil {
			return nil, err
		}
		return meta, f.look(ctx, pair)
	})
}

// follower hands over each layout once.
type follower struct {
	store  *Store
	apply  func(layout.Layout, *layout.Assignment)
	number uint64 // of the last layout that was handed over
}

// look hands over the layout that the current key names. It fails only with what may be otherwise when it is tried again.
func (f *follower) look(ctx context.Context, current *api.KVPair) error {
	log := f.store.log
	if current == nil {
		if f.number != 0 {
			log.Error("Consul has no layout any more; the last one stays in force", "key", f.store.prefix+"current", "layout", f.number)
		}
		return nil
	}
	number, err := f.store.number(current.Value)
	if err != nil {
		log.Error("the layout that is in force is not known; the last one stays", "layout", f.number, "error", err)
		return nil
	}
	if number < f.number {
		log.Error("Consul has a layout that is older than the last one, which stays in force", "consul", number, "layout", f.number)
	}
	if number <= f.number {
		return nil
	}
	published, err := f.store.Get(ctx, number)
	switch {
	case errors.Is(err, errors.NotFound) || errors.Is(err, errors.Corrupted):
		log.Error("the layout that is in force cannot be read; the last one stays", "layout", f.number, "error", err)
		return nil
	case err != nil:
		return err
	}
	f.number = number
	f.apply(published.Layout, published.Assignment)
	return nil
}
