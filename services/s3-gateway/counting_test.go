package s3gateway

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/consul/leader"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
)

// listener is a rebalancer that is told counters.
type listener struct {
	clusterv1.UnimplementedClusterServiceServer
	told chan *clusterv1.ReportCountersRequest
}

func (l *listener) ReportCounters(_ context.Context, r *clusterv1.ReportCountersRequest) (*clusterv1.ReportCountersResponse, error) {
	l.told <- r
	return &clusterv1.ReportCountersResponse{}, nil
}

// always finds the same one.
type always struct{ active *leader.Active }

func (a always) Follow(ctx context.Context, found func(*leader.Active)) error {
	found(a.active)
	<-ctx.Done()
	return ctx.Err()
}

func TestTheActiveRebalancerIsToldWhatTheGatewayCounts(t *testing.T) {
	address, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer()
	l := &listener{told: make(chan *clusterv1.ReportCountersRequest)}
	clusterv1.RegisterClusterServiceServer(server, l)
	manual := clock.NewManual(time.Unix(1_700_000_000, 0))
	var n atomic.Int64
	c := &Counting{NodeID: uuid.New(), Process: uuid.New(), Clock: manual, Logger: slog.New(slog.DiscardHandler),
		Counters: func() *clusterv1.Counters { return &clusterv1.Counters{Requests: n.Add(1)} }}
	c.Register(server)
	var work sync.WaitGroup
	work.Go(func() { _ = server.Serve(address) })
	conn, err := grpc.NewClient(address.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	asked, err := clusterv1.NewCountersServiceClient(conn).GetCounters(t.Context(), &clusterv1.GetCountersRequest{})
	require.NoError(t, err)
	require.Equal(t, int64(1), asked.GetCounters().GetRequests())
	require.Equal(t, c.Process[:], asked.GetProcess())

	c.Finder = always{&leader.Active{Conn: conn}}
	ctx, cancel := context.WithCancel(context.Background())
	work.Go(func() { _ = c.Run(ctx) })
	for want := int64(2); want < 5; want++ {
		var told *clusterv1.ReportCountersRequest
		require.Eventually(t, func() bool {
			select {
			case told = <-l.told:
				return true
			default:
				manual.Advance(countEvery)
				return false
			}
		}, time.Minute, time.Millisecond)
		require.Equal(t, want, told.GetCounters().GetRequests())
		require.Equal(t, c.NodeID[:], told.GetNodeId())
	}
	cancel()
	require.NoError(t, conn.Close())
	server.Stop()
	work.Wait()
}
