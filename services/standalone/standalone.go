package standalone

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/identity/sources"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/cached"
	"deuxfleurs.fr/garage/pkg/program"
	"deuxfleurs.fr/garage/pkg/telemetry"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
	chunknode "deuxfleurs.fr/garage/services/chunk-node"
	"deuxfleurs.fr/garage/services/metadata"
	"deuxfleurs.fr/garage/services/metadata/server"
	"deuxfleurs.fr/garage/services/rebalancer"
	"deuxfleurs.fr/garage/services/rebalancer/console"
	s3gateway "deuxfleurs.fr/garage/services/s3-gateway"
	"deuxfleurs.fr/garage/services/standalone/credentials"
	"deuxfleurs.fr/garage/services/standalone/move"
)

// Build adds the four services to a program.
func (c *Config) Build(ctx context.Context, p *program.Program) error {
	info := p.Folder.Info()
	pool := buffer.NewPool(int(c.Memory), clock.System{})
	p.Add("memory", pool)
	known := &struct{ meta.Store }{} // set below, before anything runs: the metadata needs the node to be made
	node, err := chunknode.New(c.Chunk, chunknode.Deps{
		Folder: p.Folder.Path(), NodeID: info.NodeID, ClusterID: info.ClusterID, Version: p.Version,
		Clock: clock.System{}, Random: clock.SystemRandom, Pool: pool, Logger: p.Log, Registry: p.Registry, Metadata: known,
	})
	if err != nil {
		return err
	}
	p.Add("chunk-node", node)
	p.Diagnosis.AddFolder(node.Folders()...)
	p.Diagnosis.AddFiles("s3.tls", c.S3.TLS)
	active, err := alone(info.NodeID)
	if err != nil {
		return err
	}
	if err := node.Adopt(active); err != nil {
		return err
	}
	telemetry.RegisterPool(p.Registry, pool)
	metadataService, err := metadata.New(c.Metadata, metadata.Deps{
		Folder: p.Folder.Path(), ClusterID: info.ClusterID, NodeID: info.NodeID, Chunks: node.Node(),
		Clock: clock.System{}, Random: clock.SystemRandom, Logger: p.Log, Registry: p.Registry,
	})
	if err != nil {
		return err
	}
	known.Store = metadataService.Store()
	p.Add("metadata", metadataService)
	metadataService.AddTo(p.Diagnosis)
	gate, err := move.NewGate(p.Folder, clock.System{})
	if err != nil {
		return err
	}
	store := gate.Store(cached.New(metadataService.Store(), p.Registry)) // all changes of this process go through it
	metadataService.RegisterSnapshots(p.Admin.GRPC(), store)
	server.Register(p.Admin.GRPC(), move.ReadOnly(store))
	move.Source{Gate: gate, Chunks: node.Node(), ClusterID: info.ClusterID, Clock: clock.System{}}.Register(p.Admin.GRPC())
	identities, err := sources.New(ctx, c.Identity, sources.Deps{Keys: store, Logger: p.Log, Registry: p.Registry})
	if err != nil {
		return err
	}
	p.OnClose(identities.Close)
	identities.AddTo(p.Diagnosis)
	listener, err := p.Listen("s3.listen", c.S3.Listen)
	if err != nil {
		return err
	}
	gateway, err := s3gateway.New(c.S3, s3gateway.Deps{
		Meta: store, Chunks: node.Node(), Identities: identities, Pool: pool,
		Clock: clock.System{}, Random: clock.SystemRandom, Logger: p.Log, Registry: p.Registry, Tracing: p.Tracing, Listener: listener, Wrap: gate.Handler(p.Log),
	})
	if err != nil {
		return err
	}
	api, err := c.addRebalancer(p, metadataService, store, identities, node.Node(), active, gateway)
	if err != nil {
		return err
	}
	p.Add("s3-gateway", gateway)
	if err := c.addConsole(p, api, gateway.Addr()); err != nil {
		return err
	}
	p.OnReady = func(ctx context.Context) error {
		if m := gate.Moved(); m != nil {
			what := "where requests are forwarded"
			if !m.Forwards {
				what = "but keys and rights may be missing there: until \"garage migrate\" is run once more, requests are answered 503"
			}
			_, err := fmt.Fprintf(p.Out, "All that was in %s has moved to the cluster at %s, %s.\n", p.Folder.Path(), m.Endpoint, what)
			return err
		}
		return c.welcome(ctx, p, store, gateway.Addr().String())
	}
	return nil
}

