// Command rebalancer is what the operator speaks to: it manages keys, buckets and the layout, and tells how the
// cluster is.
package main

import (
	"context"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity/sources"
	"deuxfleurs.fr/garage/pkg/membership"
	"deuxfleurs.fr/garage/pkg/meta/remote"
	"deuxfleurs.fr/garage/pkg/program"
	"deuxfleurs.fr/garage/pkg/rpc"
	"deuxfleurs.fr/garage/services/cmd/internal/peers"
	"deuxfleurs.fr/garage/services/rebalancer"
	"deuxfleurs.fr/garage/services/rebalancer/console"
)

// It asks nodes how they are and receives no chunk.
const memory = 1 << 20

type settings struct {
	program.Settings `conf:""`
	program.Join     `conf:""`
	RPC              rpc.ServeConfig   `conf:"rpc"`
	Cluster          membership.Config `conf:"cluster"`
	MetadataAddress  string            `conf:"metadata-address" flag:"metadata" help:"address of the metadata service; default: all that Consul knows, or 127.0.0.1:3902 without Consul"`
	Peers            []string          `conf:"peers" help:"administration addresses of services whose health the status shows, as name=address; without Consul"`
	Rebalancer       rebalancer.Config `conf:"rebalancer"`
	Console          console.Config    `conf:"console"`
	Identity         sources.Config    `conf:"identity"`
}

func main() {
	s := &settings{Settings: program.DefaultSettings("var/rebalancer", "127.0.0.1:3903"), Join: program.DefaultJoin(),
		RPC: rpc.ServeConfig{Listen: "127.0.0.1:3904"}, Rebalancer: rebalancer.DefaultConfig(), Console: console.DefaultConfig(), Identity: sources.DefaultConfig()}
	s.Settings.Join = &s.Join
	program.Main(program.Command("rebalancer", "Manage keys, buckets and the layout, and tell how the cluster is", s, &s.Settings, s.build))
}

func (s *settings) build(ctx context.Context, p *program.Program) error {
	identity, err := p.Identity(ctx, consul.ServiceRebalancer, s.RPC.TLS)
	if err != nil {
		return err
	}
	reach := peers.New(p, s.RPC.TLS, identity)
	conn, err := reach.Metadata(s.MetadataAddress)
	if err != nil {
		return err
	}
	store := remote.New(conn)
	identities, err := sources.New(ctx, s.Identity, sources.Deps{Keys: store, Logger: p.Log, Registry: p.Registry})
	if err != nil {
		return err
	}
	p.OnClose(identities.Close)
	identities.AddTo(p.Diagnosis)
	deps := rebalancer.Deps{Store: store, Identities: identities, Folder: p.Folder.Path(), Token: p.Admin.Token(), ClusterID: p.Folder.Info().ClusterID,
		Version: p.Version, Registry: p.Registry, Clock: clock.System{}, Random: clock.SystemRandom, Logger: p.Log}
	if identities.Directory != nil {
		deps.Directory = identities.Directory
	}
	members, err := reach.Nodes(s.Cluster, buffer.NewPool(memory, clock.System{}))
	if err != nil {
		return err
	}
	deps.Node = func(id chunk.NodeID) (rebalancer.Node, error) { return node(members, id) }
	deps.Diagnosis = p.Diagnosis.Diagnose
	if p.Consul != nil {
		deps.Parts = reach.Parts
		return s.join(p, reach, identity, deps)
	}
	deps.Parts = func() []rebalancer.Part { return reach.NamedParts(members, s.MetadataAddress, s.Peers) }
	deps.Peers = []rebalancer.Peer{rebalancer.HealthPeer("metadata", s.MetadataAddress, conn)}
	view, _ := members.Current()
	deps.Layouts = view.Layouts
	others, closeOthers, err := rebalancer.DialPeers(s.Peers, p.Admin.Token())
	if err != nil {
		return err
	}
	p.OnClose(closeOthers)
	deps.Peers = append(deps.Peers, others...)
	_, err = s.add(p, deps)
	return err
}

// node reaches a node of the layouts in force.
func node(members *membership.Members, id chunk.NodeID) (rebalancer.Node, error) {
	view, _ := members.Current()
	client, ok := view.Nodes[id]
	if !ok {
		return nil, errors.E(errors.NotFound, errors.Node, id.String(), "no layout in force has it")
	}
	return client, nil
}

// join makes the program one of the rebalancers that Consul knows, of which one is active.
func (s *settings) join(p *program.Program, reach peers.Reach, identity rpc.Identity, deps rebalancer.Deps) error {
	if identity.Authorize == nil {
		// Where no certificate proves that it is another rebalancer that calls, the operator's token does.
		identity.Authorize = p.Admin.Authorize
	}
	server, err := p.Server(s.RPC, identity)
	if err != nil {
		return err
	}
	address, err := s.Join.Consul.Address("rpc.listen", server.Addr().String())
	if err != nil {
		return err
	}
	deps.Consul, deps.Dial = p.Consul, reach.DialNode
	deps.Self = rebalancer.Self{NodeID: p.Folder.Info().NodeID, Address: address}
	service, err := s.add(p, deps)
	if err != nil {
		return err
	}
	service.RegisterRPC(server.GRPC())
	p.BeforeStop(service.Resign)
	p.Add("gRPC server", server)
	return p.Announce(consul.Service{Name: consul.ServiceRebalancer}, "rpc.listen", server.Addr())
}

func (s *settings) add(p *program.Program, deps rebalancer.Deps) (*rebalancer.Service, error) {
	service, err := rebalancer.New(s.Rebalancer, deps)
	if err != nil {
		return nil, err
	}
	service.Register(p.Admin.GRPC())
	p.Add("rebalancer", service)
	pages, err := service.Console(s.Console, p.Admin, nil)
	if err != nil {
		return nil, err
	}
	pages.Register(p.Admin.HandleOpen)
	p.Add("console", pages)
	return service, nil
}
