package report

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/consul/leader"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/rpc"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
)

var (
	node    = uuid.MustParse("00000000-0000-4000-8000-000000000001")
	cluster = uuid.MustParse("00000000-0000-4000-8000-0000000000aa")
)

// long is more than anything here takes.
const long = time.Minute

// rebalancer answers as a test says, and keeps what it was told.
type rebalancer struct {
	clusterv1.UnimplementedClusterServiceServer
	active  leader.Active
	refuses error
	leave   func(n int) *clusterv1.LeaveResponse // n counts from 1; nil: not to be asked
	reports chan *clusterv1.ReportRequest        // without the first message of a stream

	mu    sync.Mutex
	asked int
}

// serve starts a rebalancer with a term.
func serve(t *testing.T, term uint64, change func(*rebalancer)) *rebalancer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer(rpc.ServerOptions(slog.New(slog.DiscardHandler), nil)...)
	conn, err := rpc.Dial(listener.Addr().String(), nil, nil)
	require.NoError(t, err)
	r := &rebalancer{reports: make(chan *clusterv1.ReportRequest, 1000),
		active: leader.Active{Leader: leader.Leader{NodeID: uuid.New(), Address: listener.Addr().String(), Term: term}, Conn: conn}}
	if change != nil {
		change(r)
	}
	clusterv1.RegisterClusterServiceServer(server, r)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		server.Stop()
		require.NoError(t, <-done)
	})
	return r
}

func (r *rebalancer) Report(stream grpc.BidiStreamingServer[clusterv1.ReportRequest, clusterv1.ReportResponse]) error {
	if r.refuses != nil {
		return r.refuses
	}
	if _, err := stream.Recv(); err != nil {
		return err
	}
	if err := stream.Send(&clusterv1.ReportResponse{Term: r.active.Term}); err != nil {
		return err
	}
	for {
		report, err := stream.Recv()
		if err != nil {
			return err
		}
		select {
		case r.reports <- report:
		default:
		}
	}
}

func (r *rebalancer) Leave(context.Context, *clusterv1.LeaveRequest) (*clusterv1.LeaveResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leave == nil {
		return nil, errors.Newf(errors.Unavailable, "this rebalancer is not the active one")
	}
	r.asked++
	return r.leave(r.asked), nil
}

func (r *rebalancer) grant(int) *clusterv1.LeaveResponse {
	return &clusterv1.LeaveResponse{Granted: true, Term: r.active.Term, ValidFor: durationpb.New(long)}
}

func refuse(int) *clusterv1.LeaveResponse {
	return &clusterv1.LeaveResponse{Reason: "another owner is away", RetryAfter: durationpb.New(time.Millisecond)}
}

// finder hands on who is active.
type finder chan *leader.Active