// alone is the layout of a node that has no others.
func alone(id chunk.NodeID) (*layout.Active, error) {
	l, err := layout.New(1, 1, []layout.Node{{ID: id, Zone: "here", Tokens: 1}})
	if err != nil {
		return nil, err
	}
	a, err := layout.Assign(nil, l)
	if err != nil {
		return nil, err
	}
	return layout.NewActive(layout.Placement{Layout: l, Assignment: a})
}

func (c *Config) addRebalancer(p *program.Program, md *metadata.Service, store meta.Store, identities sources.Sources, node rebalancer.Node, active *layout.Active, gateway *s3gateway.Service) (*rebalancer.Service, error) {
	info := p.Folder.Info()
	process := uuid.New()
	count := func(context.Context) (*clusterv1.GetCountersResponse, error) {
		return &clusterv1.GetCountersResponse{Process: process[:], Counters: gateway.Counters()}, nil
	}
	well := func(context.Context) error { return nil } // a service that fails ends this process
	deps := rebalancer.Deps{
		Store: store, Folder: p.Folder.Path(), Identities: identities, Token: p.Admin.Token(), ClusterID: info.ClusterID, Layouts: active,
		Node:      func(chunk.NodeID) (rebalancer.Node, error) { return node, nil },
		Peers:     []rebalancer.Peer{{Name: "s3-gateway", Address: c.S3.Listen, Check: well, Counters: count}, {Name: "metadata", Check: md.Check}},
		Diagnosis: p.Diagnosis.Diagnose,
		Version:   p.Version, Registry: p.Registry, Clock: clock.System{}, Random: clock.SystemRandom, Logger: p.Log,
	}
	if identities.Directory != nil {
		deps.Directory = identities.Directory
	}
	service, err := rebalancer.New(c.Rebalancer, deps)
	if err != nil {
		return nil, err
	}
	service.Register(p.Admin.GRPC())
	p.Add("rebalancer", service)
	return service, nil
}

// addConsole serves the operator's pages; objects are browsed through the S3 server of this process.
func (c *Config) addConsole(p *program.Program, api *rebalancer.Service, s3 net.Addr) error {
	c.Console.S3Region = c.S3.Region
	pages, err := api.Console(c.Console, p.Admin, func(context.Context) (*url.URL, error) {
		return url.Parse(credentials.EndpointURL(s3.String(), c.S3.TLS.Enabled()))
	})
	if err != nil {
		return err
	}
	pages.Register(p.Admin.HandleOpen)
	p.Add("console", pages)
	return nil
}

// welcome makes the first key and tells a person what to do with it.
func (c *Config) welcome(ctx context.Context, p *program.Program, store meta.Store, address string) error {
	s3 := credentials.EndpointURL(address, c.S3.TLS.Enabled())
	made, err := credentials.Ensure(ctx, p.Folder.Path(), credentials.Endpoint{URL: s3, Region: c.S3.Region}, credentials.Deps{
		HasKeys: func(ctx context.Context) (bool, error) {
			page, err := store.ListKeys(ctx, "", 1)
			return len(page.Keys) > 0, err
		},
		Add:    func(ctx context.Context, k credentials.Key) error { return addKey(ctx, store, k) },
		Random: clock.SystemRandom,
	})
	if err != nil {
		return fmt.Errorf("the first access key: %w", err)
	}
	pages := credentials.EndpointURL(p.Admin.Addr().String(), c.Admin.TLS.Enabled()) + console.Path
	_, err = io.WriteString(p.Out, credentials.Welcome(p.Folder.Path(), s3, p.Admin.Addr().String(), pages, made))
	return err
}
