package report

import (
	"context"
	"time"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
)

const (
	// lookAgain is the pause before an active rebalancer is looked for again.
	lookAgain = 500 * time.Millisecond
	// longestPause is between two questions of a node that is refused.
	longestPause = 10 * time.Second
	// tellTimeout is how long the last report may take.
	tellTimeout = time.Second
)

// Leave returns when the node may stop, or when it has waited long enough. From then on its reports say that it is leaving.
func (r *Reporter) Leave(ctx context.Context) {
	began := r.deps.Clock.Now()
	if why := r.ask(ctx, began); why != "" {
		r.deps.Logger.Error("STOPPING WITHOUT LEAVE of the active rebalancer: chunks may be unreachable if other nodes that hold them are away",
			"why", why, "waited", r.deps.Clock.Now().Sub(began).Round(time.Second))
	}
	r.mu.Lock()
	r.goes()
	active := r.active
	r.mu.Unlock()
	if active == nil {
		return
	}
	tell := r.deps.Clock.NewTimer(tellTimeout)
	defer tell.Stop()
	select {
	case <-r.told:
	case <-tell.C():
	case <-ctx.Done():
	}
}

// ask asks until leave is given, and then returns "", or until there is a reason to go without.
func (r *Reporter) ask(ctx context.Context, began time.Time) (why string) {
	alone := began // since when there has been nobody to ask
	pause, reason := time.Duration(0), ""
	for {
		asked := r.deps.Clock.Now()
		answer, err := r.question(ctx)
		now := r.deps.Clock.Now()
		wait := lookAgain
		switch {
		case ctx.Err() != nil:
			return "the program has to end now"
		case err != nil:
			if now.Sub(alone) >= r.config.LeaveWithout {
				return "there is no active rebalancer to ask: " + err.Error()
			}
		case answer.GetGranted() && r.take(answer, now.Sub(asked)):
			r.deps.Logger.Info("the active rebalancer gives leave to stop", "waited", now.Sub(began).Round(time.Millisecond))
			return ""
		case answer.GetGranted():
			alone = now // it came too late or from one that is no longer the active one: asked again
		default:
			alone = now
			if answer.GetReason() != reason {
				reason = answer.GetReason()
				r.deps.Logger.Warn("the active rebalancer does not give leave to stop yet; it is asked again", "reason", reason, "for", r.config.LeaveTimeout)
			}
			pause = min(max(answer.GetRetryAfter().AsDuration(), pause*3/2, lookAgain), longestPause)
			wait = pause
		}
		left := r.config.LeaveTimeout - now.Sub(began)
		if left <= 0 {
			return "it was not given within " + r.config.LeaveTimeout.String() + ": " + reason
		}
		if err := clock.Sleep(ctx, r.deps.Clock, min(wait, left)); err != nil {
			return "the program has to end now"
		}
	}
}

// question asks the active rebalancer once.
func (r *Reporter) question(ctx context.Context) (*clusterv1.LeaveResponse, error) {
	active, _ := r.now()
	if active == nil {
		return nil, errors.Newf(errors.Unavailable, "Consul knows none")
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return clusterv1.NewClusterServiceClient(active.Conn).Leave(ctx, &clusterv1.LeaveRequest{NodeId: r.deps.NodeID[:], Process: r.deps.Process[:]})
}

// take makes use of a leave, if it still counts. From then on the node is leaving, whoever becomes the active one.
func (r *Reporter) take(answer *clusterv1.LeaveResponse, age time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if answer.GetTerm() < r.term || age > answer.GetValidFor().AsDuration() {
		return false
	}
	r.goes()
	return true
}

// goes marks the node as leaving. The caller holds the lock.
func (r *Reporter) goes() {
	if !r.leaving {
		r.leaving = true
		close(r.urgent)
	}
}
