package rebalancer

import (
	"context"
	"fmt"
	"time"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/layout/kv"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
	"deuxfleurs.fr/garage/services/rebalancer/transition"
)

const (
	// retireEvery is how often the active one looks whether a layout may be retired, while several are in force.
	retireEvery = 2 * time.Second
	// retireTimeout bounds one look.
	retireTimeout = 10 * time.Second
)

// retireLayouts retires layouts as their nodes have handed over what newer ones give to others, until ctx ends.
func (s *Service) retireLayouts(ctx context.Context, t *term) {
	said := ""
	for ctx.Err() == nil {
		a, newer := s.cluster.inForce()
		if a == nil || len(a.Placements()) < 2 {
			select {
			case <-newer:
			case <-ctx.Done():
			}
			continue
		}
		problem := ""
		if err := s.retire(ctx, t); err != nil {
			problem = err.Error()
		}
		if problem != "" && problem != said && ctx.Err() == nil {
			s.deps.Logger.Warn("whether layouts can be retired is not known; it is tried again", "error", problem)
		}
		said = problem
		if clock.Sleep(ctx, s.deps.Clock, retireEvery) != nil {
			return
		}
	}
}

// retire retires the layouts that nobody waits for, if there are any.
func (s *Service) retire(ctx context.Context, t *term) error {
	ctx, cancel := context.WithTimeout(ctx, retireTimeout)
	defer cancel()
	seen, err := s.cluster.store.Read(ctx)
	if err != nil || seen.Active == nil {
		return err
	}
	oldest, waiting := transition.Next(seen.Active, s.nodesOf(t, seen))
	if oldest == seen.Active.Oldest() {
		return nil
	}
	if err := s.cluster.store.Retire(ctx, t.lock(), seen, oldest); err != nil {
		return err
	}
	s.noteLayout(fmt.Sprintf("layouts below %d are retired: their nodes have handed over what newer ones give to others", oldest))
	s.deps.Logger.InfoContext(ctx, "layouts retired: their nodes have handed over what newer ones give to others",
		"below", oldest, "current", seen.Active.Number(), "waiting", len(waiting))
	return nil
}

// nodesOf is what nodes have reported in a term, and the operator declared.
func (s *Service) nodesOf(t *term, seen kv.Snapshot) transition.Nodes {
	reports := t.roster.all(s.deps.Clock.Now())
	return transition.Nodes{
		Walked: func(id chunk.NodeID) uint64 { return reports[id].report.GetStatus().GetWalked() },
		Lost:   seen.LostFor,
	}
}

// waiting are the nodes that the retirement of layouts waits for, and why. t is nil where nothing is known of that.
func (s *Service) waiting(t *term, seen kv.Snapshot, nodes []*nodeView) []*adminv1.Waiting {
	if t == nil || seen.Active == nil {
		return nil
	}
	var all []*adminv1.Waiting
	_, waiting := transition.Next(seen.Active, s.nodesOf(t, seen))
	for _, w := range waiting {
		all = append(all, &adminv1.Waiting{Node: w.Node.String(), Layout: w.Layout, Reason: byID(nodes, w.Node).delay(seen.Active.Number())})
	}
	return all
}

// delay is why a node has not yet walked under the current layout.
func (n *nodeView) delay(current uint64) string {
	status := n.seen.report.GetStatus()
	if !n.alive() || status == nil {
		return "it is away: start it or, if it will not come back, declare it lost with: garage layout lost"
	}
	if status.GetLayout() < current {
		return fmt.Sprintf("it has adopted layout %d and not yet the current one", status.GetLayout())
	}
	for _, task := range status.GetTasks() {
		if task.GetTask() != chunknodev1.Task_TASK_REBALANCE {
			continue
		}
		switch task.GetState() {
		case chunknodev1.TaskState_TASK_STATE_STOPPED:
			return "its rebalancing was stopped: garage rebalance start lets it go on"
		case chunknodev1.TaskState_TASK_STATE_STUCK:
			return "it cannot go on now: " + task.GetNote()
		}
		return fmt.Sprintf("it has looked through %d of %d partitions", task.GetDone(), task.GetTotal())
	}
	return "it has not yet handed over what belongs to others"
}
