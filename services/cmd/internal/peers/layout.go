package peers

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/layout/kv"
	"deuxfleurs.fr/garage/pkg/membership"
	"deuxfleurs.fr/garage/pkg/program"
)

// firstLayout is how long a program that starts waits for the layout. Without one it starts nevertheless.
const firstLayout = 2 * time.Second

// follower puts each layout in force that is published in Consul, as a service.
type follower struct {
	store   *kv.Store
	members *membership.Members
	log     *slog.Logger
	ready   chan struct{}
}

func newFollower(p *program.Program, m *membership.Members) *follower {
	return &follower{store: kv.New(p.Consul, p.Log), members: m, log: p.Log, ready: make(chan struct{})}
}

// Ready is closed when there is a layout, or the program has waited long enough for one.
func (f *follower) Ready() <-chan struct{} { return f.ready }

// Run follows the layout until ctx ends.
func (f *follower) Run(ctx context.Context) error {
	var first sync.Once
	ready := func() { first.Do(func() { close(f.ready) }) }
	patience := time.AfterFunc(firstLayout, func() {
		f.log.Info("no layout is known yet: chunks have no place until one is")
		ready()
	})
	defer patience.Stop()
	return f.store.Watch(ctx, func(l layout.Layout, a *layout.Assignment) {
		if err := f.members.Apply(l, a); err != nil {
			f.log.Error("the published layout cannot be used; the one before stays in force", "layout", l.Number, "error", err)
		}
		patience.Stop()
		ready()
	})
}
