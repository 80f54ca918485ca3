// Command rebalancer is what the operator speaks to: it manages keys and buckets and tells how the cluster is.
package main

import (
	"context"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
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
	RPC              rpc.CallConfig    `conf:"rpc"`
	Cluster          membership.Config `conf:"cluster"`
	MetadataAddress  string            `conf:"metadata-address" flag:"metadata" help:"address of the metadata service"`
	Peers            []string          `conf:"peers" help:"administration addresses of services whose health the status shows, as name=address"`
	Rebalancer       rebalancer.Config `conf:"rebalancer"`
}

func main() {
	s := &settings{Settings: program.DefaultSettings("var/rebalancer", "127.0.0.1:3903"),
		MetadataAddress: "127.0.0.1:3902", Rebalancer: rebalancer.DefaultConfig()}
	program.Main(program.Command("rebalancer", "Manage keys and buckets and tell how the cluster is", s, &s.Settings, s.build))
}

func (s *settings) build(_ context.Context, p *program.Program) error {
	reach, err := peers.New(p, s.RPC.TLS)
	if err != nil {
		return err
	}
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
	for id, n := range members.Nodes {
		nodes[id] = n
	}
	service, err := rebalancer.New(s.Rebalancer, rebalancer.Deps{
		Store: remote.New(conn), ClusterID: p.Folder.Info().ClusterID, Layout: members.Layout, Assignment: members.Assignment,
		Nodes: nodes, Peers: append([]rebalancer.Peer{rebalancer.HealthPeer("metadata", s.MetadataAddress, conn)}, others...),
		Version: p.Version, Clock: clock.System{}, Random: clock.SystemRandom, Logger: p.Log,
	})
	if err != nil {
		return err
	}
	service.Register(p.Admin.GRPC())
	p.Add("rebalancer", service)
	return nil
}
