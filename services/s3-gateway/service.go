package s3gateway

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/connlimit"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/telemetry"
	"deuxfleurs.fr/garage/pkg/tlsfiles"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
	"deuxfleurs.fr/garage/services/s3-gateway/accesslog"
	"deuxfleurs.fr/garage/services/s3-gateway/api"
	"deuxfleurs.fr/garage/services/s3-gateway/body"
	"deuxfleurs.fr/garage/services/s3-gateway/checksum"
)

const (
	headerTimeout = 15 * time.Second
	// cutTimeout is how long requests whose connections were cut may take to end.
	cutTimeout = 5 * time.Second
	// maxHeader is what net/http reads at most; the API refuses much less, with an S3 error.
	maxHeader = 64 << 10
)

// Deps are what the service works with.
type Deps struct {
	Meta       meta.Store
	Chunks     chunk.Store
	Identities identity.Source
	Pool       *buffer.Pool // memory of the process for bodies
	Clock      clock.Clock
	Random     clock.Random
	Logger     *slog.Logger
	Registry   prometheus.Registerer // nil: metrics are not published
	Tracing    *telemetry.Tracing    // nil: off
	Listener   net.Listener          // closed by the service; nil: it listens on Config.Listen
	// Wrap puts something before the service's handler; nil: nothing.
	Wrap func(http.Handler) http.Handler
}

// Service serves S3.
type Service struct {
	config   Config
	deps     Deps
	hashers  *checksum.Hashers
	access   *accesslog.Log // nil: off
	handler  http.Handler
	counters *api.Counters
	listener net.Listener
	tls      *tls.Config
	ready    chan struct{}
}

// New makes the service and opens its address. Kinds: Invalid if a setting is wrong. Call Run after it.
func New(c Config, d Deps) (*Service, error) {
	if d.Meta == nil || d.Chunks == nil || d.Identities == nil || d.Pool == nil || d.Clock == nil || d.Random == nil || d.Logger == nil {
		return nil, errors.Newf(errors.Invalid, "the S3 gateway needs metadata, chunks, identities, memory, a clock, a source of randomness and a logger")
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	bodies, err := c.bodies(d.Pool.Limit())
	if err != nil {
		return nil, err
	}
	s := &Service{config: c, deps: d, hashers: checksum.NewHashers(), listener: d.Listener, ready: make(chan struct{})}
	if s.access, err = accesslog.Open(c.AccessLog, d.Registry); err != nil {
		return nil, err
	}
	handler, err := api.New(api.Config{
		Region: c.Region, Strict: c.Strict, RootDomains: c.RootDomains, MaxRequests: c.MaxRequests,
		StepTimeout: c.StepTimeout, IdleTimeout: c.IdleTimeout, MinRate: int(c.MinRate), CacheTime: c.CacheTime, TrustTrace: c.TrustTrace,
	}, api.Deps{
		Meta:   d.Meta,
		Bodies: body.New(bodies, body.Deps{Meta: d.Meta, Chunks: d.Chunks, Pool: d.Pool, Clock: d.Clock, Random: d.Random, Log: d.Logger}),
		Pool:   d.Pool, Identities: d.Identities, Hashers: s.hashers,
		Clock: d.Clock, Random: d.Random, Log: d.Logger, Metrics: d.Registry, Tracing: d.Tracing, Access: s.access,
	})
	if err != nil {
		return nil, err
	}
	s.handler, s.counters = handler.Handler(), handler.Counters()
	if d.Wrap != nil {
		s.handler = d.Wrap(s.handler)
	}
	if c.TLS.Enabled() {
		cert, err := tlsfiles.Load(c.TLS, d.Logger, nil)
		if err != nil {
			return nil, err
		}
		telemetry.RegisterCertificate(d.Registry, "s3", cert.Current)
		s.tls = cert.Server("h2", "http/1.1")
	}
	if s.listener == nil {
		if s.listener, err = net.Listen("tcp", c.Listen); err != nil {
			return nil, errors.Wrap(errors.Unavailable, err, "opening the address of the S3 server (setting listen)")
		}
	}
	return s, nil
}

// Handler serves S3 over HTTP without Run, for tests.
func (s *Service) Handler() http.Handler { return s.handler }

// Counters is what the service has counted since its start.
func (s *Service) Counters() *clusterv1.Counters {
	c := s.counters
	return &clusterv1.Counters{Requests: c.Requests.Load(), Errors: c.Errors.Load(), Refused: c.Refused.Load(), BytesReceived: c.BytesReceived.Load(), BytesSent: c.BytesSent.Load()}
}

// Addr is the address that the service listens on.
func (s *Service) Addr() net.Addr { return s.listener.Addr() }

// Ready is closed when requests are accepted.
func (s *Service) Ready() <-chan struct{} { return s.ready }

// Run serves until ctx ends; then it finishes the requests under way, for at most Config.Grace. Those that take longer are cut.
func (s *Service) Run(ctx context.Context) error {
	defer s.hashers.Close()
	serving, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	requests := &underWay{next: s.handler, idle: make(chan struct{}, 1)}
	server := s.server(serving, requests)
	listener := connlimit.New(s.config.MaxConnections).Guard(server, s.listener)
	failed := make(chan error, 1)
	go func() {
		if s.tls != nil {
			failed <- server.ServeTLS(listener, "", "")
		} else {
			failed <- server.Serve(listener)
		}
	}()
	reopening := make(chan struct{})
	defer func() { <-reopening }()
	// The log takes the requests of the grace period too, and those that are cut.
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go func() {
		defer close(reopening)
		s.access.Follow(following, s.deps.Logger)
	}()
	close(s.ready)
	s.deps.Logger.Info("serving S3", "address", s.listener.Addr().String(), "region", s.config.Region, "tls", s.tls != nil)
	select {
	case err := <-failed:
		return errors.Wrap(errors.Unavailable, err, "serving S3")
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.Grace)
	defer cancel()
	err := server.Shutdown(grace)
	if err != nil {
		cut(api.ErrStopped)
		_ = server.Close()
		err = errors.Wrap(errors.Deadline, err, "finishing the requests under way")
		if left := requests.wait(cutTimeout); left > 0 {
			s.deps.Logger.Warn("requests did not end after their connections were cut; the access log lacks them", "requests", left)
		}
	}
	<-failed
	return err
}

func (s *Service) server(serving context.Context, handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		BaseContext:       func(net.Listener) context.Context { return serving },
		TLSConfig:         s.tls,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       s.config.KeepAlive,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.deps.Logger.Handler(), slog.LevelDebug),
	}
}
