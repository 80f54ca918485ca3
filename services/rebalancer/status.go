package rebalancer

import (
	"context"
	"fmt"
	"sync"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/layout"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// GetStatus tells how the cluster is. What does not answer is part of the answer. With Consul the active instance
// answers, to which nodes report; while it cannot be asked, this one says what it knows.
func (s *Service) GetStatus(ctx context.Context, r *adminv1.GetStatusRequest) (*adminv1.GetStatusResponse, error) {
	if s.cluster == nil {
		return s.askAll(ctx)
	}
	answer, err := decided(ctx, s, r, adminv1.AdminServiceClient.GetStatus, s.clusterStatus)
	if unreached(err) {
		return s.clusterStatus(ctx, nil, r)
	}
	return answer, err
}

// askAll asks the nodes of a layout that is a file and their services at the same time how they are. It fails only
// if the metadata store does.
func (s *Service) askAll(ctx context.Context) (*adminv1.GetStatusResponse, error) {
	answer := &adminv1.GetStatusResponse{
		ClusterId: s.deps.ClusterID.String(), Version: s.deps.Version,
		Layout: s.deps.Layout.Number, Replication: uint32(s.deps.Layout.Replication),
		Nodes:    make([]*adminv1.Node, len(s.deps.Layout.Nodes)),
		Services: make([]*adminv1.Service, len(s.deps.Peers)),
	}
	asked, cancel := context.WithTimeout(ctx, s.config.StatusTimeout)
	defer cancel()
	var asking sync.WaitGroup
	var partitions []int
	if s.deps.Assignment != nil {
		partitions = s.deps.Assignment.Slots()
	}
	for i, n := range s.deps.Layout.Nodes {
		asking.Go(func() {
			answer.Nodes[i] = s.nodeStatus(asked, n)
			if partitions != nil {
				answer.Nodes[i].Partitions = uint32(partitions[i])
			}
		})
	}
	for i, p := range s.deps.Peers {
		asking.Go(func() {
			m := &adminv1.Service{Name: p.Name, Address: p.Address, Healthy: true}
			if err := p.Check(asked); err != nil {
				m.Healthy, m.Problem = false, err.Error()
			}
			answer.Services[i] = m
		})
	}
	info, err := s.deps.Store.Info(ctx)
	asking.Wait()
	if err != nil {
		return nil, err
	}
	answer.Buckets, answer.Objects, answer.Bytes, answer.Uploads = info.Buckets, info.Usage.Objects, info.Usage.Bytes, info.Usage.Uploads
	return answer, nil
}

func (s *Service) nodeStatus(ctx context.Context, n layout.Node) *adminv1.Node {
	m := &adminv1.Node{Id: n.ID.String(), Zone: n.Zone, Address: n.Address}
	node, ok := s.deps.Nodes[n.ID]
	if !ok {
		m.Problem = "the layout has this node and nobody knows how to reach it"
		return m
	}
	st, err := node.Status(ctx)
	if err != nil {
		m.Problem = err.Error()
		return m
	}
	m.Alive = true
	fill(m, st)
	switch {
	case st.ID != n.ID:
		m.Problem = fmt.Sprintf("another node answers at this address: %v", st.ID)
	case st.ClusterID != s.deps.ClusterID:
		m.Problem = fmt.Sprintf("the node belongs to another cluster: %v", st.ClusterID)
	}
	return m
}

func fill(m *adminv1.Node, st chunk.NodeStatus) {
	m.Version, m.Problem, m.ReadOnly = st.Version, st.Problem, st.ReadOnly
	m.Chunks, m.Bytes, m.StoredBytes = st.Chunks, st.Bytes, st.StoredBytes
	m.Capacity, m.Free = st.Capacity, st.Free
	m.Owed, m.Quarantined, m.Uncollected = st.Owed, st.Quarantined, st.Uncollected
}
