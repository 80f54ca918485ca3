package rebalancer

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"deuxfleurs.fr/garage/pkg/chunk/remote"
	"deuxfleurs.fr/garage/pkg/layout"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

// GetStatus tells how the cluster is. What does not answer is part of the answer. With Consul the active instance
// answers, to which nodes report; while it cannot be asked, this one says what it knows.
func (s *Service) GetStatus(ctx context.Context, r *adminv1.GetStatusRequest) (*adminv1.GetStatusResponse, error) {
	if s.cluster == nil {
		return s.askAll(ctx, r), nil
	}
	answer, err := decided(ctx, s, r, adminv1.AdminServiceClient.GetStatus, s.clusterStatus)
	if unreached(err) {
		return s.clusterStatus(ctx, nil, r)
	}
	return answer, err
}

// askAll asks the nodes of a layout that is a file and their services at the same time how they are.
func (s *Service) askAll(ctx context.Context, r *adminv1.GetStatusRequest) *adminv1.GetStatusResponse {
	current := s.deps.Layouts.Current()
	answer := &adminv1.GetStatusResponse{
		ClusterId: s.deps.ClusterID.String(), Version: s.deps.Version,
		Layout: current.Layout.Number, OldestLayout: s.deps.Layouts.Oldest(), Replication: uint32(current.Layout.Replication),
	}
	asked, cancel := context.WithTimeout(ctx, s.config.StatusTimeout)
	defer cancel()
	var asking sync.WaitGroup
	asking.Go(func() { answer.Nodes, answer.Services = s.ask(asked) })
	answer.Problem = s.askMetadata(asked, r, answer)
	asking.Wait()
	return answer
}

// miss says in an answer that a part gave none, and returns that.
func miss(answer *adminv1.GetStatusResponse, part adminv1.StatusPart, format string, args ...any) string {
	problem := fmt.Sprintf(format, args...)
	answer.Unreached = append(answer.Unreached, &adminv1.Unreached{Part: part, Problem: problem})
	return problem
}

// missed reports whether a part gave no answer.
func missed(answer *adminv1.GetStatusResponse, part adminv1.StatusPart) bool {
	return slices.ContainsFunc(answer.GetUnreached(), func(u *adminv1.Unreached) bool { return u.GetPart() == part })
}

// askMetadata adds to an answer how much there is, or returns why that is not known.
func (s *Service) askMetadata(ctx context.Context, r *adminv1.GetStatusRequest, answer *adminv1.GetStatusResponse) (problem string) {
	if r.GetNodesOnly() {
		return ""
	}
	info, err := s.deps.Store.Info(ctx)
	if err != nil {
		return miss(answer, adminv1.StatusPart_STATUS_PART_METADATA, "no metadata service tells how many buckets, objects and uploads there are, and clients are not served without one: is one running, and does its database answer? (%v)", err)
	}
	answer.Buckets, answer.Objects, answer.Bytes, answer.Uploads = info.Buckets, info.Usage.Objects, info.Usage.Bytes, info.Usage.Uploads
	return ""
}

// ask asks the nodes of a layout that is a file, and their services.
func (s *Service) ask(asked context.Context) ([]*adminv1.Node, []*adminv1.Service) {
	current, nodes := s.deps.Layouts.Current(), s.deps.Layouts.Nodes()
	answer, services := make([]*adminv1.Node, len(nodes)), make([]*adminv1.Service, len(s.deps.Peers))
	var asking sync.WaitGroup
	partitions := current.Assignment.Slots()
	for i, n := range nodes {
		asking.Go(func() {
			answer[i] = s.nodeStatus(asked, n)
			if at := current.Layout.Index(n.ID); at >= 0 {
				answer[i].Partitions = uint32(partitions[at])
			}
		})
	}
	for i, p := range s.deps.Peers {
		asking.Go(func() {
			m := &adminv1.Service{Name: p.Name, Address: p.Address, Healthy: true}
			if err := p.Check(asked); err != nil {
				m.Healthy, m.Problem = false, err.Error()
			}
			services[i] = m
		})
	}
	asking.Wait()
	clearUncompared(answer)
	return answer, services
}

func (s *Service) nodeStatus(ctx context.Context, n layout.Node) *adminv1.Node {
	m := &adminv1.Node{Id: n.ID.String(), Zone: n.Zone, Address: n.Address}
	node, err := s.deps.Node(n.ID)
	if err != nil {
		m.Problem = err.Error()
		return m
	}
	st, err := node.Status(ctx)
	if err != nil {
		m.Problem = err.Error()
		return m
	}
	m.Alive, m.Problem = true, st.Problem
	fill(m, remote.StatusTo(st), s.deps.Clock.Now())
	switch {
	case st.ID != n.ID:
		m.Problem = fmt.Sprintf("another node answers at this address: %v", st.ID)
	case st.ClusterID != s.deps.ClusterID:
		m.Problem = fmt.Sprintf("the node belongs to another cluster: %v", st.ClusterID)
	}
	return m
}

// fill takes over what a node says about itself.
func fill(m *adminv1.Node, st *chunknodev1.StatusResponse, now time.Time) {
	m.Version, m.ReadOnly = st.GetVersion(), st.GetReadOnly()
	m.Chunks, m.Bytes, m.StoredBytes = st.GetChunks(), st.GetBytes(), st.GetStoredBytes()
	m.Capacity, m.Free = st.GetCapacity(), st.GetFree()
	m.Owed, m.Quarantined, m.Uncollected = st.GetOwed(), st.GetQuarantined(), st.GetUncollected()
	m.Layout, m.Walked, m.Foreign, m.Wanted, m.Trashed = st.GetLayout(), st.GetWalked(), st.GetForeign(), st.GetWanted(), st.GetTrashed()
	m.Damaged, m.Mended, m.Uncompared = st.GetDamaged(), st.GetMended(), st.GetUncompared()
	m.Tasks = taskMessages(st.GetTasks(), now)
	for _, d := range st.GetDisks() {
		m.Disks = append(m.Disks, &adminv1.Disk{Path: d.GetPath(), Capacity: d.GetCapacity(), Free: d.GetFree(), Failed: d.GetFailed()})
	}
}
