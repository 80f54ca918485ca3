package program

import (
	"context"
	"runtime/debug"
	"time"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

const (
	checkInterval = 2 * time.Second
	checkTimeout  = 2 * time.Second
	// settled is when a program that became ready gives back the memory that only its start has needed.
	settled = 15 * time.Second
)

// Checker is a service that can say how it is.
type Checker interface {
	// Check returns nil if the service can serve, and otherwise why it cannot.
	Check(ctx context.Context) error
}

type check struct {
	name    string
	service Checker
}

// check asks all services how they are.
func (p *Program) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	for _, c := range p.checks {
		if err := c.service.Check(ctx); err != nil {
			return errors.Annotate(err, "%s cannot serve", c.name)
		}
	}
	return nil
}

// serve is the last service to start and the first to stop: while it runs, the program is ready, as far as its
// services say that they can serve.
func (p *Program) serve(ctx context.Context) error {
	if p.OnReady != nil {
		if err := p.OnReady(ctx); err != nil {
			return err
		}
	}
	p.Admin.SetServing(true)
	p.Log.Info("ready")
	defer p.Admin.SetServing(false)
	settle := time.AfterFunc(settled, debug.FreeOSMemory)
	defer settle.Stop()
	if len(p.checks) == 0 {
		<-ctx.Done()
		return nil
	}
	for well := true; ; {
		err := p.check(ctx)
		if ctx.Err() == nil && well != (err == nil) {
			well = err == nil
			p.Admin.SetServing(well)
			if well {
				p.Log.Info("able to serve again")
			} else {
				p.Log.Error("not able to serve; the health says so", "error", err)
			}
		}
		if clock.Sleep(ctx, clock.System{}, checkInterval) != nil {
			return nil
		}
	}
}
