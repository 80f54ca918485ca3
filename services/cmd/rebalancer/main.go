// Command rebalancer is what the operator speaks to: it manages keys and buckets and tells how the cluster is.
package main

import (
	"context"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/membership"
	"deuxfleurs.fr/garage/pkg/meta/remote"
	"deuxfleurs.fr/garage/pkg/program"
	"deuxfleurs.fr/garage/pkg/rpc"
	"deuxfleurs.fr/garage/services/cmd/internal/peers"
	"deuxfleurs.fr/garage/services/rebalancer"
)

// It asks nodes how they are and receives no chunk.
const memory = 1 << 20

type settings struct {
	program.Settings `conf:""`
	program.Join     `conf:""`
	RPC              rpc.ServeConfig   `conf:"rpc"`
	Cluster          membership.Config `conf:"cluster"`
	MetadataAddress  string            `conf:"metadata-address" flag:"metadata" help:"address of the metadata service; default: all that Consul knows, or 127.0.0.1:3902 without Consul"`
	Peers            []string          `conf:"peers" help:"administration addresses of services whose health the status shows, as name=address"`
	Rebalancer       rebalancer.Config `conf:"rebalancer"`
}

func main() {
	s := &settings{Settings: program.DefaultSettings("var/rebalancer", "127.0.0.1:3903"), Join: program.DefaultJoin(),
		RPC: rpc.ServeConfig{Listen: "127.0.0.1:3904"}, Rebalancer: rebalancer.DefaultConfig()}
	s.Settings.Join = &s.Join
	program.Main(program.Command("rebalancer", "Manage keys and buckets and tell how the cluster is", s, &s.Settings, s.build))
}

func (s *settings) build(ctx context.Context, p *program.Program) error {
	identity, err := p.Identity(ctx, consul.ServiceRebalancer, s.RPC.TLS)
	if err != nil {
		return err
	}
	reach := peers.New(p, s.RPC.TLS, identity)
	members, err := reach.Nodes(s.Cluster, buffer.NewPool(memory, clock.System{}))
	if err != nil {
		return err
	}
	conn, err := reach.Metadata(s.MetadataAddress)
	if err != nil {
		return err
	}
	others, closeOthers, err := rebalancer.DialPeers(s.Peers)
	if err != nil {
		return err
	}
	p.OnClose(closeOthers)
	nodes := map[chunk.NodeID]rebalancer.Node{}
	view, _ := members.Current()
	for id, n := range view.Nodes {
		nodes[id] = n
	}
	service, err := rebalancer.New(s.Rebalancer, rebalancer.Deps{
		Store: remote.New(conn), ClusterID: p.Folder.Info().ClusterID, Layout: view.Layout, Assignment: view.Assignment,
		Nodes: nodes, Peers: append([]rebalancer.Peer{rebalancer.HealthPeer("metadata", s.MetadataAddress, conn)}, others...),
		Version: p.Version, Clock: clock.System{}, Random: clock.SystemRandom, Logger: p.Log,
	})
	if err != nil {
		return err
	}
	service.Register(p.Admin.GRPC())
	p.Add("rebalancer", service)
	if p.Consul == nil {
		return nil // nobody knows where it is, so nobody calls
	}
	server, err := p.Server(s.RPC, identity)
	if err != nil {
		return err
	}
	p.Add("gRPC server", server)
	return p.Announce(consul.Service{Name: consul.ServiceRebalancer}, "rpc.listen", server.Addr())
}
