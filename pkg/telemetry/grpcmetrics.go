package telemetry

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// GRPCMetrics counts calls, their failures and their durations, by service, method and status code.
type GRPCMetrics struct {
	started  *prometheus.CounterVec
	finished *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

// NewServerMetrics makes and registers the metrics of calls that are served.
func NewServerMetrics(r prometheus.Registerer) *GRPCMetrics { return newGRPCMetrics(r, "grpc_server") }

// NewClientMetrics makes and registers the metrics of calls that are made.
func NewClientMetrics(r prometheus.Registerer) *GRPCMetrics { return newGRPCMetrics(r, "grpc_client") }

func newGRPCMetrics(r prometheus.Registerer, subsystem string) *GRPCMetrics {
	m := &GRPCMetrics{
		started: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: Namespace, Subsystem: subsystem,
			Name: "started_total", Help: "Calls begun."}, []string{"service", "method"}),
		finished: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: Namespace, Subsystem: subsystem,
			Name: "finished_total", Help: "Calls ended, by status code."}, []string{"service", "method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: Namespace, Subsystem: subsystem,
			Name: "duration_seconds", Help: "Duration of calls.", Buckets: LatencyBuckets}, []string{"service", "method"}),
	}
	m.started, m.finished, m.seconds = register(r, m.started), register(r, m.finished), register(r, m.seconds)
	return m
}

// register registers a metric, or returns the one that another server of the program has registered.
func register[C prometheus.Collector](r prometheus.Registerer, c C) C {
	err := r.Register(c)
	var there prometheus.AlreadyRegisteredError
	if errors.As(err, &there) {
		if same, ok := there.ExistingCollector.(C); ok {
			return same
		}
	}
	if err != nil {
		panic(err) // a mistake in the program: another metric has this name
	}
	return c
}

// begin counts a call and returns what to call at its end.
func (m *GRPCMetrics) begin(fullMethod string) func(error) {
	service, method, _ := strings.Cut(strings.TrimPrefix(fullMethod, "/"), "/")
	m.started.WithLabelValues(service, method).Inc()
	begun := time.Now()
	return func(err error) {
		m.seconds.WithLabelValues(service, method).Observe(time.Since(begun).Seconds())
		m.finished.WithLabelValues(service, method, codeOf(err)).Inc()
	}
}

func codeOf(err error) string {
	if s, ok := status.FromError(err); ok {
		return s.Code().String()
	}
	switch s := status.FromContextError(err); s.Code() {
	case codes.Canceled, codes.DeadlineExceeded:
		return s.Code().String()
	}
	return codes.Unknown.String()
}

// UnaryServer measures calls that are served.
func (m *GRPCMetrics) UnaryServer(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	end := m.begin(info.FullMethod)
	resp, err := handler(ctx, req)
	end(err)
	return resp, err
}

// StreamServer measures streams that are served.
func (m *GRPCMetrics) StreamServer(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	end := m.begin(info.FullMethod)
	err := handler(srv, stream)
	end(err)
	return err
}

// UnaryClient measures calls that are made.
func (m *GRPCMetrics) UnaryClient(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	end := m.begin(method)
	err := invoker(ctx, method, req, reply, cc, opts...)
	end(err)
	return err
}

// StreamClient measures streams that are opened, until they end.
func (m *GRPCMetrics) StreamClient(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	// gRPC calls this at the end of the stream, also of one that could not be opened; then maybe twice.
	end := m.begin(method)
	var once sync.Once
	finish := grpc.OnFinish(func(err error) { once.Do(func() { end(err) }) })
	return streamer(ctx, desc, cc, method, append(opts, finish)...)
}