func (f finder) Follow(ctx context.Context, found func(*leader.Active)) error {
	for {
		select {
		case a := <-f:
			found(a)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func start(t *testing.T, c Config) (*Reporter, finder) {
	t.Helper()
	f := make(finder)
	r := New(c, Deps{NodeID: node, Process: uuid.New(), Finder: f, Clock: clock.System{}, Logger: slog.New(slog.DiscardHandler),
		Status: func(context.Context) (chunk.NodeStatus, error) {
			return chunk.NodeStatus{ID: node, ClusterID: cluster, Chunks: 12}, nil
		},
		Traffic:    func() *clusterv1.Traffic { return &clusterv1.Traffic{Reads: 7} },
		Collection: func() *clusterv1.Collection { return &clusterv1.Collection{Collected: 3} },
		Term:       func() uint64 { return 4 }})
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { r.Run(ctx) })
	t.Cleanup(func() { cancel(); work.Wait() })
	return r, f
}

func quick() Config {
	return Config{Interval: 5 * time.Millisecond, LeaveTimeout: long, LeaveWithout: long}
}

func next(t *testing.T, r *rebalancer) *clusterv1.ReportRequest {
	t.Helper()
	select {
	case report := <-r.reports:
		return report
	case <-time.After(long):
		t.Fatal("no report")
		return nil
	}
}

func TestTheActiveRebalancerIsToldHowTheNodeIs(t *testing.T) {
	one, two := serve(t, 1, nil), serve(t, 2, nil)
	_, active := start(t, quick())
	active <- &one.active
	report := next(t, one)
	require.Equal(t, node[:], report.GetNodeId())
	require.False(t, report.GetLeaving())
	require.EqualValues(t, 12, report.GetStatus().GetChunks())
	require.EqualValues(t, 7, report.GetTraffic().GetReads())
	require.EqualValues(t, 3, report.GetCollection().GetCollected())
	next(t, one)

	active <- &two.active
	next(t, two)
	active <- nil
	active <- &two.active
	for len(two.reports) > 0 {
		<-two.reports
	}
	next(t, two)
}

func TestALeaderOfAnOlderTermIsNotObeyed(t *testing.T) {
	old, current := serve(t, 5, nil), serve(t, 9, nil)
	old.leave = old.grant
	r, active := start(t, quick())
	active <- &current.active
	next(t, current)
	active <- &old.active
	left := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { defer close(left); r.Leave(ctx) }()
	require.Eventually(t, func() bool { old.mu.Lock(); defer old.mu.Unlock(); return old.asked >= 2 }, long, time.Millisecond)
	require.Empty(t, old.reports)
	select {
	case <-left:
		t.Fatal("it left with the leave of an older term")
	default:
	}
	cancel()
	<-left
}

func TestTheNodeStopsWhenItIsGivenLeaveAndSaysSo(t *testing.T) {
	b := serve(t, 1, nil)
	b.leave = func(n int) *clusterv1.LeaveResponse {
		if n < 3 {
			return refuse(n)
		}
		return b.grant(n)
	}
	r, active := start(t, Config{Interval: long, LeaveTimeout: long, LeaveWithout: long})
	active <- &b.active
	require.False(t, next(t, b).GetLeaving())
	r.Leave(t.Context())
	require.Equal(t, 3, b.asked)
	require.True(t, next(t, b).GetLeaving(), "at once, whatever the interval")
}

func TestALeaveThatComesTooLateIsAskedForAgain(t *testing.T) {
	b := serve(t, 1, nil)
	b.leave = func(n int) *clusterv1.LeaveResponse {
		answer := b.grant(n)
		if n == 1 {
			answer.ValidFor = durationpb.New(0)
		}
		return answer
	}
	r, active := start(t, quick())
	active <- &b.active
	next(t, b)
	r.Leave(t.Context())
	require.Equal(t, 2, b.asked)
}

func TestRefusalIsWaitedOutOnlySoLong(t *testing.T) {
	b := serve(t, 1, nil)
	b.leave = refuse
	c := quick()
	c.LeaveTimeout = 50 * time.Millisecond
	r, active := start(t, c)
	active <- &b.active
	next(t, b)
	began := time.Now()
	r.Leave(t.Context())
	require.GreaterOrEqual(t, time.Since(began), c.LeaveTimeout)
	require.True(t, r.leaving)
}

func TestWithoutARebalancerTheNodeStopsSoon(t *testing.T) {
	c := quick()
	c.LeaveWithout = 10 * time.Millisecond
	for name, found := range map[string]*leader.Active{"nobody": nil, "one that stands by": &serve(t, 1, nil).active} {
		r, active := start(t, c)
		if found != nil {
			active <- found
		}
		r.Leave(t.Context())
		require.True(t, r.leaving, name)
	}
}

func TestAStreamThatIsRefusedIsOpenedAgain(t *testing.T) {
	b := serve(t, 1, func(r *rebalancer) { r.refuses = errors.Newf(errors.Unavailable, "not the active one") })
	good := serve(t, 2, nil)
	_, active := start(t, quick())
	active <- &b.active
	active <- &good.active
	next(t, good)
}
