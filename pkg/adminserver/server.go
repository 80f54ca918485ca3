package adminserver

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"path"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"deuxfleurs.fr/garage/pkg/connlimit"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/rpc"
	"deuxfleurs.fr/garage/pkg/telemetry"
	"deuxfleurs.fr/garage/pkg/tlsfiles"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10

	maxConnections = 256
)

// Config is where and how to serve.
type Config struct {
	Listen   string          `conf:"listen" flag:"admin" help:"address of the administration server (gRPC and HTTP)"`
	Token    string          `conf:"token" help:"token that administrators present; by default the one in admin.token of the data folder" secret:"true"`
	Insecure bool            `conf:"insecure" help:"serves beyond loopback without TLS, for links that are protected otherwise"`
	TLS      tlsfiles.Config `conf:"tls"`
}

// Deps are what a Server works with.
type Deps struct {
	Listener net.Listener // closed by the server
	Token    string       // what Token returned
	Logger   *slog.Logger
	Registry *prometheus.Registry
}

// Server is the administration server as a service of package lifecycle.
type Server struct {
	log      *slog.Logger
	token    string
	listener net.Listener
	tls      *tls.Config
	grpc     *grpc.Server
	health   *health.Server
	mux      *http.ServeMux // needs the token
	open     *http.ServeMux // guards itself
	ready    chan struct{}
	grace    time.Duration
}

// New makes a server. Register gRPC services on GRPC and pages with Handle before Run.
func New(c Config, d Deps) (*Server, error) {
	if d.Token == "" {
		return nil, errors.Newf(errors.Invalid, "the administration server needs a token")
	}
	s := &Server{
		log: d.Logger, token: d.Token, listener: d.Listener, health: health.NewServer(), mux: http.NewServeMux(), open: http.NewServeMux(),
		ready: make(chan struct{}), grace: rpc.DefaultGrace,
		grpc: grpc.NewServer(rpc.ServerOptions(d.Logger, telemetry.NewServerMetrics(d.Registry))...),
	}
	if c.TLS.Enabled() {
		certificate, err := tlsfiles.Load(c.TLS, d.Logger, nil)
		if err != nil {
			return nil, errors.Wrap(errors.Invalid, err, "setting admin.tls")
		}
		telemetry.RegisterCertificate(d.Registry, "admin", certificate.Current)
		s.tls = certificate.Server("h2", "http/1.1")
	} else if !c.Insecure && !rpc.IsLoopback(d.Listener.Addr().String()) {
		return nil, errors.E(errors.Invalid, errors.Setting, "admin.listen",
			"%s is reachable from other machines and would receive the token in clear: set admin.tls.cert and admin.tls.key, listen on 127.0.0.1, or set admin.insecure if the link is protected otherwise", d.Listener.Addr())
	}
	healthv1.RegisterHealthServer(s.grpc, s.health)
	s.SetServing(false)
	s.mux.Handle("GET /metrics", telemetry.MetricsHandler(d.Registry))
	s.mux.HandleFunc("/debug/pprof/", pprof.Index)
	s.mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	s.mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	s.mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	s.mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return s, nil
}

// GRPC is where gRPC services are registered; they need the token.
func (s *Server) GRPC() grpc.ServiceRegistrar { return s.grpc }

// Handle adds a page, which needs the token. Patterns are those of http.ServeMux.
func (s *Server) Handle(pattern string, h http.Handler) { s.mux.Handle(pattern, h) }

// HandleOpen adds pages that anybody can reach: h guards them itself, or they hold nothing that needs it. Patterns are those
// of http.ServeMux; where a page of Handle has the same path, the open one answers.
func (s *Server) HandleOpen(pattern string, h http.Handler) { s.open.Handle(pattern, h) }

// Knows reports whether that is the operator's token, in a time that does not depend on what is presented. It is for pages of
// [Server.HandleOpen], which guard themselves.
func (s *Server) Knows(token string) bool { return sameToken(token, s.token) }

