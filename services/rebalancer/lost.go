package rebalancer

import (
	"context"
	"fmt"
	"time"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	"deuxfleurs.fr/garage/services/rebalancer/transition"
)

// surelyAfter is how old a term must be, so that a node which is alive has reported in it, and Consul's checks of one which is not have failed.
const surelyAfter = 30 * time.Second

// surelyAway refuses a node that may be alive though not all sources show it. Kinds: PreconditionFailed.
func surelyAway(n *nodeView, term time.Duration) error {
	var why string
	switch {
	case n.instance != nil && n.instance.Healthy:
		why = "Consul's checks of it pass, so it is alive: stop it first, and wait until they fail"
	case n.seen.present || n.seen.leaving:
		why = "it reports to the active rebalancer, so it is alive, and Consul does not know it"
	case term < surelyAfter:
		why = fmt.Sprintf("whether it is away is not known for sure, since this rebalancer has just become the active one: try again in %s", (surelyAfter - term).Round(time.Second))
	default:
		return nil
	}
	return errors.E(errors.PreconditionFailed, errors.Node, n.id.String(), "%s", why)
}

// DeclareLost gives up a node that will not come back, or says what that would cost.
func (s *Service) DeclareLost(ctx context.Context, r *adminv1.DeclareLostRequest) (*adminv1.DeclareLostResponse, error) {
	return decided(ctx, s, r, adminv1.AdminServiceClient.DeclareLost, s.declareLost)
}

func (s *Service) declareLost(ctx context.Context, t *term, r *adminv1.DeclareLostRequest) (*adminv1.DeclareLostResponse, error) {
	s.cluster.changing.Lock()
	defer s.cluster.changing.Unlock()
	seen, err := s.cluster.store.Read(ctx)
	if err != nil {
		return nil, err
	}
	nodes, err := s.views(ctx, t, seen)
	if err != nil {
		return nil, err
	}
	n, err := find(nodes, r.GetNode())
	if err != nil {
		return nil, err
	}
	switch {
	case n.desired == nil && !n.former:
		return nil, errors.E(errors.NotFound, errors.Node, n.id.String(), "no layout in force has it, so nobody waits for it")
	case n.alive():
		return nil, errors.E(errors.PreconditionFailed, errors.Node, n.id.String(),
			"it is alive: take it out with garage layout remove and garage layout apply, and it hands over what it holds")
	}
	if err := surelyAway(n, s.deps.Clock.Now().Sub(t.began)); err != nil {
		return nil, err
	}
	none, one := transition.Alone(seen.Active, n.id, func(id chunk.NodeID) bool { v := byID(nodes, id); return v != nil && v.alive() })
	answer := &adminv1.DeclareLostResponse{Id: n.id.String(), Partitions: uint32(none), Alone: uint32(one)}
	if !r.GetConfirmed() {
		return answer, nil
	}
	if err := s.cluster.store.DeclareLost(ctx, t.lock(), seen, n.id, s.deps.Clock.Now()); err != nil {
		return nil, err
	}
	s.note(adminv1.EventKind_EVENT_KIND_LAYOUT, adminv1.Severity_SEVERITY_WARNING, n.id.String(),
		fmt.Sprintf("chunk-node %s was declared lost; %d partitions have no other owner alive", n.id, none))
	s.deps.Logger.WarnContext(ctx, "a node was declared lost", "node", n.id, "layouts up to", seen.Active.Number(), "partitions without another owner alive", none)
	answer.Declared = true
	return answer, nil
}
