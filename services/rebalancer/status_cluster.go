package rebalancer

import (
	"context"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"deuxfleurs.fr/garage/pkg/consul"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// clusterStatus is how a cluster with Consul is. t is nil where this instance is not the active one.
func (s *Service) clusterStatus(ctx context.Context, t *term, r *adminv1.GetStatusRequest) (*adminv1.GetStatusResponse, error) {
	answer := &adminv1.GetStatusResponse{ClusterId: s.deps.ClusterID.String(), Version: s.deps.Version}
	answer.Services = s.services()
	var problems []string
	if !s.deps.Consul.Up() {
		problems = append(problems, miss(answer, adminv1.StatusPart_STATUS_PART_CONSUL, "Consul does not answer, and what it said last is shown: start its servers again, and look at the agent on this machine"))
	}
	if t == nil {
		_, err := s.here()
		problems = append(problems, miss(answer, adminv1.StatusPart_STATUS_PART_REBALANCER, "what nodes report is missing, because the active rebalancer gives no answer (%v)", err))
	}
	snapshot, err := s.cluster.lastSnapshot(ctx)
	if err != nil {
		problems = append(problems, err.Error())
	}
	if l := snapshot.Layout(); l.Number > 0 {
		answer.Layout, answer.OldestLayout, answer.Replication = l.Number, snapshot.Active.Oldest(), uint32(l.Replication)
	} else if err == nil && t.highest() == 0 {
		problems = append(problems, "no layout is in force, so nothing can be stored: say which nodes hold the data with garage layout assign and garage layout apply")
	}
	if err == nil {
		if forgotten := t.forgotten(snapshot.Layout().Number); forgotten != "" {
			problems = append(problems, forgotten)
		}
	}
	nodes, err := s.views(ctx, t, snapshot)
	if err != nil {
		problems = append(problems, err.Error())
	}
	answer.Waiting = s.waiting(t, snapshot, nodes)
	answer.Nodes = messages(nodes, s.deps.Clock.Now())
	if answer.Database, err = s.database(ctx); err != nil {
		problems = append(problems, err.Error())
	}
	asked, cancel := context.WithTimeout(ctx, s.config.StatusTimeout)
	defer cancel()
	if problem := s.askMetadata(asked, r, answer); problem != "" {
		problems = append(problems, problem)
	}
	answer.Problem = strings.Join(problems, "; ")
	return answer, nil
}

// database is when the machines of the database were repaired.
func (s *Service) database(ctx context.Context) ([]*adminv1.DatabaseMachine, error) {
	machines, err := s.deps.Consul.DatabaseRepairs(ctx)
	var all []*adminv1.DatabaseMachine
	for _, m := range machines {
		said := &adminv1.DatabaseMachine{Machine: m.Name}
		if !m.Repaired.IsZero() {
			said.Repaired = timestamppb.New(m.Repaired)
		}
		all = append(all, said)
	}
	return all, err
}

// services are those that Consul knows, without the chunk-nodes.
func (s *Service) services() []*adminv1.Service {
	all := []*adminv1.Service{}
	_, active := s.cluster.seat.get()
	for _, name := range []string{consul.ServiceGateway, consul.ServiceMetadata, consul.ServiceRebalancer} {
		instances := s.deps.Consul.Watch(name).Instances()
		for _, i := range instances {
			m := &adminv1.Service{Name: strings.TrimPrefix(name, "garage-"), Address: i.Address, Healthy: i.Healthy, Machine: i.Machine, Zone: i.Zone, Version: i.Version, NodeId: i.NodeID.String()}
			if !i.Healthy {
				m.Problem = "Consul's checks of it fail"
			}
			m.Active = name == consul.ServiceRebalancer && active != nil && active.NodeID == i.NodeID
			all = append(all, m)
		}
		if len(instances) == 0 {
			all = append(all, &adminv1.Service{Name: strings.TrimPrefix(name, "garage-"), Problem: "Consul knows none: is one running?"})
		}
	}
	return all
}
