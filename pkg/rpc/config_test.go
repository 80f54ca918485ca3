package rpc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"deuxfleurs.fr/garage/pkg/tlsfiles"
)

// authority issues certificates for 127.0.0.1.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	a := &authority{certificate: certificate, key: key, file: filepath.Join(t.TempDir(), "ca.pem")}
	writePEM(t, a.file, "CERTIFICATE", der)
	return a
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

func (a *authority) issue(t *testing.T) Security {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	dir := t.TempDir()
	s := Security{Config: tlsfiles.Config{Cert: filepath.Join(dir, "c.pem"), Key: filepath.Join(dir, "k.pem")}, CA: a.file}
	writePEM(t, s.Cert, "CERTIFICATE", der)
	writePEM(t, s.Key, "EC PRIVATE KEY", keyDER)
	return s
}

func TestServicesKnowEachOtherByTheirAuthority(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	log := slog.New(slog.DiscardHandler)
	ourIdentity, err := ours.issue(t).Identity(log, nil)
	require.NoError(t, err)
	theirIdentity, err := theirs.issue(t).Identity(log, nil)
	require.NoError(t, err)
	client, stranger := ourIdentity.For("any"), theirIdentity.For("any")

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := NewServer(ServerConfig{Listener: listener, Identity: ourIdentity, Logger: log})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() { cancel(); require.NoError(t, <-done) }()

	for name, c := range map[string]struct {
		creds credentials.TransportCredentials
		ok    bool
	}{"one of us": {client, true}, "another authority's": {stranger, false}, "without TLS": {nil, false}} {
		conn, err := Dial(s.Addr().String(), c.creds, nil)
		require.NoError(t, err)
		_, err = healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
		require.Equal(t, c.ok, err == nil, "%s: %v", name, err)
		require.NoError(t, conn.Close())
	}
}

func TestPlainTextStaysOnTheMachineUnlessAskedFor(t *testing.T) {
	require.NoError(t, Security{}.CheckAddress("rpc.listen", "127.0.0.1:1"))
	require.NoError(t, Security{}.CheckAddress("rpc.listen", "localhost:1"))
	require.ErrorContains(t, Security{}.CheckAddress("rpc.listen", "192.0.2.1:1"), "rpc.listen")
	require.ErrorContains(t, Security{}.CheckAddress("rpc.listen", ":1"), "rpc.tls.cert")
	require.NoError(t, Security{Insecure: true}.CheckAddress("rpc.listen", "192.0.2.1:1"))
	require.Error(t, (&Security{CA: "x"}).Validate())
	require.Error(t, (&Security{Config: tlsfiles.Config{Cert: "x", Key: "y"}}).Validate())
	require.NoError(t, (&Security{}).Validate())
}
