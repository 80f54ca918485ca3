package s3gateway

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/consul/leader"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
)

const (
	// countEvery is how often the active rebalancer is told what was counted.
	countEvery = 5 * time.Second
	// countTimeout bounds one call.
	countTimeout = 3 * time.Second
)

// Finder says who the active rebalancer is: leader.Finder does.
type Finder interface {
	Follow(ctx context.Context, found func(*leader.Active)) error
}

// Counting tells what a gateway has counted: to the active rebalancer, as a service of package lifecycle, and to who asks at the administration
// address. Its fields are set before it is used.
type Counting struct {
	clusterv1.UnimplementedCountersServiceServer
	NodeID uuid.UUID
	// Process is drawn at random for each start of the program.
	Process  uuid.UUID
	Counters func() *clusterv1.Counters
	Finder   Finder // needed by Run
	Clock    clock.Clock
	Logger   *slog.Logger

	mu     sync.Mutex
	active *leader.Active // nil: nobody
}

// Register adds it to a gRPC server, which is expected to check the operator's token.
func (c *Counting) Register(r grpc.ServiceRegistrar) { clusterv1.RegisterCountersServiceServer(r, c) }

// GetCounters answers who asks.
func (c *Counting) GetCounters(context.Context, *clusterv1.GetCountersRequest) (*clusterv1.GetCountersResponse, error) {
	return &clusterv1.GetCountersResponse{Process: c.Process[:], Counters: c.Counters()}, nil
}

// Run tells the active rebalancer, until ctx ends. While there is none, or it does not answer, nothing is lost but the time between.
func (c *Counting) Run(ctx context.Context) error {
	var work sync.WaitGroup
	work.Go(func() {
		err := c.Finder.Follow(ctx, func(a *leader.Active) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.active = a
		})
		if ctx.Err() == nil {
			c.Logger.Error("the active rebalancer is not followed any more", "error", err)
		}
	})
	said := false
	for {
		err := c.tell(ctx)
		if err != nil && !said && ctx.Err() == nil {
			c.Logger.Warn("the active rebalancer does not take what the gateway counts; it is tried again", "error", err)
		}
		said = err != nil
		if clock.Sleep(ctx, c.Clock, countEvery) != nil {
			work.Wait()
			return nil
		}
	}
}

func (c *Counting) tell(ctx context.Context) error {
	c.mu.Lock()
	active := c.active
	c.mu.Unlock()
	if active == nil {
		return nil // others say loudly that there is none
	}
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	_, err := clusterv1.NewClusterServiceClient(active.Conn).ReportCounters(ctx, &clusterv1.ReportCountersRequest{NodeId: c.NodeID[:], Process: c.Process[:], Counters: c.Counters()})
	return err
}
