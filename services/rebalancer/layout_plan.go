package rebalancer

import (
	"context"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/types/known/durationpb"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/layout/kv"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
	"deuxfleurs.fr/garage/services/rebalancer/plan"
)

// PlanLayout tells what applying the staged change would do.
func (s *Service) PlanLayout(ctx context.Context, r *adminv1.PlanLayoutRequest) (*adminv1.PlanLayoutResponse, error) {
	return decided(ctx, s, r, adminv1.AdminServiceClient.PlanLayout, s.planLayout)
}

// ApplyLayout puts the staged change in force.
func (s *Service) ApplyLayout(ctx context.Context, r *adminv1.ApplyLayoutRequest) (*adminv1.ApplyLayoutResponse, error) {
	return decided(ctx, s, r, adminv1.AdminServiceClient.ApplyLayout, s.applyLayout)
}

// proposal is the layout that would follow, what it would do, and what speaks against it.
type proposal struct {
	after    layout.Placement
	plan     plan.Plan
	rate     int64  // that the plan reckons with; 0: not known
	obstacle string // why it cannot be applied, or empty
	risk     string // why it is applied only if that is forced, or empty
}

// propose makes a proposal of what is staged.
func (s *Service) propose(ctx context.Context, t *term, seen kv.Snapshot, rate int64) (proposal, error) {
	if seen.Staged.Empty() {
		return proposal{}, nothingStaged()
	}
	after, err := seen.Staged.Apply(seen.Layout())
	if err != nil {
		return proposal{}, errors.Annotate(err, "what is staged makes no layout yet")
	}
	owners, err := layout.Assign(seen.Assignment(), after)
	if err != nil {
		return proposal{}, err
	}
	nodes, err := s.views(ctx, t, seen)
	if err != nil {
		return proposal{}, err
	}
	p := proposal{after: layout.Placement{Layout: after, Assignment: owners}, rate: rate, obstacle: seen.Crowded()}
	load := measure(nodes)
	if p.rate == 0 {
		p.rate = load.rate
	}
	change := plan.Change{After: p.after, PartitionBytes: load.partition, Rate: p.rate, Away: func(id chunk.NodeID) bool {
		n := byID(nodes, id)
		return n == nil || !n.alive()
	}}
	if seen.Active != nil {
		change.Before = seen.Active.Current()
	}
	p.plan = plan.Make(change)
	if p.plan.UsableAfter < p.plan.Stored {
		p.risk = "it has less room than what is stored takes: nodes would fill up before everything has its place"
	}
	if seen.Active != nil && load.silent > 0 {
		p.plan.Remarks = append(p.plan.Remarks, fmt.Sprintf("%d nodes of the layout do not report: how much is stored is estimated from the others", load.silent))
	}
	return p, nil
}

// load is what nodes of the current layout report together.
type load struct {
	partition float64 // bytes that a copy of a partition takes on a disk, on average
	rate      int64   // at which the slowest of them sends, in bytes a second; 0: none is limited, or none says
	silent    int     // nodes that say nothing
}

func measure(nodes []*nodeView) load {
	var l load
	var stored, partitions int64
	for _, n := range nodes {
		if n.desired == nil {
			continue
		}
		status := n.seen.report.GetStatus()
		if status == nil {
			l.silent++
			continue
		}
		stored, partitions = stored+status.GetStoredBytes(), partitions+int64(n.partitions)
		for _, task := range status.GetTasks() {
			if rate := task.GetRate(); task.GetTask() == chunknodev1.Task_TASK_REBALANCE && rate > 0 && (l.rate == 0 || rate < l.rate) {
				l.rate = rate
			}
		}
	}
	if partitions > 0 {
		l.partition = float64(stored) / float64(partitions)
	}
	return l
}

func (s *Service) planLayout(ctx context.Context, t *term, r *adminv1.PlanLayoutRequest) (*adminv1.PlanLayoutResponse, error) {
	seen, err := s.cluster.store.Read(ctx)
	if err != nil {
		return nil, err
	}
	p, err := s.propose(ctx, t, seen, r.GetRate())
	if err != nil {
		return nil, err
	}
	answer := &adminv1.PlanLayoutResponse{Revision: seen.Revision(), After: layoutMessage(p.after), Moved: uint32(p.plan.Moved), UsableBefore: p.plan.UsableBefore,
		UsableAfter: p.plan.UsableAfter, Stored: p.plan.Stored, Bytes: p.plan.Bytes, Rate: p.rate, Obstacle: p.obstacle, Risk: p.risk, Remarks: p.plan.Remarks}
	if p.plan.Duration > 0 {
		answer.Duration = durationpb.New(p.plan.Duration)
	}
	for _, n := range p.plan.Nodes {
		answer.Nodes = append(answer.Nodes, shareMessage(n))
	}
	for _, z := range p.plan.Zones {
		answer.Zones = append(answer.Zones, shareMessage(z))
	}
	return answer, nil
}

func shareMessage(s plan.Share) *adminv1.Share {
	m := &adminv1.Share{Name: s.Zone, Zone: s.Zone, PartitionsBefore: uint32(s.Before.Partitions), PartitionsAfter: uint32(s.After.Partitions),
		CapacityBefore: s.Before.Capacity, CapacityAfter: s.After.Capacity, Gained: uint32(s.Gained), Lost: uint32(s.Lost),
		Received: s.Received, Sent: s.Sent, Unused: s.Unused}
	if s.ID != (chunk.NodeID{}) {
		m.Name = s.ID.String()
	}
	return m
}

func (s *Service) applyLayout(ctx context.Context, t *term, r *adminv1.ApplyLayoutRequest) (*adminv1.ApplyLayoutResponse, error) {
	s.cluster.changing.Lock()
	defer s.cluster.changing.Unlock()
	seen, err := s.cluster.store.Read(ctx)
	if err != nil {
		return nil, err
	}
	if want := r.GetRevision(); want != 0 && want != seen.Revision() {
		return nil, errors.E(errors.Conflict, errors.Layout, "", "the layout or what is staged has changed since the plan %d (it is %d now): look at \"garage layout plan\" again", want, seen.Revision())
	}
	if err := t.follows(seen, s.deps.Clock.Now()); err != nil {
		return nil, err
	}
	p, err := s.propose(ctx, t, seen, 0)
	if err != nil {
		return nil, err
	}
	number := strconv.FormatUint(p.after.Layout.Number, 10)
	switch {
	case p.obstacle != "":
		return nil, errors.E(errors.PreconditionFailed, errors.Layout, number, "%s", p.obstacle)
	case p.risk != "" && !r.GetForce():
		return nil, errors.E(errors.PreconditionFailed, errors.Layout, number, "%s; if you know better, apply it with --force", p.risk)
	}
	if err := s.cluster.store.Publish(ctx, t.lock(), seen, p.after); err != nil {
		return nil, err
	}
	s.noteLayout(fmt.Sprintf("layout %s is in force: %d nodes, %d copies, %d copies of partitions move", number, len(p.after.Layout.Nodes), p.after.Layout.Replication, p.plan.Moved))
	s.deps.Logger.InfoContext(ctx, "layout published", "number", number, "nodes", len(p.after.Layout.Nodes), "copies", p.after.Layout.Replication, "moved", p.plan.Moved)
	return &adminv1.ApplyLayoutResponse{Layout: layoutMessage(p.after)}, nil
}