// SetServing decides what /healthz and the gRPC health service answer. It starts as false.
func (s *Server) SetServing(serving bool) {
	state := healthv1.HealthCheckResponse_NOT_SERVING
	if serving {
		state = healthv1.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus("", state)
}

// Token is what administrators present, for calls that the program makes in their name to another one.
func (s *Server) Token() string { return s.token }

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Ready is closed when the server accepts connections.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// ServeHTTP decides who may do what and hands the request on.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	isGRPC := r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
	switch {
	case isGRPC && strings.HasPrefix(r.URL.Path, "/grpc.health.v1.Health/"):
		s.grpc.ServeHTTP(w, r)
	case !isGRPC && r.URL.Path == "/healthz":
		s.healthz(w, r)
	case !isGRPC && s.isOpen(r):
		s.open.ServeHTTP(w, r)
	case !s.authorized(r):
		refuse(w, isGRPC)
	case isGRPC:
		s.grpc.ServeHTTP(w, r)
	default:
		s.mux.ServeHTTP(w, r)
	}
}

// isOpen tells whether an open page is at exactly that address. One that only leads there when it is tidied up needs the token, as
// all others do.
func (s *Server) isOpen(r *http.Request) bool {
	if r.URL.Path == "" || path.Clean(r.URL.Path) != strings.TrimSuffix(r.URL.Path, "/") && r.URL.Path != "/" {
		return false
	}
	_, pattern := s.open.Handler(r)
	return pattern != ""
}

func (s *Server) authorized(r *http.Request) bool {
	header := r.Header.Get("Authorization")
	if token, ok := strings.CutPrefix(header, "Bearer "); ok {
		return sameToken(token, s.token)
	}
	_, password, ok := r.BasicAuth()
	return ok && sameToken(password, s.token)
}

// why is what a caller without the token is told.
const why = "the admin token is missing or wrong; it is in admin.token of the server's data folder"

// Authorize refuses a call of the admin API without the token, and lets others pass: it is the Authorize of an [rpc.Identity] that does
// not prove who calls. method is given in full. Kinds: Unauthenticated.
func (s *Server) Authorize(ctx context.Context, method string) error {
	if !strings.HasPrefix(method, "/"+adminv1.AdminService_ServiceDesc.ServiceName+"/") {
		return nil
	}
	for _, header := range metadata.ValueFromIncomingContext(ctx, "authorization") {
		if token, ok := strings.CutPrefix(header, "Bearer "); ok && sameToken(token, s.token) {
			return nil
		}
	}
	return errors.Newf(errors.Unauthenticated, "%s: %s (rebalancers hand commands on only where all have the same: set %s)", method, why, TokenEnv)
}

func refuse(w http.ResponseWriter, isGRPC bool) {
	if isGRPC {
		// An answer of headers alone, as gRPC calls it.
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", "16")
		w.Header().Set("Grpc-Message", why)
		w.WriteHeader(http.StatusOK)
		return
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="Garage administration: any user, the token as password"`)
	http.Error(w, why, http.StatusUnauthorized)
}

func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	answer, err := s.health.Check(r.Context(), &healthv1.HealthCheckRequest{})
	if err != nil || answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		http.Error(w, "starting, stopping or not able to serve; the log says why", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if _, err := w.Write([]byte("ok\n")); err != nil {
		s.log.DebugContext(r.Context(), "the health answer was not read", "error", err)
	}
}

// Run serves until ctx ends; then requests under way have a time of grace.
func (s *Server) Run(ctx context.Context) error {
	server := &http.Server{
		Handler: s, TLSConfig: s.tls, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), Protocols: new(http.Protocols),
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetHTTP2(true)
	server.Protocols.SetUnencryptedHTTP2(s.tls == nil)
	listener := connlimit.New(maxConnections).Guard(server, s.listener)
	served := make(chan error, 1)
	go func() {
		if s.tls != nil {
			served <- server.ServeTLS(listener, "", "")
		} else {
			served <- server.Serve(listener)
		}
	}()
	close(s.ready)
	select {
	case err := <-served:
		s.grpc.Stop()
		return errors.Wrap(errors.Internal, err, "administration server on %s", s.Addr())
	case <-ctx.Done():
	}
	s.health.Shutdown()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.grace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		s.log.Warn("administration requests under way are cut: they took longer than the time of grace", "grace", s.grace)
		if err := server.Close(); err != nil {
			s.log.Debug("closing the administration server", "error", err)
		}
	}
	s.grpc.Stop()
	if err := <-served; !errors.IsTarget(err, http.ErrServerClosed) {
		return errors.Wrap(errors.Internal, err, "administration server on %s", s.Addr())
	}
	return nil
}
