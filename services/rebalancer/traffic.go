package rebalancer

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"deuxfleurs.fr/garage/pkg/consul"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
)

const (
	gatewayName = "s3-gateway"
	nodeName    = "chunk-node"
	// countsFor is how long counters say how a service is: gateways tell them every few seconds.
	countsFor = 20 * time.Second
)

// ReportCounters takes note of what a gateway has counted. Kinds: Unavailable if this instance is not the active one; Invalid.
func (n *clusterServer) ReportCounters(_ context.Context, r *clusterv1.ReportCountersRequest) (*clusterv1.ReportCountersResponse, error) {
	if _, err := n.here(); err != nil {
		return nil, err
	}
	id, process, err := reporter(r.GetNodeId(), r.GetProcess())
	if err != nil {
		return nil, err
	}
	n.counts.put(id.String(), string(process[:]), gatewayCounters(r.GetCounters()), n.deps.Clock.Now())
	return &clusterv1.ReportCountersResponse{}, nil
}

// GetTraffic tells what gateways and chunk-nodes have counted: with Consul as they have told the active instance, else as they say when they are
// asked; chunk-nodes tell it with Consul only.
func (s *Service) GetTraffic(ctx context.Context, r *adminv1.GetTrafficRequest) (*adminv1.GetTrafficResponse, error) {
	return commanded(ctx, s, r, adminv1.AdminServiceClient.GetTraffic, s.getTraffic)
}

func (s *Service) getTraffic(ctx context.Context, _ *term, _ *adminv1.GetTrafficRequest) (*adminv1.GetTrafficResponse, error) {
	var all []*adminv1.ServiceTraffic
	if s.cluster == nil {
		all = s.askCounters(ctx)
	} else {
		now := s.deps.Clock.Now()
		for name, service := range map[string]string{gatewayName: consul.ServiceGateway, nodeName: consul.ServiceChunkNode} {
			for _, i := range s.deps.Consul.Watch(service).Instances() {
				m := &adminv1.ServiceTraffic{Name: name, NodeId: i.NodeID.String(), Machine: i.Machine, Zone: i.Zone, Address: i.Address}
				at := s.counts.fill(m.GetNodeId(), m)
				if at.IsZero() {
					m.Problem = "it has not told what it counts since this rebalancer became the active one"
				} else if m.At = timestamppb.New(at); now.Sub(at) > countsFor {
					m.Problem, m.Rates = fmt.Sprintf("it has not told what it counts for %s", now.Sub(at).Round(time.Second)), nil
				}
				all = append(all, m)
			}
		}
	}
	sortTraffic(all)
	return sum(all), nil
}

// askCounters asks the peers of a cluster without Consul.
func (s *Service) askCounters(ctx context.Context) []*adminv1.ServiceTraffic {
	ctx, cancel := context.WithTimeout(ctx, s.config.StatusTimeout)
	defer cancel()
	var mu sync.Mutex
	var all []*adminv1.ServiceTraffic
	var asking sync.WaitGroup
	for _, p := range s.deps.Peers {
		if p.Counters == nil {
			continue
		}
		asking.Go(func() {
			m := &adminv1.ServiceTraffic{Name: p.Name, Address: p.Address}
			answer, err := p.Counters(ctx)
			if err == nil {
				s.counts.put(p.Name+"/"+p.Address, string(answer.GetProcess()), gatewayCounters(answer.GetCounters()), s.deps.Clock.Now())
			} else {
				m.Problem = err.Error()
			}
			if at := s.counts.fill(p.Name+"/"+p.Address, m); !at.IsZero() {
				m.At = timestamppb.New(at)
			}
			if err != nil {
				m.Rates = nil
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, m)
		})
	}
	asking.Wait()
	return all
}

// sum adds up what gateways have counted: requests of clients.
func sum(all []*adminv1.ServiceTraffic) *adminv1.GetTrafficResponse {
	answer := &adminv1.GetTrafficResponse{Services: all, Counters: &adminv1.Counters{}}
	c := answer.GetCounters()
	for _, m := range all {
		if m.GetName() != gatewayName {
			continue
		}
		o := m.GetCounters()
		c.Requests, c.Errors, c.Refused = c.GetRequests()+o.GetRequests(), c.GetErrors()+o.GetErrors(), c.GetRefused()+o.GetRefused()
		c.BytesReceived, c.BytesSent = c.GetBytesReceived()+o.GetBytesReceived(), c.GetBytesSent()+o.GetBytesSent()
		if r := m.GetRates(); r != nil {
			if answer.Rates == nil {
				answer.Rates = &adminv1.Rates{}
			}
			t := answer.GetRates()
			t.Requests, t.Errors, t.Refused = t.GetRequests()+r.GetRequests(), t.GetErrors()+r.GetErrors(), t.GetRefused()+r.GetRefused()
			t.BytesReceived, t.BytesSent = t.GetBytesReceived()+r.GetBytesReceived(), t.GetBytesSent()+r.GetBytesSent()
		}
	}
	return answer
}

// sortTraffic puts gateways first, and those of a sort in the order of their IDs and addresses.
func sortTraffic(all []*adminv1.ServiceTraffic) {
	slices.SortFunc(all, func(a, b *adminv1.ServiceTraffic) int {
		return cmp.Or(cmp.Compare(b.GetName(), a.GetName()), cmp.Compare(a.GetNodeId(), b.GetNodeId()), cmp.Compare(a.GetAddress(), b.GetAddress()))
	})
}
