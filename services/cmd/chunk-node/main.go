// Command chunk-node stores chunks on the disks of one machine and serves them to other services over gRPC.
package main

import (
	"context"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/config"
	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/membership"
	"deuxfleurs.fr/garage/pkg/meta/remote"
	"deuxfleurs.fr/garage/pkg/program"
	"deuxfleurs.fr/garage/pkg/rpc"
	"deuxfleurs.fr/garage/pkg/telemetry"
	chunknode "deuxfleurs.fr/garage/services/chunk-node"
	"deuxfleurs.fr/garage/services/cmd/internal/peers"
)

type settings struct {
	program.Settings `conf:""`
	program.Join     `conf:""`
	Memory           config.Size       `conf:"memory" help:"memory for chunks on their way" min:"16MiB"`
	MetadataAddress  string            `conf:"metadata-address" flag:"metadata" help:"address of the metadata service, which is asked what chunks belong to; default: all that Consul knows, or 127.0.0.1:3902 without Consul"`
	RPC              rpc.ServeConfig   `conf:"rpc"`
	Cluster          membership.Config `conf:"cluster"`
	Chunk            chunknode.Config  `conf:"chunk"`
}

func main() {
	s := &settings{Settings: program.DefaultSettings("var/chunk-node", "127.0.0.1:3911"), Join: program.DefaultJoin(),
		Memory: buffer.DefaultLimit, RPC: rpc.ServeConfig{Listen: "127.0.0.1:3901"}, Chunk: chunknode.DefaultConfig()}
	s.Settings.Join = &s.Join
	program.Main(program.Command("chunk-node", "Store chunks on this machine's disks", s, &s.Settings, s.build))
}

func (s *settings) build(ctx context.Context, p *program.Program) error {
	info, pool := p.Folder.Info(), buffer.NewPool(int(s.Memory), clock.System{})
	p.Add("memory", pool)
	identity, err := p.Identity(ctx, consul.ServiceChunkNode, s.RPC.TLS)
	if err != nil {
		return err
	}
	deps := chunknode.Deps{
		Folder: p.Folder.Path(), NodeID: info.NodeID, ClusterID: info.ClusterID, Version: p.Version,
		Clock: clock.System{}, Random: clock.SystemRandom, Pool: pool, Logger: p.Log, Registry: p.Registry,
	}
	claimed := make(chan struct{})
	deps.Claimed = claimed
	p.OnReady = func(context.Context) error { // the registration is ready then: it has claimed the ID, or Consul is away
		close(claimed)
		return nil
	}
	reach := peers.New(p, s.RPC.TLS, identity)
	conn, err := reach.Metadata(s.MetadataAddress)
	if err != nil {
		return err
	}
	deps.Metadata = remote.New(conn)
	if deps.Members = reach.Members(pool); p.Consul != nil {
		deps.Rebalancer = reach.Rebalancer()
	}
	service, err := chunknode.New(s.Chunk, deps)
	if err != nil {
		return err
	}
	p.BeforeStop(service.Leave)
	p.Add("chunk store", service)
	p.Diagnosis.AddFolder(service.Folders()...)
	telemetry.RegisterPool(p.Registry, pool)
	server, err := p.Server(s.RPC, identity, chunknode.ServerOptions()...)
	if err != nil {
		return err
	}
	service.Register(server.GRPC())
	if err := reach.Follow(s.Cluster, service.Adopt); err != nil {
		return err
	}
	p.Add("gRPC server", server)
	capacity := func() (int64, error) {
		status, err := service.Node().Status(context.Background())
		return status.Capacity, err
	}
	return p.Announce(consul.Service{Name: consul.ServiceChunkNode, Capacity: capacity, KeepAlive: true}, "rpc.listen", server.Addr())
}
