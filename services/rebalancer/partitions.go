package rebalancer

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	"deuxfleurs.fr/garage/services/rebalancer/partitions"
)

// GetPartitions tells for each partition who has it, and how many good copies there are. Nodes are asked for their gaps at that moment, and only
// those that say in their status that anything is missing.
func (s *Service) GetPartitions(ctx context.Context, r *adminv1.GetPartitionsRequest) (*adminv1.GetPartitionsResponse, error) {
	return commanded(ctx, s, r, adminv1.AdminServiceClient.GetPartitions, s.getPartitions)
}

func (s *Service) getPartitions(ctx context.Context, t *term, r *adminv1.GetPartitionsRequest) (*adminv1.GetPartitionsResponse, error) {
	active, nodes, err := s.nodesNow(ctx, t)
	if err != nil {
		return nil, err
	}
	answer := &adminv1.GetPartitionsResponse{}
	if active != nil {
		gaps, problems := s.gaps(ctx, nodes)
		fillPartitions(answer, active, nodes, gaps)
		answer.Problems = problems
	}
	if r.GetCountsOnly() {
		answer.Nodes, answer.Partitions = nil, nil
	}
	if answer.Revision, err = revisionOf(answer); err != nil {
		return nil, err
	}
	if r.GetRevision() == answer.Revision {
		return &adminv1.GetPartitionsResponse{Revision: answer.Revision}, nil
	}
	return answer, nil
}

// nodesNow are the layouts in force (nil: none yet) and what is known of all nodes now.
func (s *Service) nodesNow(ctx context.Context, t *term) (*layout.Active, map[string]*adminv1.Node, error) {
	nodes := map[string]*adminv1.Node{}
	if s.cluster == nil {
		asked, cancel := context.WithTimeout(ctx, s.config.StatusTimeout)
		defer cancel()
		all, _ := s.ask(asked)
		for _, n := range all {
			nodes[n.GetId()] = n
		}
		return s.deps.Layouts, nodes, nil
	}
	snapshot, err := s.cluster.lastSnapshot(ctx)
	if err != nil && snapshot.Active == nil {
		return nil, nil, err
	}
	views, err := s.views(ctx, t, snapshot)
	if err != nil {
		return nil, nil, err
	}
	for _, n := range messages(views, s.deps.Clock.Now()) {
		nodes[n.GetId()] = n
	}
	return snapshot.Active, nodes, nil
}

// gaps asks the nodes that have any.
func (s *Service) gaps(ctx context.Context, nodes map[string]*adminv1.Node) (all map[chunk.NodeID]*chunk.Gaps, problems []string) {
	var asked []*nodeView
	for _, n := range nodes {
		broken := slices.ContainsFunc(n.GetDisks(), func(d *adminv1.Disk) bool { return d.GetFailed() != "" })
		if id, err := uuid.Parse(n.GetId()); err == nil && n.GetAlive() && (n.GetWanted() > 0 || n.GetOwed() > 0 || broken) {
			asked = append(asked, &nodeView{id: id})
		}
	}
	all = make(map[chunk.NodeID]*chunk.Gaps)
	var mu sync.Mutex
	s.askEach(ctx, asked, func(ctx context.Context, i int, node Node, err error) {
		var g *chunk.Gaps
		if err == nil {
			g, err = node.Gaps(ctx)
		}
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			problems = append(problems, fmt.Sprintf("node %v: %v", asked[i].id, err))
			return
		}
		all[asked[i].id] = g
	})
	slices.Sort(problems)
	return all, problems
}

func fillPartitions(answer *adminv1.GetPartitionsResponse, a *layout.Active, nodes map[string]*adminv1.Node, gaps map[chunk.NodeID]*chunk.Gaps) {
	current := a.Current().Layout
	answer.Layout, answer.OldestLayout, answer.Replication = current.Number, a.Oldest(), uint32(current.Replication)
	for _, n := range a.Nodes() {
		said := nodes[n.ID.String()]
		answer.Nodes = append(answer.Nodes, &adminv1.PartitionNode{Id: n.ID.String(), Zone: n.Zone, Machine: said.GetMachine(), Alive: said.GetAlive()})
	}
	answer.ByCopies = make([]uint32, layout.MaxReplication+1)
	answer.ByState = make([]uint32, len(adminv1.PartitionState_name))
	for _, p := range partitions.Look(a, partitions.Nodes{
		Alive: func(id chunk.NodeID) bool { return nodes[id.String()].GetAlive() },
		Sure:  func(id chunk.NodeID) bool { return !nodes[id.String()].GetUncompared() },
		Gaps:  func(id chunk.NodeID) *chunk.Gaps { return gaps[id] },
	}) {
		state := adminv1.PartitionState(p.State + 1)
		answer.Partitions = append(answer.Partitions, &adminv1.Partition{Owners: wide(p.Owners), Former: wide(p.Former), Lacking: wide(p.Lacking),
			Copies: uint32(p.Copies), State: state})
		answer.ByCopies[p.Copies]++
		answer.ByState[state]++
	}
	for len(answer.ByCopies) > current.Replication+1 && answer.ByCopies[len(answer.ByCopies)-1] == 0 {
		answer.ByCopies = answer.ByCopies[:len(answer.ByCopies)-1]
	}
}

func wide(all []uint16) []uint32 {
	var wide []uint32
	for _, n := range all {
		wide = append(wide, uint32(n))
	}
	return wide
}

// revisionOf is a number that differs where answers do; never 0.
func revisionOf(answer *adminv1.GetPartitionsResponse) (uint64, error) {
	content, err := (proto.MarshalOptions{Deterministic: true}).Marshal(answer)
	if err != nil {
		return 0, errors.Wrap(errors.Internal, err, "partitions")
	}
	sum := fnv.New64a()
	if _, err := sum.Write(content); err != nil {
		return 0, errors.Wrap(errors.Internal, err, "partitions")
	}
	return sum.Sum64() | 1, nil
}
