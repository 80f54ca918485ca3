package adminserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/rpc"
	"deuxfleurs.fr/garage/pkg/tlsfiles"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

const token = "0123456789abcdef0123456789abcdef"

// secured is the health service under another name, which therefore needs the token.
var secured = grpc.ServiceDesc{
	ServiceName: "garage.test.Secured", HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Call", Handler: func(srv any, ctx context.Context, dec func(any) error, in grpc.UnaryServerInterceptor) (any, error) {
		req := &healthv1.HealthCheckRequest{}
		if err := dec(req); err != nil {
			return nil, err
		}
		return in(ctx, req, &grpc.UnaryServerInfo{FullMethod: "/garage.test.Secured/Call"}, func(context.Context, any) (any, error) {
			return nil, errors.E(errors.NotFound, errors.Bucket, "b", "reached")
		})
	}}},
}

func start(t *testing.T, c Config, listen string) (*Server, func() error) {
	t.Helper()
	listener, err := net.Listen("tcp", listen)
	require.NoError(t, err)
	s, err := New(c, Deps{Listener: listener, Token: token, Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	require.NoError(t, err)
	s.grpc.RegisterService(&secured, nil)
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- s.Run(ctx) }()
	<-s.Ready()
	stopped := false
	stop := func() error { stopped = true; cancel(); return <-result }
	t.Cleanup(func() {
		if !stopped {
			require.NoError(t, stop())
		}
	})
	return s, stop
}

func get(t *testing.T, s *Server, path string, edit func(*http.Request)) (int, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+s.Addr().String()+path, nil)
	require.NoError(t, err)
	if edit != nil {
		edit(r)
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

func bearerHeader(value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+value) }
}

func TestOnlyHealthIsOpen(t *testing.T) {
	s, _ := start(t, Config{}, "127.0.0.1:0")
	code, _ := get(t, s, "/healthz", nil)
	require.Equal(t, 503, code)
	s.SetServing(true)
	code, body := get(t, s, "/healthz", nil)
	require.Equal(t, 200, code)
	require.Equal(t, "ok\n", body)
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap", "/", "/nothing", "//healthz", "/healthz/"} {
		for name, edit := range map[string]func(*http.Request){
			"no token": nil, "wrong token": bearerHeader(strings.Repeat("0", 32)), "empty token": bearerHeader(""),
			"token as another scheme": func(r *http.Request) { r.Header.Set("Authorization", token) },
			"claims to be gRPC":       func(r *http.Request) { r.Header.Set("Content-Type", "application/grpc") },
		} {
			code, _ := get(t, s, path, edit)
			require.Equal(t, 401, code, "%s with %s", path, name)
		}
	}
	code, body = get(t, s, "/metrics", bearerHeader(token))
	require.Equal(t, 200, code)
	require.Contains(t, body, "promhttp_metric_handler")
	code, _ = get(t, s, "/debug/pprof/goroutine", func(r *http.Request) { r.SetBasicAuth("anyone", token) })
	require.Equal(t, 200, code)
	code, _ = get(t, s, "/nothing", bearerHeader(token))
	require.Equal(t, 404, code)
}

func TestAnOpenPageIsOpenAndNothingBesideIt(t *testing.T) {
	s, _ := start(t, Config{}, "127.0.0.1:0")
	said := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, text) })
	}
	s.HandleOpen("/pages/", said("open"))
	s.HandleOpen("GET /{$}", said("home"))
	s.Handle("/closed", said("closed"))
	for path, want := range map[string]string{"/pages/": "open", "/pages": "open", "/pages/deep/one.js": "open", "/": "home"} {
		code, body := get(t, s, path, nil)
		require.Equal(t, 200, code, path)
		require.Equal(t, want, body, path)
	}
	for _, path := range []string{"/closed", "/metrics", "/pages/../metrics", "//pages/", "/pages//x", "/x", "/pages/../closed", "/pages/%2e%2e/closed"} {
		code, _ := get(t, s, path, nil)
		require.Equal(t, 401, code, path)
	}
	code, _ := get(t, s, "/pages/", func(r *http.Request) { r.Header.Set("Content-Type", "application/grpc"); r.Method = http.MethodPost })
	require.Equal(t, 200, code, "HTTP/1.1 is never gRPC")
	code, _ = get(t, s, "/metrics", bearerHeader(token))
	require.Equal(t, 200, code)
	require.True(t, s.Knows(token))
	require.False(t, s.Knows(token+" "))
	require.False(t, s.Knows(""))
}

func invoke(conn *grpc.ClientConn, method string) error {
	return conn.Invoke(context.Background(), method, &healthv1.HealthCheckRequest{}, &healthv1.HealthCheckResponse{})
}

