package rpc

import (
	"context"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/telemetry"
)

// DefaultGrace is how long calls under way may take once a server is asked to stop.
const DefaultGrace = 20 * time.Second

// ServerConfig is what NewServer needs.
type ServerConfig struct {
	// Listener is where to serve; the server closes it.
	Listener net.Listener
	// Identity is what the server presents and demands.
	Identity Identity
	// Grace is how long calls under way may take once the server is asked to stop; zero means DefaultGrace.
	Grace   time.Duration
	Logger  *slog.Logger
	Metrics *telemetry.GRPCMetrics // may be nil
	// Options are added to ServerOptions, such as a codec.
	Options []grpc.ServerOption
}

// Server is a gRPC server as a service of package lifecycle, with the gRPC health service, which says that it is
// serving until Run is asked to end.
type Server struct {
	config ServerConfig
	grpc   *grpc.Server
	health *health.Server
	ready  chan struct{}
}

// NewServer makes a server; register services on GRPC before Run.
func NewServer(c ServerConfig) *Server {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Grace <= 0 {
		c.Grace = DefaultGrace
	}
	options := serverOptions(c.Logger, c.Metrics, c.Identity.Authorize)
	if c.Identity.Server != nil {
		options = append(options, grpc.Creds(c.Identity.Server))
	}
	s := &Server{config: c, grpc: grpc.NewServer(append(options, c.Options...)...), health: health.NewServer(), ready: make(chan struct{})}
	healthv1.RegisterHealthServer(s.grpc, s.health)
	return s
}

// GRPC is where services are registered.
func (s *Server) GRPC() grpc.ServiceRegistrar { return s.grpc }

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.config.Listener.Addr() }

// Ready is closed when the server accepts calls.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run serves until ctx ends; then new calls are refused, and those under way have the time of grace.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.grpc.Serve(s.config.Listener) }()
	close(s.ready)
	select {
	case err := <-served:
		s.grpc.Stop()
		return errors.Wrap(errors.Internal, err, "gRPC server on %s", s.Addr())
	case <-ctx.Done():
	}
	s.health.Shutdown()
	stopped := make(chan struct{})
	go func() { s.grpc.GracefulStop(); close(stopped) }()
	grace := time.NewTimer(s.config.Grace)
	defer grace.Stop()
	select {
	case <-stopped:
	case <-grace.C:
		s.config.Logger.Warn("calls under way are cut: they took longer than the time of grace", "address", s.Addr().String(), "grace", s.config.Grace)
		s.grpc.Stop()
		<-stopped
	}
	return errors.Wrap(errors.Internal, <-served, "gRPC server on %s", s.Addr())
}
