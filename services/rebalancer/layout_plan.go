package rebalancer

import (
	"context"
	"fmt"
	"strconv"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/layout/kv"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
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

// next is the layout that would follow, and what it would do.
func next(seen kv.Snapshot) (layout.Placement, plan.Plan, error) {
	if seen.Staged.Empty() {
		return layout.Placement{}, plan.Plan{}, nothingStaged()
	}
	after, err := seen.Staged.Apply(seen.Layout())
	if err != nil {
		return layout.Placement{}, plan.Plan{}, errors.Annotate(err, "what is staged makes no layout yet")
	}
	owners, err := layout.Assign(seen.Assignment(), after)
	if err != nil {
		return layout.Placement{}, plan.Plan{}, err
	}
	return layout.Placement{Layout: after, Assignment: owners}, plan.Make(seen.Layout(), seen.Assignment(), after, owners), nil
}

// obstacle is why a plan cannot be applied, or empty. The first layout has nothing to move.
func obstacle(seen kv.Snapshot, p plan.Plan) string {
	if seen.Active == nil || p.SameOwners() {
		return ""
	}
	return fmt.Sprintf("it would give %d copies of partitions to other nodes and take %d away, and moving data is not part of this version: a published layout can only change in ways that leave each partition with its owners",
		p.Moved, p.Lost)
}

func (s *Service) planLayout(ctx context.Context, _ *term, _ *adminv1.PlanLayoutRequest) (*adminv1.PlanLayoutResponse, error) {
	seen, err := s.cluster.store.Read(ctx)
	if err != nil {
		return nil, err
	}
	after, p, err := next(seen)
	if err != nil {
		return nil, err
	}
	answer := &adminv1.PlanLayoutResponse{Revision: seen.Revision(), After: layoutMessage(after),
		Moved: uint32(p.Moved), UsableBefore: p.UsableBefore, UsableAfter: p.UsableAfter, Obstacle: obstacle(seen, p)}
	for _, n := range p.Nodes {
		answer.Nodes = append(answer.Nodes, shareMessage(n))
	}
	for _, z := range p.Zones {
		answer.Zones = append(answer.Zones, shareMessage(z))
	}
	return answer, nil
}

func shareMessage(s plan.Share) *adminv1.Share {
	m := &adminv1.Share{Name: s.Zone, Zone: s.Zone, PartitionsBefore: uint32(s.Before.Partitions), PartitionsAfter: uint32(s.After.Partitions),
		CapacityBefore: s.Before.Capacity, CapacityAfter: s.After.Capacity, Gained: uint32(s.Gained)}
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
	after, p, err := next(seen)
	if err != nil {
		return nil, err
	}
	if why := obstacle(seen, p); why != "" {
		return nil, errors.E(errors.PreconditionFailed, errors.Layout, strconv.FormatUint(after.Layout.Number, 10), "%s", why)
	}
	if err := s.cluster.store.Publish(ctx, t.lock(), seen, after); err != nil {
		return nil, err
	}
	s.deps.Logger.InfoContext(ctx, "layout published", "number", after.Layout.Number, "nodes", len(after.Layout.Nodes), "copies", after.Layout.Replication)
	return &adminv1.ApplyLayoutResponse{Layout: layoutMessage(after)}, nil
}
