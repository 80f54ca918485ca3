package program

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/rpc"
	"deuxfleurs.fr/garage/pkg/telemetry"
)

// Server makes the gRPC server for other services. Register services on it and Add it. identity is that of the
// program (see Identity).
func (p *Program) Server(c rpc.ServeConfig, identity rpc.Identity, options ...grpc.ServerOption) (*rpc.Server, error) {
	if err := c.TLS.CheckAddress("rpc.listen", c.Listen); err != nil {
		return nil, err
	}
	listener, err := p.Listen("rpc.listen", c.Listen)
	if err != nil {
		return nil, err
	}
	server := rpc.NewServer(rpc.ServerConfig{
		Listener: listener, Identity: identity, Logger: p.Log, Metrics: telemetry.NewServerMetrics(p.Registry), Options: append(p.Tracing.ServerOptions(), options...),
	})
	p.Diagnosis.Register(server.GRPC())
	return server, nil
}

// Identity is what the program, which is the service of that name, presents to other services. With Consul's
// certificates it waits until ctx ends for a Consul that is away, unless it kept one from before.
func (p *Program) Identity(ctx context.Context, service string, s rpc.Security) (rpc.Identity, error) {
	if !s.FromConsul() {
		p.Diagnosis.AddFiles("rpc.tls", s.Config)
		return s.Identity(p.Log, p.Registry)
	}
	if p.Consul == nil {
		return rpc.Identity{}, errors.E(errors.Invalid, errors.Setting, "rpc.tls.source", "certificates from Consul need consul.enabled")
	}
	certificates, err := p.Consul.Certificates(ctx, service, p.Folder.Path(consul.CertificateFile))
	if err != nil {
		return rpc.Identity{}, err
	}
	p.Diagnosis.AddRenewed("rpc.tls", func() time.Time { return certificates.Certificate().Leaf.NotAfter })
	return rpc.Mesh(certificates), nil
}
