package rebalancer

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/durationpb"

	"deuxfleurs.fr/garage/pkg/diagnose"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
)

// diagnoseTimeout is how long a part may take: as long as it measures, and the way.
const diagnoseTimeout = diagnose.Timeout + 2*time.Second

// Diagnose asks a program what only it can see.
type Diagnose func(ctx context.Context) (*clusterv1.DiagnoseResponse, error)

// Part is another program of the cluster that can be asked.
type Part struct {
	Service  string    // "s3-gateway", "metadata", "chunk-node" or "rebalancer"
	NodeID   uuid.UUID // the zero ID where it is not known
	Machine  string
	Address  string
	Diagnose Diagnose
}

// Diagnose has every program measure what only it can see, this one too. A part that does not answer is part of the answer. Any rebalancer
// answers, also without Consul and without a layout.
func (s *Service) Diagnose(ctx context.Context, _ *adminv1.DiagnoseRequest) (*adminv1.DiagnoseResponse, error) {
	var parts []Part
	if s.deps.Diagnosis != nil {
		parts = append(parts, Part{Service: "rebalancer", Diagnose: func(ctx context.Context) (*clusterv1.DiagnoseResponse, error) {
			return s.deps.Diagnosis(ctx, &clusterv1.DiagnoseRequest{})
		}})
	}
	if s.deps.Parts != nil {
		parts = append(parts, s.deps.Parts()...)
	}
	ctx, cancel := context.WithTimeout(ctx, diagnoseTimeout)
	defer cancel()
	answer := &adminv1.DiagnoseResponse{Parts: make([]*adminv1.Part, len(parts))}
	var asking sync.WaitGroup
	for i, p := range parts {
		asking.Go(func() { answer.Parts[i] = s.diagnose(ctx, p) })
	}
	asking.Wait()
	return answer, nil
}

func (s *Service) diagnose(ctx context.Context, p Part) *adminv1.Part {
	m := &adminv1.Part{Service: p.Service, Machine: p.Machine, Address: p.Address}
	if p.NodeID != uuid.Nil {
		m.NodeId = p.NodeID.String()
	}
	sent := s.deps.Clock.Now()
	d, err := p.Diagnose(ctx)
	back := s.deps.Clock.Now()
	if err != nil {
		m.Problem = err.Error()
		return m
	}
	m.Diagnosis = d
	if d.GetService() != "" {
		m.Service, m.NodeId = d.GetService(), d.GetNodeId()
	}
	ahead, uncertain := compareClocks(sent, d.GetReceived().AsTime(), d.GetAnswered().AsTime(), back)
	m.Clock, m.ClockError = durationpb.New(ahead), durationpb.New(uncertain)
	return m
}

// compareClocks is how far another clock is ahead, as NTP reckons it from when a request was sent here, received and answered there, and
// its answer was back here; it is wrong by half of the time on the way at most.
func compareClocks(sent, received, answered, back time.Time) (ahead, uncertain time.Duration) {
	ahead = (received.Sub(sent) + answered.Sub(back)) / 2
	return ahead, max(0, (back.Sub(sent)-answered.Sub(received))/2)
}
