package rpc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/reflect/protoreflect"

	"deuxfleurs.fr/garage/pkg/errors"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// issuer is an Issuer whose certificates a test decides.
type issuer struct {
	mu    sync.Mutex
	leaf  *tls.Certificate
	trust Trust
}

func (i *issuer) Certificate() *tls.Certificate { i.mu.Lock(); defer i.mu.Unlock(); return i.leaf }
func (i *issuer) Trust() Trust                  { i.mu.Lock(); defer i.mu.Unlock(); return i.trust }

func (i *issuer) become(o *issuer) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.leaf, i.trust = o.leaf, o.trust
}

const domain = "11111111-2222-3333-4444-555555555555.consul"

func uriOf(service string) string { return "spiffe://" + domain + "/ns/default/dc/dc1/svc/" + service }

// named makes a certificate with these SPIFFE URIs, valid until then.
func (a *authority) named(t *testing.T, until time.Time, uris ...string) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(3), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	for _, u := range uris {
		parsed, err := url.Parse(u)
		require.NoError(t, err)
		template.URIs = append(template.URIs, parsed)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(a.certificate)
	return &issuer{leaf: &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, trust: Trust{Roots: roots, Domain: domain}}
}

func (a *authority) service(t *testing.T, name string) *issuer {
	return a.named(t, time.Now().Add(time.Hour), uriOf(name))
}

