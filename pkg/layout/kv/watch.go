package kv

import (
	"context"
	"encoding/json"

	"github.com/hashicorp/consul/api"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
)

// Watch calls apply, one call at a time, for the layouts in force and whenever newer ones are (layout.Active.Newer: one was
// published, old ones were retired, or a node was given up; of several changes in a short time perhaps only for the last) until ctx ends, whose error it
// returns. While Consul is away nothing is called: the last layouts stay.
func (s *Store) Watch(ctx context.Context, apply func(*layout.Active)) error {
	f := follower{store: s, apply: apply}
	return s.consul.Follow(ctx, "the layout", func(options *api.QueryOptions) (*api.QueryMeta, error) {
		// The names of all keys: they are few and small, and the answer comes when any of them changes.
		_, meta, err := s.consul.API().KV().Keys(s.prefix, "", options)
		if err != nil {
			return nil, err
		}
		return meta, f.look(ctx)
	})
}

// follower hands over the layouts in force once.
type follower struct {
	store *Store
	apply func(*layout.Active)
	last  *layout.Active // what was handed over
}

// look hands over what is in force, if it is newer. It fails only with what may be otherwise when it is tried again.
func (f *follower) look(ctx context.Context) error {
	all, err := f.store.values(ctx, "current", "oldest", "lost")
	if err != nil {
		return err
	}
	active, err := f.store.active(ctx, all[0], all[1])
	log := f.store.log.With("layout", f.number())
	if err == nil && active != nil && all[2].ModifyIndex != 0 {
		var lost []Lost
		if err := json.Unmarshal(all[2].Value, &lost); err != nil {
			log.Error("which nodes are given up cannot be read: delete the key, and declare them lost again", "key", f.store.prefix+"lost", "error", err)
		}
		upTo := make(map[chunk.NodeID]uint64, len(lost))
		for _, l := range lost {
			upTo[l.Node] = l.Layout
		}
		active = active.WithLost(upTo)
	}
	switch {
	case errors.Is(err, errors.NotFound) || errors.Is(err, errors.Corrupted):
		log.Error("the layouts in force cannot be read; the last ones stay", "error", err)
	case err != nil:
		return err
	case active == nil && f.last != nil:
		log.Error("Consul has no layout any more; the last ones stay in force", "key", f.store.prefix+"current")
	case active == nil:
	case active.Newer(f.last):
		f.last = active
		f.apply(active)
	case f.last.Number() == active.Number() && f.last.Oldest() == active.Oldest(): // a node stays given up until there is another layout
	case f.last.Newer(active):
		log.Error("Consul has layouts that are older than the last ones, which stay in force", "consul", active.Number())
	}
	return nil
}

// number is that of the layout handed over last.
func (f *follower) number() uint64 {
	if f.last == nil {
		return 0
	}
	return f.last.Number()
}
