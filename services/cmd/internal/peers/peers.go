// Package peers is how the programs of a cluster reach each other: the chunk-nodes of the layout and the
// metadata service. What it opens is closed with the program.
package peers

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/membership"
	"deuxfleurs.fr/garage/pkg/program"
	"deuxfleurs.fr/garage/pkg/rpc"
	"deuxfleurs.fr/garage/pkg/telemetry"
)

// metadataSetting is where programs are told the address of the metadata service.
const metadataSetting = "metadata-address"

// Reach is how a program knows the others.
type Reach struct {
	Program     *program.Program
	Security    rpc.Security
	Credentials credentials.TransportCredentials // what the program presents; nil: plain text
	Metrics     *telemetry.GRPCMetrics
}

// New makes a Reach for a program that serves no gRPC itself.
func New(p *program.Program, s rpc.Security) (Reach, error) {
	_, client, err := s.Credentials(p.Log)
	return Reach{Program: p, Security: s, Credentials: client, Metrics: telemetry.NewClientMetrics(p.Registry)}, err
}

// Nodes reaches the chunk-nodes. Chunks that are received take their memory from pool.
func (r Reach) Nodes(c membership.Config, pool *buffer.Pool) (*membership.Static, error) {
	nodes, err := membership.Open(c, membership.Deps{Credentials: r.Credentials, Pool: pool, Metrics: r.Metrics,
		Clock: clock.System{}, Logger: r.Program.Log, CheckAddress: r.Security.CheckAddress})
	if err != nil {
		return nil, err
	}
	r.Program.OnClose(nodes.Close)
	return nodes, nil
}

// Chunks is the chunk store over all nodes; its metrics are those of the program.
func (r Reach) Chunks(nodes *membership.Static, c membership.StoreConfig) (chunk.Store, error) {
	store, closeStore, err := nodes.Store(c)
	if err != nil {
		return nil, err
	}
	r.Program.Registry.MustRegister(store.Collector())
	r.Program.OnClose(func() error { closeStore(); return nil })
	return store, nil
}

// Metadata makes a connection to the metadata service.
func (r Reach) Metadata(address string) (*grpc.ClientConn, error) {
	if address == "" {
		return nil, errors.E(errors.Invalid, errors.Setting, metadataSetting, "give the address of the metadata service")
	}
	if err := r.Security.CheckAddress(metadataSetting, address); err != nil {
		return nil, err
	}
	conn, err := rpc.Dial(address, r.Credentials, r.Metrics)
	if err != nil {
		return nil, err
	}
	r.Program.OnClose(conn.Close)
	return conn, nil
}