// listen runs a server with the health service.
func listen(t *testing.T, identity Identity) *Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := NewServer(ServerConfig{Listener: listener, Identity: identity, Logger: slog.New(slog.DiscardHandler)})
	metadatav1.RegisterMetadataServiceServer(s.GRPC(), metadatav1.UnimplementedMetadataServiceServer{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	return s
}

func check(t *testing.T, s *Server, creds credentials.TransportCredentials) error {
	t.Helper()
	conn, err := Dial(s.Addr().String(), creds, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	_, err = healthv1.NewHealthClient(conn).Check(context.Background(), &healthv1.HealthCheckRequest{})
	return err
}

func TestServicesAreWhoTheirCertificatesSay(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	s := listen(t, Mesh(ours.service(t, ServiceMetadata)))
	call := func(i *issuer, to string) error { return check(t, s, Mesh(i).For(to)) }
	require.NoError(t, call(ours.service(t, ServiceGateway), ServiceMetadata))
	require.NoError(t, call(ours.named(t, time.Now().Add(time.Hour), "spiffe://"+domain+"/ap/p/ns/default/dc/dc1/svc/"+ServiceGateway), ServiceMetadata), "an admin partition is named too")
	require.Error(t, check(t, s, nil), "plain text")

	for name, i := range map[string]*issuer{
		"another authority":         theirs.service(t, ServiceGateway),
		"another trust domain":      ours.named(t, time.Now().Add(time.Hour), "spiffe://other.consul/ns/default/dc/dc1/svc/"+ServiceGateway),
		"expired":                   ours.named(t, time.Now().Add(-time.Hour), uriOf(ServiceGateway)),
		"no name":                   ours.named(t, time.Now().Add(time.Hour)),
		"two names":                 ours.named(t, time.Now().Add(time.Hour), uriOf(ServiceGateway), uriOf(ServiceMetadata)),
		"not a service":             ours.named(t, time.Now().Add(time.Hour), "spiffe://"+domain+"/agent/client/dc/dc1/id/x"),
		"https instead of spiffe":   ours.named(t, time.Now().Add(time.Hour), "https://"+domain+"/ns/default/dc/dc1/svc/"+ServiceGateway),
		"a service that is unknown": ours.service(t, "traefik"),
	} {
		require.Error(t, call(i, ServiceMetadata), name)
	}
	err := call(ours.service(t, ServiceGateway), ServiceChunkNode)
	require.ErrorContains(t, err, "garage-metadata answers where garage-chunk-node should")
	mine := theirs.service(t, ServiceGateway)
	mine.leaf = ours.service(t, ServiceGateway).leaf
	require.Error(t, call(mine, ServiceMetadata), "the server is not of an authority that the client trusts")
}

func TestCallsThatAServiceIsNotMeantToMakeAreRefused(t *testing.T) {
	a := newAuthority(t)
	s := listen(t, Mesh(a.service(t, ServiceMetadata)))
	for _, c := range []struct {
		caller string
		kind   errors.Kind
	}{{ServiceGateway, errors.NotImplemented}, {ServiceRebalancer, errors.NotImplemented}, {ServiceChunkNode, errors.PermissionDenied}, {"traefik", errors.PermissionDenied}} {
		conn, err := Dial(s.Addr().String(), Mesh(a.service(t, c.caller)).For(ServiceMetadata), nil)
		require.NoError(t, err)
		_, err = metadatav1.NewMetadataServiceClient(conn).GetBucket(context.Background(), &metadatav1.GetBucketRequest{})
		require.Equal(t, c.kind, errors.KindOf(err), "%s: %v", c.caller, err)
		_, err = metadatav1.NewMetadataServiceClient(conn).DropGarbage(context.Background(), &metadatav1.DropGarbageRequest{})
		require.Equal(t, errors.PermissionDenied, errors.KindOf(err), "nobody: %v", err)
		require.NoError(t, conn.Close())
	}
}

func TestTheTableSaysSomethingAboutEveryMethod(t *testing.T) {
	known := map[string]bool{}
	for _, file := range []protoreflect.FileDescriptor{
		metadatav1.File_garage_metadata_v1_metadata_proto, chunknodev1.File_garage_chunknode_v1_chunk_node_proto,
		clusterv1.File_garage_cluster_v1_cluster_proto, clusterv1.File_garage_cluster_v1_diagnose_proto, adminv1.File_garage_admin_v1_admin_proto, healthv1.File_grpc_health_v1_health_proto,
	} {
		services := file.Services()
		for i := range services.Len() {
			service := services.Get(i)
			all := "/" + string(service.FullName()) + "/"
			known[all+"*"] = true
			methods := service.Methods()
			for j := range methods.Len() {
				known[all+string(methods.Get(j).Name())] = true
			}
			require.Contains(t, callers, all+"*")
		}
	}
	for line, by := range callers {
		require.True(t, known[line], "the table names %s, which is no method", line)
		for _, service := range by {
			require.True(t, strings.HasPrefix(service, "garage-"))
		}
	}
	require.False(t, mayCall(ServiceGateway, "/garage.metadata.v1.MetadataService/CreateKey"))
	require.True(t, mayCall(ServiceRebalancer, "/garage.metadata.v1.MetadataService/CreateKey"))
	require.True(t, mayCall(ServiceMetadata, "/garage.chunknode.v1.ChunkNodeService/Delete"))
	require.True(t, mayCall(ServiceMetadata, "/garage.chunknode.v1.ChunkNodeService/Get"), "snapshots are kept in chunks")
	require.False(t, mayCall(ServiceMetadata, "/garage.chunknode.v1.ChunkNodeService/Command"))
	require.True(t, mayCall(ServiceChunkNode, "/garage.metadata.v1.MetadataService/FindAttempts"), "long collection asks what references belong to")
	require.True(t, mayCall(ServiceChunkNode, "/garage.metadata.v1.MetadataService/GetInfo"))
	require.False(t, mayCall(ServiceGateway, "/garage.metadata.v1.MetadataService/FindAttempts"))
	require.False(t, mayCall(ServiceChunkNode, "/garage.metadata.v1.MetadataService/GetObject"))
	require.False(t, mayCall(ServiceMetadata, "/garage.metadata.v1.MetadataService/GetObject"))
	require.False(t, mayCall(ServiceGateway, "/garage.unknown.v1.Service/Method"))
	require.False(t, mayCall(ServiceGateway, "nonsense"))
}

func TestCertificatesAreRenewedWithoutARestart(t *testing.T) {
	before, after := newAuthority(t), newAuthority(t)
	server, client := before.service(t, ServiceMetadata), before.service(t, ServiceGateway)
	s := listen(t, Mesh(server))
	creds := Mesh(client).For(ServiceMetadata)
	conn, err := Dial(s.Addr().String(), creds, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	_, err = healthv1.NewHealthClient(conn).Check(context.Background(), &healthv1.HealthCheckRequest{})
	require.NoError(t, err)
	server.become(after.service(t, ServiceMetadata))
	require.Error(t, check(t, s, creds), "a client of the authority before")
	client.become(after.service(t, ServiceGateway))
	require.NoError(t, check(t, s, creds))
	_, err = healthv1.NewHealthClient(conn).Check(context.Background(), &healthv1.HealthCheckRequest{})
	require.NoError(t, err, "what is connected stays")
}
