package rebalancer

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// GetLayout tells which nodes there should be, which there are, and what is staged. While the active rebalancer
// cannot be asked, the answer is without what nodes report.
func (s *Service) GetLayout(ctx context.Context, r *adminv1.GetLayoutRequest) (*adminv1.GetLayoutResponse, error) {
	answer, err := decided(ctx, s, r, adminv1.AdminServiceClient.GetLayout, s.getLayout)
	if s.cluster != nil && unreached(err) {
		return s.getLayout(ctx, nil, r)
	}
	return answer, err
}

// unreached reports whether an error says that the active instance gave no answer.
func unreached(err error) bool {
	return errors.Is(err, errors.Unavailable) || errors.Is(err, errors.Deadline)
}

func (s *Service) getLayout(ctx context.Context, t *term, _ *adminv1.GetLayoutRequest) (*adminv1.GetLayoutResponse, error) {
	snapshot, err := s.cluster.store.Read(ctx)
	if err != nil {
		return nil, err
	}
	nodes, err := s.views(ctx, t, snapshot)
	if err != nil {
		return nil, err
	}
	history, err := s.cluster.store.History(ctx)
	if err != nil {
		return nil, err
	}
	answer := &adminv1.GetLayoutResponse{Staged: changeMessage(snapshot.Staged), Revision: snapshot.Revision(), History: history}
	if snapshot.Active != nil {
		answer.Current, answer.Oldest = layoutMessage(snapshot.Active.Current()), snapshot.Active.Oldest()
	}
	if r := snapshot.Recovered; r != nil {
		answer.Recovered = &adminv1.RecoveredLayout{Layout: r.Layout, Lost: r.Lost, From: r.From.String(), At: timestamppb.New(r.At)}
	}
	answer.Problem = t.forgotten(snapshot.Layout().Number)
	answer.Waiting = s.waiting(t, snapshot, nodes)
	for _, l := range snapshot.Lost {
		answer.Lost = append(answer.Lost, &adminv1.LostNode{Node: l.Node.String(), Layout: l.Layout, At: timestamppb.New(l.At)})
	}
	answer.Nodes = messages(nodes, s.deps.Clock.Now())
	return answer, nil
}

func layoutMessage(p layout.Placement) *adminv1.Layout {
	l, a := p.Layout, p.Assignment
	m := &adminv1.Layout{Number: l.Number, Replication: uint32(l.Replication), Usable: a.Usable()}
	slots := a.Slots()
	for i, n := range l.Nodes {
		node := layoutNodeMessage(n)
		node.Partitions = uint32(slots[i])
		m.Nodes = append(m.Nodes, node)
	}
	return m
}

func layoutNodeMessage(n layout.Node) *adminv1.LayoutNode {
	return &adminv1.LayoutNode{Id: n.ID.String(), Zone: n.Zone, Capacity: n.Capacity, Tokens: uint32(n.Tokens)}
}

func changeMessage(c layout.Change) *adminv1.LayoutChange {
	m := &adminv1.LayoutChange{Replication: uint32(c.Replication)}
	for _, n := range c.Assign {
		m.Assign = append(m.Assign, layoutNodeMessage(n))
	}
	for _, id := range c.Remove {
		m.Remove = append(m.Remove, id.String())
	}
	return m
}
