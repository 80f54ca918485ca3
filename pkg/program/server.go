package program

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"deuxfleurs.fr/garage/pkg/rpc"
	"deuxfleurs.fr/garage/pkg/telemetry"
)

// Server makes the gRPC server for other services and returns, beside it, what the program presents
// when it calls them (nil: plain text). Register services on it and Add it.
func (p *Program) Server(c rpc.ServeConfig, options ...grpc.ServerOption) (*rpc.Server, credentials.TransportCredentials, error) {
	if err := c.TLS.CheckAddress("rpc.listen", c.Listen); err != nil {
		return nil, nil, err
	}
	server, client, err := c.TLS.Credentials(p.Log)
	if err != nil {
		return nil, nil, err
	}
	listener, err := p.Listen("rpc.listen", c.Listen)
	if err != nil {
		return nil, nil, err
	}
	return rpc.NewServer(rpc.ServerConfig{
		Listener: listener, Credentials: server, Logger: p.Log, Metrics: telemetry.NewServerMetrics(p.Registry), Options: options,
	}), client, nil
}
