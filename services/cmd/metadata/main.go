// Command metadata keeps keys, buckets and objects, and serves them to other services over gRPC.
package main

import (
	"context"
	"time"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/membership"
	"deuxfleurs.fr/garage/pkg/program"
	"deuxfleurs.fr/garage/pkg/rpc"
	"deuxfleurs.fr/garage/services/cmd/internal/peers"
	"deuxfleurs.fr/garage/services/metadata"
	"deuxfleurs.fr/garage/services/metadata/migrate"
)

// The sweeper removes references and receives no chunk; who reads a snapshot from chunks, or restores what only a node that
// does not own it has, receives a few, each of which may take a quarter of this.
const memory = 64 << 20

// settle is how long gateways may keep rights at most.
const settle = 2 * time.Second

type settings struct {
	program.Settings `conf:""`
	program.Join     `conf:""`
	RPC              rpc.ServeConfig        `conf:"rpc"`
	Cluster          membership.StoreConfig `conf:"cluster"`
	Metadata         metadata.Config        `conf:"metadata"`
}

func main() {
	s := &settings{Settings: program.DefaultSettings("var/metadata", "127.0.0.1:3912"), Join: program.DefaultJoin(),
		RPC: rpc.ServeConfig{Listen: "127.0.0.1:3902"}, Cluster: membership.DefaultStoreConfig(), Metadata: metadata.DefaultConfig()}
	s.Settings.Join = &s.Join
	program.Main(program.Command("metadata", "Keep keys, buckets and objects", s, &s.Settings, s.build))
}

func (s *settings) build(ctx context.Context, p *program.Program) error {
	identity, err := p.Identity(ctx, consul.ServiceMetadata, s.RPC.TLS)
	if err != nil {
		return err
	}
	server, err := p.Server(s.RPC, identity)
	if err != nil {
		return err
	}
	reach := peers.New(p, s.RPC.TLS, identity)
	nodes, err := reach.Nodes(s.Cluster.Config, buffer.NewPool(memory, clock.System{}))
	if err != nil {
		return err
	}
	chunks, err := reach.Chunks(nodes, s.Cluster)
	if err != nil {
		return err
	}
	service, err := metadata.New(s.Metadata, metadata.Deps{Folder: p.Folder.Path(), ClusterID: p.Folder.Info().ClusterID, NodeID: p.Folder.Info().NodeID,
		Chunks: chunks, Clock: clock.System{}, Random: clock.SystemRandom, Logger: p.Log, Registry: p.Registry})
	if err != nil {
		return err
	}
	service.Register(server.GRPC())
	service.RegisterSnapshots(p.Admin.GRPC(), service.Store())
	migrate.Register(p.Admin.GRPC(), migrate.Deps{Store: service.Store(), Chunks: chunks, Room: roomOf(nodes),
		Clock: clock.System{}, Random: clock.SystemRandom, Logger: p.Log, Settle: settle})
	p.Add("metadata", service)
	service.AddTo(p.Diagnosis)
	p.Add("gRPC server", server)
	return p.Announce(consul.Service{Name: consul.ServiceMetadata}, "rpc.listen", server.Addr())
}
