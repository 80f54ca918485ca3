// Command s3-gateway serves S3: it keeps nothing itself, and any number of it may run.
package main

import (
	"context"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/config"
	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/identity/keys"
	"deuxfleurs.fr/garage/pkg/identity/sources"
	"deuxfleurs.fr/garage/pkg/membership"
	"deuxfleurs.fr/garage/pkg/meta/remote"
	"deuxfleurs.fr/garage/pkg/program"
	"deuxfleurs.fr/garage/pkg/rpc"
	"deuxfleurs.fr/garage/pkg/telemetry"
	"deuxfleurs.fr/garage/services/cmd/internal/peers"
	s3gateway "deuxfleurs.fr/garage/services/s3-gateway"
)

type settings struct {
	program.Settings `conf:""`
	program.Join     `conf:""`
	Memory           config.Size            `conf:"memory" help:"memory for bodies on their way in and out" min:"32MiB"`
	S3               s3gateway.Config       `conf:"s3"`
	RPC              rpc.CallConfig         `conf:"rpc"`
	Cluster          membership.StoreConfig `conf:"cluster"`
	MetadataAddress  string                 `conf:"metadata-address" flag:"metadata" help:"address of the metadata service; default: all that Consul knows, or 127.0.0.1:3902 without Consul"`
	Identity         sources.Config         `conf:"identity"`
	KeyCache         time.Duration          `conf:"key-cache" help:"how long an access key is kept in memory; at most what rebalancers wait for (rebalancer.settle)" min:"0s" max:"2s"`
}

func main() {
	s := &settings{Settings: program.DefaultSettings("var/s3-gateway", "127.0.0.1:3910"), Join: program.DefaultJoin(), Memory: buffer.DefaultLimit,
		S3: s3gateway.DefaultConfig(), Cluster: membership.DefaultStoreConfig(), Identity: sources.DefaultConfig(), KeyCache: keys.MaxKeep}
	s.Settings.Join = &s.Join
	program.Main(program.Command("s3-gateway", "Serve S3", s, &s.Settings, s.build))
}

func (s *settings) build(ctx context.Context, p *program.Program) error {
	identity, err := p.Identity(ctx, consul.ServiceGateway, s.RPC.TLS)
	if err != nil {
		return err
	}
	reach := peers.New(p, s.RPC.TLS, identity)
	pool := buffer.NewPool(int(s.Memory), clock.System{})
	p.Add("memory", pool)
	telemetry.RegisterPool(p.Registry, pool)
	nodes, err := reach.Nodes(s.Cluster.Config, pool)
	if err != nil {
		return err
	}
	chunks, err := reach.Chunks(nodes, s.Cluster)
	if err != nil {
		return err
	}
	conn, err := reach.Metadata(s.MetadataAddress)
	if err != nil {
		return err
	}
	listener, err := p.Listen("s3.listen", s.S3.Listen)
	if err != nil {
		return err
	}
	store := remote.New(conn)
	identities, err := sources.New(ctx, s.Identity, sources.Deps{Keys: store, KeyCache: s.KeyCache, Logger: p.Log, Registry: p.Registry})
	if err != nil {
		return err
	}
	p.OnClose(identities.Close)
	identities.AddTo(p.Diagnosis)
	service, err := s3gateway.New(s.S3, s3gateway.Deps{
		Meta: store, Chunks: chunks, Identities: identities, Pool: pool,
		Clock: clock.System{}, Random: clock.SystemRandom, Logger: p.Log, Registry: p.Registry, Tracing: p.Tracing, Listener: listener,
	})
	if err != nil {
		return err
	}
	p.Add("s3-gateway", service)
	p.Diagnosis.AddFiles("s3.tls", s.S3.TLS)
	counters := &s3gateway.Counting{NodeID: p.Folder.Info().NodeID, Process: uuid.New(), Counters: service.Counters, Clock: clock.System{}, Logger: p.Log}
	counters.Register(p.Admin.GRPC())
	if p.Consul != nil {
		counters.Finder = reach.Rebalancer()
		p.Add("report", counters)
	}
	return p.Announce(consul.Service{Name: consul.ServiceGateway, TLS: s.S3.TLS.Enabled()}, "s3.listen", service.Addr())
}