func TestGRPCNeedsTheTokenAndHealthDoesNot(t *testing.T) {
	s, _ := start(t, Config{}, "127.0.0.1:0")
	for presented, kind := range map[string]errors.Kind{token: errors.NotFound, "": errors.Unauthenticated, "wrong": errors.Unauthenticated} {
		conn, err := Dial(DialConfig{Address: s.Addr().String(), Token: presented})
		require.NoError(t, err)
		defer conn.Close()
		err = invoke(conn, "/garage.test.Secured/Call")
		require.Equal(t, kind, errors.KindOf(err), "token %q: %v", presented, err)
		require.NoError(t, invoke(conn, "/grpc.health.v1.Health/Check"))
	}
}

func TestStoppingFinishesAndTellsHealthFirst(t *testing.T) {
	s, stop := start(t, Config{}, "127.0.0.1:0")
	s.SetServing(true)
	conn, err := Dial(DialConfig{Address: s.Addr().String(), Token: token})
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, invoke(conn, "/grpc.health.v1.Health/Check"))
	require.NoError(t, stop())
	answer, err := s.health.Check(context.Background(), &healthv1.HealthCheckRequest{})
	require.NoError(t, err)
	require.Equal(t, healthv1.HealthCheckResponse_NOT_SERVING, answer.GetStatus())
}

func TestTheTokenStaysOnTheMachineOrIsEncrypted(t *testing.T) {
	for _, address := range []string{"http://192.0.2.1:3903", "http://example.org:3903"} {
		_, err := Dial(DialConfig{Address: address, Token: token})
		require.ErrorContains(t, err, "in clear", address)
	}
	listener, err := net.Listen("tcp", "0.0.0.0:0")
	require.NoError(t, err)
	defer listener.Close()
	deps := func() Deps {
		return Deps{Listener: listener, Token: token, Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()}
	}
	_, err = New(Config{}, deps())
	require.ErrorContains(t, err, "admin.tls.cert")
	_, err = New(Config{Insecure: true}, deps())
	require.NoError(t, err)
	conn, err := Dial(DialConfig{Address: "192.0.2.1:3903", Token: token})
	require.NoError(t, err, "an address beyond loopback means TLS")
	require.NoError(t, conn.Close())
}

func TestTLS(t *testing.T) {
	files := certificate(t)
	s, _ := start(t, Config{TLS: files}, "127.0.0.1:0")
	conn, err := Dial(DialConfig{Address: s.Addr().String(), Token: token, CAFile: files.Cert})
	require.NoError(t, err)
	defer conn.Close()
	require.True(t, errors.Is(invoke(conn, "/garage.test.Secured/Call"), errors.NotFound))
}

func certificate(t *testing.T) tlsfiles.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	dir := t.TempDir()
	files := tlsfiles.Config{Cert: filepath.Join(dir, "c.pem"), Key: filepath.Join(dir, "k.pem")}
	require.NoError(t, os.WriteFile(files.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(files.Key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600))
	return files
}

func TestTokenIsMadeOnceAndPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), TokenFile)
	first, err := Token(path, "")
	require.NoError(t, err)
	require.Len(t, first, 64)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	again, err := Token(path, "")
	require.NoError(t, err)
	require.Equal(t, first, again)
	other, err := Token(path, "an override of some length")
	require.NoError(t, err)
	require.Equal(t, "an override of some length", other)
	_, err = Token(path, "short")
	require.ErrorContains(t, err, TokenEnv)
	require.NoError(t, os.WriteFile(path, []byte("short\n"), 0o600))
	_, err = Token(path, "")
	require.ErrorContains(t, err, "remove the file")
}

// admin stands for the admin API; what passes is not implemented.
type admin struct {
	adminv1.UnimplementedAdminServiceServer
}

func TestTheAPIElsewhereNeedsTheTokenToo(t *testing.T) {
	registry := prometheus.NewRegistry()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { _ = l.Close() }) // the server may have closed it
		return l
	}
	s, err := New(Config{}, Deps{Listener: listen(), Token: "sixteen-letters!", Logger: slog.New(slog.DiscardHandler), Registry: registry})
	require.NoError(t, err)
	other := rpc.NewServer(rpc.ServerConfig{Listener: listen(), Identity: rpc.Identity{Authorize: s.Authorize}, Logger: slog.New(slog.DiscardHandler)})
	adminv1.RegisterAdminServiceServer(other.GRPC(), admin{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- other.Run(ctx) }()
	defer func() { cancel(); require.NoError(t, <-ended) }()
	conn, err := rpc.Dial(other.Addr().String(), nil, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	for _, c := range []struct {
		header string
		want   errors.Kind
	}{
		{"", errors.Unauthenticated}, {"Bearer sixteen-letters?", errors.Unauthenticated}, {"sixteen-letters!", errors.Unauthenticated},
		{"Bearer sixteen-letters!", errors.NotImplemented},
	} {
		asking := ctx
		if c.header != "" {
			asking = metadata.AppendToOutgoingContext(ctx, "authorization", c.header)
		}
		_, err := adminv1.NewAdminServiceClient(conn).GetStatus(asking, &adminv1.GetStatusRequest{})
		require.True(t, errors.Is(err, c.want), "%q: %v", c.header, err)
	}
	_, err = healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
	require.NoError(t, err, "what is not the operator's is as open as before")
}
