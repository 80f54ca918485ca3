package peers

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/datafolder"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/layout/kv"
	"deuxfleurs.fr/garage/pkg/program"
)

// firstLayout is how long a program that starts waits for the layout. Without one it starts nevertheless.
const firstLayout = 2 * time.Second

// layoutFile is where a data folder keeps the last layouts, for a program that starts while Consul is away.
const layoutFile = "consul-layouts"

// follower puts each layout in force that is published in Consul, as a service.
type follower struct {
	consul *consul.Client
	path   string // of layoutFile; empty: put keeps what it is given
	store  *kv.Store
	put    func(*layout.Active) error // in force, if they are newer
	log    *slog.Logger
	ready  chan struct{}
}

func newFollower(p *program.Program, path string, put func(*layout.Active) error) *follower {
	return &follower{consul: p.Consul, path: path, store: kv.New(p.Consul, p.Log), put: put, log: p.Log, ready: make(chan struct{})}
}

// Ready is closed when there is a layout, or the program has waited long enough for one.
func (f *follower) Ready() <-chan struct{} { return f.ready }

// Run follows the layout until ctx ends.
func (f *follower) Run(ctx context.Context) error {
	var first sync.Once
	ready := func() { first.Do(func() { close(f.ready) }) }
	patience := time.AfterFunc(firstLayout, func() {
		f.recall()
		ready()
	})
	defer patience.Stop()
	return f.store.Watch(ctx, func(a *layout.Active) {
		patience.Stop()
		f.apply(a)
		f.keep(a)
		ready()
	})
}

func (f *follower) apply(a *layout.Active) {
	if err := f.put(a); err != nil {
		f.log.Error("the published layout cannot be used; the one before stays in force", "layout", a.Number(), "error", err)
	}
}

// keep writes the layouts. That it could not costs nothing before the next start.
func (f *follower) keep(a *layout.Active) {
	if f.path == "" {
		return
	}
	content, err := a.MarshalBinary()
	if err == nil {
		err = datafolder.WriteFile(f.path, content, 0o600)
	}
	if err != nil {
		f.log.Warn("the layout was not kept for a Consul that is away", "file", f.path, "error", err)
	}
}

// recall puts the layout in force that was kept from before, if Consul is away.
func (f *follower) recall() {
	if f.consul.Up() {
		f.log.Info("no layout is known yet: chunks have no place until one is")
		return
	}
	if f.path == "" {
		return
	}
	content, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return // the log says already that Consul does not answer
	}
	var a *layout.Active
	if err == nil {
		a, err = layout.ParseActive(content)
	}
	if err != nil {
		f.log.Warn("the layout kept from before cannot be used", "file", f.path, "error", err)
		return
	}
	f.log.Warn("Consul does not answer: the layout kept from before serves until it does", "layout", a.Number())
	f.apply(a)
}
