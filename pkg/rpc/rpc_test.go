package rpc

import (
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/telemetry"
)

// probe is a service with a unary call and a stream whose behaviour each test decides.
type probe struct {
	unary  func(ctx context.Context) error
	stream func(ctx context.Context) error
}

const (
	unaryMethod  = "/garage.test.Probe/Unary"
	streamMethod = "/garage.test.Probe/Stream"
)

func (p *probe) description() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: "garage.test.Probe",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Unary", Handler: func(srv any, ctx context.Context, dec func(any) error, in grpc.UnaryServerInterceptor) (any, error) {
			req := &healthv1.HealthCheckRequest{}
			if err := dec(req); err != nil {
				return nil, err
			}
			return in(ctx, req, &grpc.UnaryServerInfo{Server: srv, FullMethod: unaryMethod}, func(ctx context.Context, _ any) (any, error) {
				return &healthv1.HealthCheckResponse{}, p.unary(ctx)
			})
		}}},
		Streams: []grpc.StreamDesc{{StreamName: "Stream", ServerStreams: true, Handler: func(_ any, stream grpc.ServerStream) error {
			return p.stream(stream.Context())
		}}},
	}
}

// start serves the probe and returns a connection, the metrics of both sides, and what stops the server.
func start(t *testing.T, p *probe, grace time.Duration) (*grpc.ClientConn, *prometheus.Registry, func() error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	registry := prometheus.NewRegistry()
	server := NewServer(ServerConfig{Listener: listener, Grace: grace, Logger: slog.New(slog.DiscardHandler), Metrics: telemetry.NewServerMetrics(registry)})
	server.grpc.RegisterService(p.description(), p)
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- server.Run(ctx) }()
	<-server.Ready()
	telemetry.NewServerMetrics(registry) // a second server of the same program shares them
	conn, err := Dial(listener.Addr().String(), nil, telemetry.NewClientMetrics(registry))
	require.NoError(t, err)
	stopped := false
	stop := func() error { stopped = true; cancel(); return <-result }
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		if !stopped {
			require.NoError(t, stop())
		}
	})
	return conn, registry, stop
}

func callUnary(ctx context.Context, conn *grpc.ClientConn) error {
	return conn.Invoke(ctx, unaryMethod, &healthv1.HealthCheckRequest{}, &healthv1.HealthCheckResponse{})
}

func callStream(ctx context.Context, conn *grpc.ClientConn) error {
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, streamMethod)
	if err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return stream.RecvMsg(&healthv1.HealthCheckResponse{})
}

func TestKindsRequestIDsAndMetricsCrossTheWire(t *testing.T) {
	var seen []string
	handle := func(ctx context.Context) error {
		seen = append(seen, telemetry.RequestID(ctx))
		return errors.E(errors.NotFound, errors.Bucket, "photos", "no such bucket")
	}
	conn, registry, _ := start(t, &probe{unary: handle, stream: handle}, time.Minute)
	ctx := telemetry.WithRequestID(context.Background(), "0123456789ABCDEF")
	for _, call := range []func(context.Context, *grpc.ClientConn) error{callUnary, callStream} {
		err := call(ctx, conn)
		require.True(t, errors.IsEntity(err, errors.NotFound, errors.Bucket), "%v", err)
		require.ErrorContains(t, err, "no such bucket")
	}
	require.Equal(t, []string{"0123456789ABCDEF", "0123456789ABCDEF"}, seen)
	for _, side := range []string{"garage_grpc_server_finished_total", "garage_grpc_client_finished_total"} {
		count, err := testutil.GatherAndCount(registry, side)
		require.NoError(t, err)
		require.Equal(t, 2, count, side)
	}
}

func TestARequestIDThatIsNoneIsDropped(t *testing.T) {
	var seen string
	conn, _, _ := start(t, &probe{unary: func(ctx context.Context) error { seen = telemetry.RequestID(ctx); return nil }}, time.Minute)
	require.NoError(t, callUnary(telemetry.WithRequestID(context.Background(), "evil line"), conn))
	require.Empty(t, seen)
}

func TestUnaryCallsHaveADeadlineAndStreamsEnd(t *testing.T) {
	var bounded bool
	conn, _, _ := start(t, &probe{
		unary:  func(ctx context.Context) error { _, bounded = ctx.Deadline(); return nil },
		stream: func(context.Context) error { return nil },
	}, time.Minute)
	require.NoError(t, callUnary(context.Background(), conn))
	require.True(t, bounded)
	require.Equal(t, io.EOF, callStream(context.Background(), conn))
}

func TestAPanicFailsOneCallOnly(t *testing.T) {
	calls := 0
	conn, _, _ := start(t, &probe{unary: func(context.Context) error {
		if calls++; calls == 1 {
			panic("mistake")
		}
		return nil
	}}, time.Minute)
	err := callUnary(context.Background(), conn)
	require.True(t, errors.Is(err, errors.Internal), "%v", err)
	require.NotContains(t, err.Error(), "mistake")
	require.NoError(t, callUnary(context.Background(), conn))
}

func TestStoppingFinishesCallsUnderWay(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	conn, _, stop := start(t, &probe{unary: func(context.Context) error { close(begun); <-release; return nil }}, time.Minute)
	result := make(chan error, 1)
	go func() { result <- callUnary(context.Background(), conn) }()
	<-begun
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	close(release)
	require.NoError(t, <-result)
	require.NoError(t, <-stopped)
}

func TestStoppingCutsCallsAfterTheTimeOfGrace(t *testing.T) {
	begun := make(chan struct{})
	conn, _, stop := start(t, &probe{unary: func(ctx context.Context) error { close(begun); <-ctx.Done(); return ctx.Err() }}, time.Millisecond)
	result := make(chan error, 1)
	go func() { result <- callUnary(context.Background(), conn) }()
	<-begun
	require.NoError(t, stop())
	require.Error(t, <-result)
}
