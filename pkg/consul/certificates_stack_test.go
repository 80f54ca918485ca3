//go:build stack

package consul

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/rpc"
)

// issued gets the certificates of a service.
func (p *program) issued(t *testing.T, service, path string) *Certificates {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := p.Certificates(ctx, service, path)
	require.NoError(t, err)
	return c
}

// file is where a program keeps the certificate of a service.
func (p *program) file(service string) string {
	return filepath.Join(p.folder, service+"-"+CertificateFile)
}

func TestCallsGoOnWhileTheAuthorityIsReplaced(t *testing.T) {
	connect(t)
	p := start(t, "garage")
	forServer, forClient := p.issued(t, ServiceMetadata, p.file(ServiceMetadata)), p.issued(t, ServiceGateway, p.file(ServiceGateway))
	s := server(t, rpc.Mesh(forServer))
	creds := rpc.Mesh(forClient).For(ServiceMetadata)
	conn, err := rpc.Dial(s.Addr().String(), creds, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	l := begin(t, conn)
	l.goesOn(t)

	serverLeaf, clientLeaf := forServer.Certificate(), forClient.Certificate()
	roots, _, err := p.API().Connect().CARoots(nil)
	require.NoError(t, err)
	rotate(t, p)
	after, _, err := p.API().Connect().CARoots(nil)
	require.NoError(t, err)
	require.NotEqual(t, roots.ActiveRootID, after.ActiveRootID, "there is another authority")
	eventually(t, func() bool { return forServer.Certificate() != serverLeaf && forClient.Certificate() != clientLeaf }, "both have certificates of it")
	l.goesOn(t)
	// A connection that is made now is one between the new certificates.
	fresh, err := rpc.Dial(s.Addr().String(), creds, nil)
	require.NoError(t, err)
	f := begin(t, fresh)
	f.goesOn(t)
	f.end(t)
	require.NoError(t, fresh.Close())
	l.end(t)

	// Nobody answers for somebody else.
	wrong, err := rpc.Dial(s.Addr().String(), rpc.Mesh(forClient).For(ServiceChunkNode), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, wrong.Close()) }()
	w := begin(t, wrong)
	eventually(t, func() bool { return w.failures.Load() > 0 }, "a metadata service is no chunk-node")
	close(w.stop)
	w.work.Wait()
	require.Equal(t, w.calls.Load(), w.failures.Load())
}

// rotate has the built-in CA make a new authority by giving it another private key type.
func rotate(t *testing.T, p *program) {
	t.Helper()
	config, _, err := p.API().Connect().CAGetConfig(nil)
	require.NoError(t, err)
	bits := 384 // 256 is the default
	if fmt.Sprint(config.Config["PrivateKeyBits"]) == "384" {
		bits = 256
	}
	config.Config["PrivateKeyType"], config.Config["PrivateKeyBits"] = "ec", bits
	delete(config.Config, "RootCert")
	delete(config.Config, "PrivateKey")
	_, err = p.API().Connect().CASetConfig(&api.CAConfig{Provider: config.Provider, Config: config.Config}, nil)
	require.NoError(t, err)
}

func TestACertificateIsKeptForAConsulThatIsAway(t *testing.T) {
	between := connect(t)
	first := start(t, "garage")
	path := first.file(ServiceMetadata)
	before := first.issued(t, ServiceMetadata, path)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	between.set(true, false)
	p := start(t, "garage")
	kept := p.issued(t, ServiceMetadata, path)
	require.Equal(t, before.Certificate().Leaf.Raw, kept.Certificate().Leaf.Raw)
	require.Equal(t, before.Trust().Domain, kept.Trust().Domain)
	require.True(t, p.log.has("kept from before")())
	s := server(t, rpc.Mesh(kept))
	gateway, err := rpc.Dial(s.Addr().String(), rpc.Mesh(before).For(ServiceMetadata), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, gateway.Close()) }()
	l := begin(t, gateway)
	l.goesOn(t)
	l.end(t)

	// That of another service is not taken, nor one that has expired: they wait for Consul.
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_, err = p.Certificates(ctx, ServiceGateway, path)
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
	waiting := start(t, "garage")
	done := make(chan *Certificates)
	go func() { done <- waiting.issued(t, ServiceGateway, waiting.file(ServiceGateway)) }()
	eventually(t, waiting.log.has("waiting for Consul"), "it says that it waits")
	between.set(false, false)
	require.NotNil(t, <-done)
}

func TestThePolicyOfConsulIsLookedAt(t *testing.T) {
	connect(t)
	p := start(t, "garage")
	p.issued(t, ServiceMetadata, p.file(ServiceMetadata))
	const warning = "gives service certificates to anybody who asks"
	if os.Getenv("GARAGE_STACK_CONSUL_TOKEN") == "" {
		eventually(t, p.log.has(warning), "Consul without access rules proves nothing")
		return
	}
	eventually(t, p.log.has("Consul denies certificates to who has no token"), "it was asked")
	require.False(t, p.log.has(warning)())
}
