package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// DefaultStopTimeout is how long a member may take to return once it has been asked to stop.
const DefaultStopTimeout = 30 * time.Second

// Service works until ctx ends, then finishes what it has begun and returns nil. It returns an error
// when it cannot go on. Returning nil before ctx ends means that its work is done, which is no failure.
type Service interface {
	Run(ctx context.Context) error
}

// Func makes a Service of a function.
type Func func(ctx context.Context) error

// Run calls f.
func (f Func) Run(ctx context.Context) error { return f(ctx) }

// Readier is a Service that says when it is ready: the channel is closed once it can be used.
// A service without it counts as ready when it has been started.
type Readier interface {
	Ready() <-chan struct{}
}

// Group runs services in the order in which they were added. Make one with NewGroup.
type Group struct {
	log         *slog.Logger
	stopTimeout time.Duration
	members     []*member
	ready       chan struct{}
}

type member struct {
	name    string
	service Service
	cancel  context.CancelFunc
	done    chan struct{}
	err     error // written before done is closed
}

// NewGroup makes an empty group. Each of its members has stopTimeout to return once it was asked to
// stop; zero or less means DefaultStopTimeout. A nil logger means slog.Default.
func NewGroup(logger *slog.Logger, stopTimeout time.Duration) *Group {
	if logger == nil {
		logger = slog.Default()
	}
	if stopTimeout <= 0 {
		stopTimeout = DefaultStopTimeout
	}
	return &Group{log: logger, stopTimeout: stopTimeout, ready: make(chan struct{})}
}

// Add appends a service. It must not be called once Run has been called.
func (g *Group) Add(name string, s Service) {
	g.members = append(g.members, &member{name: name, service: s, done: make(chan struct{})})
}

// Ready is closed when every member has started and is ready.
func (g *Group) Ready() <-chan struct{} { return g.ready }

// Run starts the members in order and waits until ctx ends, a member fails, or all have finished.
// Then it stops them in reverse order. It returns the first failure with the member's name, joined
// with what went wrong while stopping; nil when the group was stopped by ctx and all went well.
// A group runs once.
func (g *Group) Run(ctx context.Context) error {
	failed := make(chan *member, len(g.members))
	var running sync.WaitGroup
	var started []*member
	var failure error
	for _, m := range g.members {
		if failure = g.start(ctx, m, failed, &running); m.cancel != nil {
			started = append(started, m)
		}
		if failure != nil || ctx.Err() != nil {
			break
		}
	}
	if failure == nil && ctx.Err() == nil {
		close(g.ready)
		allDone := make(chan struct{})
		go func() { running.Wait(); close(allDone) }()
		select {
		case <-ctx.Done():
		case m := <-failed:
			failure = m.failure()
		case <-allDone:
			// A failure may be what ended the last member.
			select {
			case m := <-failed:
				failure = m.failure()
			default:
			}
		}
	}
	return errors.Join(failure, g.stop(started, failure))
}

// start runs one member and waits until it is ready, has returned, another has failed, or ctx ends.
func (g *Group) start(ctx context.Context, m *member, failed chan<- *member, running *sync.WaitGroup) error {
	if ctx.Err() != nil {
		return nil
	}
	// The member's context keeps ctx's values but not its end: the group decides the order of stopping.
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	m.cancel = cancel
	running.Add(1)
	go func() {
		defer running.Done()
		defer close(m.done)
		if m.err = run(runCtx, m.service); m.err != nil {
			failed <- m
		}
	}()
	r, ok := m.service.(Readier)
	if !ok {
		return nil
	}
	select {
	case <-r.Ready():
		g.log.Debug("service is ready", "service", m.name)
		return nil
	case <-m.done:
		return m.failure()
	case <-ctx.Done():
		return nil
	}
}

// run calls the service. That it returns the cancellation of its own context is a normal end; a panic
// is not recovered, because the state behind it is unknown.
func run(ctx context.Context, s Service) error {
	err := s.Run(ctx)
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (m *member) failure() error {
	if m.err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", m.name, m.err)
}

// stop ends the members in reverse order. What failed before is known to the caller and not repeated.
func (g *Group) stop(started []*member, known error) error {
	var problems []error
	for i := len(started) - 1; i >= 0; i-- {
		m := started[i]
		m.cancel()
		timer := time.NewTimer(g.stopTimeout)
		select {
		case <-m.done:
			timer.Stop()
			if m.err != nil && !errors.Is(known, m.err) {
				problems = append(problems, m.failure())
			}
			g.log.Debug("service has stopped", "service", m.name)
		case <-timer.C:
			problems = append(problems, fmt.Errorf("%s: did not stop within %s", m.name, g.stopTimeout))
		}
	}
	return errors.Join(problems...)
}
