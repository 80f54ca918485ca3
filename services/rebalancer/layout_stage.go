package rebalancer

import (
	"context"
	"fmt"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/layout/kv"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// AssignNode stages that a node is in the layout, or is so in another way.
func (s *Service) AssignNode(ctx context.Context, r *adminv1.AssignNodeRequest) (*adminv1.AssignNodeResponse, error) {
	return decided(ctx, s, r, adminv1.AdminServiceClient.AssignNode, s.assignNode)
}

// RemoveNode stages that a node is no longer in the layout.
func (s *Service) RemoveNode(ctx context.Context, r *adminv1.RemoveNodeRequest) (*adminv1.RemoveNodeResponse, error) {
	return decided(ctx, s, r, adminv1.AdminServiceClient.RemoveNode, s.removeNode)
}

// SetReplication stages a number of copies.
func (s *Service) SetReplication(ctx context.Context, r *adminv1.SetReplicationRequest) (*adminv1.SetReplicationResponse, error) {
	return decided(ctx, s, r, adminv1.AdminServiceClient.SetReplication, s.setReplication)
}

// DropLayout forgets what is staged.
func (s *Service) DropLayout(ctx context.Context, r *adminv1.DropLayoutRequest) (*adminv1.DropLayoutResponse, error) {
	return decided(ctx, s, r, adminv1.AdminServiceClient.DropLayout, s.dropLayout)
}

// change makes another of what is staged and returns it. It happens only if nobody else changes the layout meanwhile, and only while t lasts.
func (s *Service) change(ctx context.Context, t *term, with func(seen kv.Snapshot, nodes []*nodeView) (layout.Change, error)) (layout.Change, error) {
	s.cluster.changing.Lock()
	defer s.cluster.changing.Unlock()
	seen, err := s.cluster.store.Read(ctx)
	if err != nil {
		return layout.Change{}, err
	}
	nodes, err := s.views(ctx, t, seen)
	if err != nil {
		return layout.Change{}, err
	}
	changed, err := with(seen, nodes)
	if err != nil {
		return layout.Change{}, err
	}
	if err := s.cluster.store.Stage(ctx, t.lock(), seen, changed); err != nil {
		return layout.Change{}, err
	}
	s.noteLayout(fmt.Sprintf("a change of the layout is staged: %d nodes assigned, %d taken out", len(changed.Assign), len(changed.Remove)))
	s.deps.Logger.InfoContext(ctx, "layout change staged", "assign", len(changed.Assign), "remove", len(changed.Remove), "replication", changed.Replication)
	return changed, nil
}

func (s *Service) assignNode(ctx context.Context, t *term, r *adminv1.AssignNodeRequest) (*adminv1.AssignNodeResponse, error) {
	var assigned layout.Node
	staged, err := s.change(ctx, t, func(seen kv.Snapshot, nodes []*nodeView) (layout.Change, error) {
		view, err := find(withStaged(nodes, seen.Staged), r.GetNode())
		if err != nil {
			return layout.Change{}, err
		}
		if assigned, err = assignment(view, r); err != nil {
			return layout.Change{}, err
		}
		return seen.Staged.WithNode(assigned)
	})
	if err != nil {
		return nil, err
	}
	return &adminv1.AssignNodeResponse{Node: layoutNodeMessage(assigned), Staged: changeMessage(staged)}, nil
}

// assignment is the node as the layout is to have it. What the operator does not say is what the node says about itself.
func assignment(view *nodeView, r *adminv1.AssignNodeRequest) (layout.Node, error) {
	n := layout.Node{ID: view.id, Zone: r.GetZone(), Capacity: r.GetCapacity(), Tokens: int(r.GetTokens())}
	if n.Zone == "" && view.instance != nil {
		n.Zone = view.instance.Zone
	}
	if n.Zone == "" {
		return layout.Node{}, errors.E(errors.Invalid, errors.Node, view.id.String(), "it does not say which zone it is in: give one with --zone")
	}
	switch status := view.seen.report.GetStatus(); {
	case n.Tokens > 0:
	case n.Capacity > 0:
		n.Tokens = layout.ProposeTokens(n.Capacity)
	case status != nil:
		// What its chunks take now is also for it to hold.
		n.Tokens = layout.ProposeTokens(uint64(max(0, min(status.GetFree()+status.GetStoredBytes(), status.GetCapacity()))))
	default:
		return layout.Node{}, errors.E(errors.Unavailable, errors.Node, view.id.String(),
			"how much it can hold is not known, because it does not report: wait until it does, or say it with --capacity SIZE")
	}
	return n, nil
}

// withStaged adds nodes that are staged and of which nothing else is known.
func withStaged(nodes []*nodeView, staged layout.Change) []*nodeView {
	for _, n := range staged.Assign {
		if byID(nodes, n.ID) == nil {
			nodes = append(nodes, &nodeView{id: n.ID})
		}
	}
	return nodes
}

func (s *Service) removeNode(ctx context.Context, t *term, r *adminv1.RemoveNodeRequest) (*adminv1.RemoveNodeResponse, error) {
	var removed chunk.NodeID
	staged, err := s.change(ctx, t, func(seen kv.Snapshot, nodes []*nodeView) (layout.Change, error) {
		view, err := find(withStaged(nodes, seen.Staged), r.GetNode())
		if err != nil {
			return layout.Change{}, err
		}
		removed = view.id
		changed := seen.Staged.WithoutNode(view.id, seen.Layout())
		if len(changed.Assign) == len(seen.Staged.Assign) && len(changed.Remove) == 0 {
			return layout.Change{}, errors.E(errors.NotFound, errors.Node, view.id.String(), "it is neither in the layout nor staged")
		}
		return changed, nil
	})
	if err != nil {
		return nil, err
	}
	return &adminv1.RemoveNodeResponse{Id: removed.String(), Staged: changeMessage(staged)}, nil
}

func (s *Service) setReplication(ctx context.Context, t *term, r *adminv1.SetReplicationRequest) (*adminv1.SetReplicationResponse, error) {
	staged, err := s.change(ctx, t, func(seen kv.Snapshot, _ []*nodeView) (layout.Change, error) {
		return seen.Staged.WithReplication(int(r.GetReplication()), seen.Layout())
	})
	if err != nil {
		return nil, err
	}
	return &adminv1.SetReplicationResponse{Staged: changeMessage(staged)}, nil
}

func (s *Service) dropLayout(ctx context.Context, t *term, _ *adminv1.DropLayoutRequest) (*adminv1.DropLayoutResponse, error) {
	s.cluster.changing.Lock()
	defer s.cluster.changing.Unlock()
	seen, err := s.cluster.store.Read(ctx)
	if err != nil {
		return nil, err
	}
	if seen.Staged.Empty() {
		return nil, nothingStaged()
	}
	if err := s.cluster.store.Stage(ctx, t.lock(), seen, layout.Change{}); err != nil {
		return nil, err
	}
	s.noteLayout("the staged change of the layout was dropped")
	s.deps.Logger.InfoContext(ctx, "staged layout change dropped")
	return &adminv1.DropLayoutResponse{Dropped: changeMessage(seen.Staged)}, nil
}

func nothingStaged() error {
	return errors.E(errors.PreconditionFailed, errors.Layout, "", "nothing is staged: stage a change with garage layout assign, remove or replication")
}

// lock is what changes of the layout are tied to.
func (t *term) lock() kv.Lock { return kv.Lock{Key: t.held.Key, Session: t.held.Session} }
