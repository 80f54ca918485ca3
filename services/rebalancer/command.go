package rebalancer

import (
	"context"
	"sync"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/remote"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/rpc"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

// CommandNodes starts, stops or slows down background work of chunk-nodes. What a node answers, or that it does not, is
// part of the answer.
func (s *Service) CommandNodes(ctx context.Context, r *adminv1.CommandNodesRequest) (*adminv1.CommandNodesResponse, error) {
	if r.GetTask() == chunknodev1.Task_TASK_UNSPECIFIED || chunknodev1.Task_name[int32(r.GetTask())] == "" {
		return nil, errors.Newf(errors.Invalid, "say which task: rebalance, repair, scrub, collection or long collection")
	}
	if r.GetRate() < -1 {
		return nil, errors.Newf(errors.Invalid, "a rate is a number of bytes a second, or -1 for no limit, not %d", r.GetRate())
	}
	return commanded(ctx, s, r, adminv1.AdminServiceClient.CommandNodes, s.commandNodes)
}

func (s *Service) commandNodes(ctx context.Context, t *term, r *adminv1.CommandNodesRequest) (*adminv1.CommandNodesResponse, error) {
	nodes, err := s.named(ctx, t, r.GetNodes())
	if err != nil {
		return nil, err
	}
	command := chunk.Command{Task: chunk.Task(r.GetTask()), Start: r.GetStart(), Rate: r.GetRate(), Confirm: r.GetConfirmUpTo()}
	if t != nil {
		command.Term = t.number
	}
	answer := &adminv1.CommandNodesResponse{Nodes: make([]*adminv1.Commanded, len(nodes))}
	s.askEach(ctx, nodes, func(ctx context.Context, i int, node Node, err error) {
		m := &adminv1.Commanded{Node: nodes[i].id.String()}
		answer.Nodes[i] = m
		var status chunk.TaskStatus
		if err == nil {
			status, err = node.Command(ctx, command)
		}
		if err != nil {
			m.Problem = err.Error()
			return
		}
		m.Task = taskMessage(remote.TaskTo(status), s.deps.Clock.Now())
	})
	s.deps.Logger.InfoContext(ctx, "nodes were told", "task", rpc.EnumText(r.GetTask()), "start", r.GetStart(), "rate", r.GetRate(), "nodes", len(nodes))
	return answer, nil
}

// named are the nodes that an operator names; all of the layouts in force without names, but those that were given up.
func (s *Service) named(ctx context.Context, t *term, names []string) ([]*nodeView, error) {
	all, err := s.allNodes(ctx, t)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return matching(all, func(n *nodeView) bool {
			return (n.desired != nil || n.former) && n.state() != adminv1.NodeState_NODE_STATE_LOST
		}), nil
	}
	var nodes []*nodeView
	for _, name := range names {
		n, err := find(all, name)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// allNodes are the nodes that are known: with Consul as views has them, else those of the layouts.
func (s *Service) allNodes(ctx context.Context, t *term) ([]*nodeView, error) {
	if s.cluster != nil {
		snapshot, err := s.cluster.lastSnapshot(ctx)
		if err != nil && snapshot.Active == nil {
			return nil, err
		}
		return s.views(ctx, t, snapshot)
	}
	var all []*nodeView
	for _, n := range s.deps.Layouts.Nodes() {
		all = append(all, &nodeView{id: n.ID, desired: &n})
	}
	return all, nil
}

// askEach calls ask for each node at the same time, with the node or why it cannot be reached, and returns when all have answered or
// the time for that is over.
func (s *Service) askEach(ctx context.Context, nodes []*nodeView, ask func(ctx context.Context, i int, node Node, err error)) {
	ctx, cancel := context.WithTimeout(ctx, s.config.StatusTimeout)
	defer cancel()
	var asking sync.WaitGroup
	for i, n := range nodes {
		asking.Go(func() {
			node, err := s.deps.Node(n.id)
			ask(ctx, i, node, err)
		})
	}
	asking.Wait()
}
