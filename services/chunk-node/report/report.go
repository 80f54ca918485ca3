package report

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/remote"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/consul/leader"
	"deuxfleurs.fr/garage/pkg/errors"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
)

const (
	// answerTimeout bounds one question to the rebalancer.
	answerTimeout = 3 * time.Second
	// retry is the pause before a stream that ended is opened again.
	retry = time.Second
)

// Config is how often to report and how long to wait for leave.
type Config struct {
	Interval     time.Duration `conf:"report-interval" help:"how often the node tells the active rebalancer how it is; with Consul" min:"100ms" max:"5s"`
	LeaveTimeout time.Duration `conf:"leave-timeout" help:"how long a planned stop waits for leave of the active rebalancer, which refuses it while another owner of the same chunks is away; then the node stops without; with Consul" min:"0s"`
	LeaveWithout time.Duration `conf:"leave-without" help:"how long a planned stop looks for an active rebalancer; then the node stops without leave; with Consul" min:"0s"`
}

// DefaultConfig is what suits most.
func DefaultConfig() Config {
	return Config{Interval: 2 * time.Second, LeaveTimeout: 5 * time.Minute, LeaveWithout: 10 * time.Second}
}

// Finder says who the active rebalancer is: leader.Finder does.
type Finder interface {
	Follow(ctx context.Context, found func(*leader.Active)) error
}

// Deps are what a Reporter works with.
type Deps struct {
	NodeID chunk.NodeID
	// Process is drawn at random for each start of the program.
	Process uuid.UUID
	Finder  Finder
	// Status, Traffic and Collection are what is reported.
	Status     func(ctx context.Context) (chunk.NodeStatus, error)
	Traffic    func() *clusterv1.Traffic
	Collection func() *clusterv1.Collection
	// Term is the highest whose commands the node has obeyed, also before it was started.
	Term   func() uint64
	Clock  clock.Clock
	Logger *slog.Logger
}

// Reporter reports to the active rebalancer and asks it for leave.
type Reporter struct {
	config Config
	deps   Deps

	mu      sync.Mutex
	active  *leader.Active // nil: nobody
	changed chan struct{}  // closed when active changes
	term    uint64         // the highest that has accepted this node
	leaving bool
	urgent  chan struct{} // closed when leaving becomes true
	told    chan struct{} // closed when a report has said so
	tell    sync.Once     // closes told
}

// New makes a Reporter.
func New(c Config, d Deps) *Reporter {
	return &Reporter{config: c, deps: d, changed: make(chan struct{}), urgent: make(chan struct{}), told: make(chan struct{})}
}

// Run reports until ctx ends.
func (r *Reporter) Run(ctx context.Context) {
	var work sync.WaitGroup
	work.Go(func() {
		if err := r.deps.Finder.Follow(ctx, r.found); ctx.Err() == nil {
			r.deps.Logger.Error("the active rebalancer is not followed any more", "error", err)
		}
	})
	work.Go(func() { r.attend(ctx) })
	work.Wait()
}

// found takes note of who is active. The connection of the one before is not used any more when this returns, but by
// calls that are about to fail.
func (r *Reporter) found(a *leader.Active) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.active = a
	close(r.changed)
	r.changed = make(chan struct{})
}

// now returns who is active, and what is closed when that changes.
func (r *Reporter) now() (*leader.Active, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.active, r.changed
}

// attend keeps a stream to the active one open.
func (r *Reporter) attend(ctx context.Context) {
	said := false // that it does not report
	for ctx.Err() == nil {
		active, changed := r.now()
		if active == nil {
			await(ctx, changed)
			continue
		}
		streaming, stop := context.WithCancel(ctx)
		var work sync.WaitGroup
		work.Go(func() { await(streaming, changed); stop() })
		accepted, err := r.stream(streaming, active)
		superseded := streaming.Err() != nil
		stop()
		work.Wait()
		switch {
		case superseded: // by another one, or by the end
			continue
		case accepted:
			said = false
		case !said:
			said = true
			r.deps.Logger.Warn("the active rebalancer does not take the node's reports; it is tried again", "rebalancer", active.NodeID, "address", active.Address, "error", err)
		}
		pause := r.deps.Clock.NewTimer(retry)
		select {
		case <-pause.C():
		case <-changed:
		case <-ctx.Done():
		}
		pause.Stop()
	}
}

func await(ctx context.Context, c <-chan struct{}) {
	select {
	case <-c:
	case <-ctx.Done():
	}
}

// stream reports to one rebalancer until ctx ends or something fails.
func (r *Reporter) stream(ctx context.Context, active *leader.Active) (accepted bool, err error) {
	// The answer to the first message must come in time; after it the stream has no end.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	impatient := r.deps.Clock.NewTimer(answerTimeout)
	defer impatient.Stop()
	waiting := make(chan struct{})
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	work.Go(func() {
		select {
		case <-impatient.C():
			cancel()
		case <-waiting:
		case <-ctx.Done():
		}
	})
	stream, err := clusterv1.NewClusterServiceClient(active.Conn).Report(ctx)
	if err != nil {
		return false, err
	}
	first, err := r.report(ctx)
	if err != nil {
		return false, err
	}
	if err := stream.Send(first); err != nil {
		return false, err
	}
	answer, err := stream.Recv()
	if err != nil {
		return false, err
	}
	close(waiting)
	if err := r.accept(answer.GetTerm()); err != nil {
		return false, err
	}
	r.deps.Logger.Info("the active rebalancer takes the node's reports", "rebalancer", active.NodeID, "term", answer.GetTerm())
	ended := make(chan error, 1)
	work.Go(func() {
		for {
			if _, err := stream.Recv(); err != nil {
				ended <- err
				return
			}
		}
	})
	return true, r.reports(ctx, stream.Send, ended)
}

// reports sends a report after each interval, and at once when the node is leaving.
func (r *Reporter) reports(ctx context.Context, send func(*clusterv1.ReportRequest) error, ended <-chan error) error {
	urgent := r.urgent
	for {
		report, err := r.report(ctx)
		if err != nil {
			return err
		}
		if err := send(report); err != nil {
			return err
		}
		if report.GetLeaving() {
			r.tell.Do(func() { close(r.told) })
			urgent = nil
		}
		next := r.deps.Clock.NewTimer(r.config.Interval)
		select {
		case <-next.C():
		case <-urgent:
		case err := <-ended:
			next.Stop()
			return err
		case <-ctx.Done():
			next.Stop()
			return ctx.Err()
		}
		next.Stop()
	}
}

// report says how the node is now.
func (r *Reporter) report(ctx context.Context) (*clusterv1.ReportRequest, error) {
	status, err := r.deps.Status(ctx)
	if err != nil {
		return nil, errors.Annotate(err, "the node's own status")
	}
	obeyed := r.deps.Term()
	r.mu.Lock()
	leaving, term := r.leaving, max(r.term, obeyed)
	r.mu.Unlock()
	return &clusterv1.ReportRequest{NodeId: r.deps.NodeID[:], Process: r.deps.Process[:], Leaving: leaving,
		Status: remote.StatusTo(status), Traffic: r.deps.Traffic(), Collection: r.deps.Collection(), Term: term}, nil
}

// accept takes note of the term of a rebalancer that has accepted the node.
func (r *Reporter) accept(term uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if term < r.term {
		return errors.Newf(errors.Conflict, "it is the active one of the term %d, and the node was accepted in the later term %d: it is told, and begins a higher one if it still is the active one", term, r.term)
	}
	r.term = term
	return nil
}
