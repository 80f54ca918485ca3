package rebalancer

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/consul/leader"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/identity/keys"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/meta"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
	"deuxfleurs.fr/garage/services/rebalancer/events"
	"deuxfleurs.fr/garage/services/rebalancer/usage"
)

// Config is the service's settings.
type Config struct {
	// StatusTimeout is how long a node or service may take to say how it is.
	StatusTimeout time.Duration `conf:"status-timeout" help:"how long a node or service may take to say how it is" min:"100ms" max:"1m"`
	// Settle is how long a gateway may go on to know a key that was deleted.
	Settle time.Duration `conf:"settle" help:"deleting a key answers after this time, in which gateways forget it" min:"0s" max:"1m"`
	// Return is how long a node that is back counts as away, when another one wants to stop: gateways look every ten seconds
	// whether a node that was away is back.
	Return time.Duration `conf:"return-time" help:"how long a chunk-node that is back still counts as away when another one asks for leave to stop: gateways find it again in this time; with Consul" min:"0s" max:"10m"`
	Events events.Config `conf:"events"`
}

// DefaultConfig is what suits a cluster, whose gateways keep keys for a short time.
func DefaultConfig() Config {
	return Config{StatusTimeout: 3 * time.Second, Settle: keys.MaxKeep, Return: 15 * time.Second, Events: events.DefaultConfig()}
}

// Node is a chunk-node as the rebalancer speaks to it.
type Node interface {
	Status(ctx context.Context) (chunk.NodeStatus, error)
	chunk.Controlled
}

// Peer is another service of the cluster.
type Peer struct {
	Name    string // "s3-gateway", "metadata", …
	Address string
	// Check returns nil if the service can serve.
	Check func(ctx context.Context) error
	// Counters tells what it has counted; nil: it counts nothing that is told.
	Counters func(ctx context.Context) (*clusterv1.GetCountersResponse, error)
}

// Deps are what the service works with.
type Deps struct {
	Store meta.Store
	// Folder is where what is remembered for people is kept: events and how much there was.
	Folder string
	// Identities finds who has an access key, as gateways do. Directory is LDAP, if the settings have it; nil: nothing is known of people.
	Identities identity.Source
	Directory  Directory
	// Token is the operator's, for calls that are sent on to other rebalancers for somebody who has signed in here.
	Token string
	// ClusterID is whose status this is.
	ClusterID uuid.UUID
	// Node reaches a node of the layouts in force. Kinds: NotFound.
	Node func(chunk.NodeID) (Node, error)
	// Layouts are those in force, and Peers the other services.
	Layouts *layout.Active
	Peers   []Peer
	// Consul, if set, is where layouts, nodes and services are found instead; Self is how others reach this
	// instance, and Dial reaches another one.
	Consul *consul.Client
	Self   Self
	Dial   leader.Dial
	// Diagnosis measures this program, and Parts are the others that can be; each may be nil.
	Diagnosis func(context.Context, *clusterv1.DiagnoseRequest) (*clusterv1.DiagnoseResponse, error)
	Parts     func() []Part
	Version   string // of this program
	// Registry takes the metrics; nil: they are not published.
	Registry prometheus.Registerer
	Clock    clock.Clock
	Random   clock.Random
	Logger   *slog.Logger
}

// Directory is LDAP: package ldap has it.
type Directory interface {
	// Check asks whether it can be reached. Kinds: Unavailable.
	Check(ctx context.Context) error
	// FindPerson is the person with the name. Kinds: as identity.Source.Find.
	FindPerson(ctx context.Context, name string) (identity.Identity, error)
	// SignIn returns the name of a person who knows the password and belongs to the group. Kinds: Unauthenticated, PermissionDenied, Unavailable, Overloaded.
	SignIn(ctx context.Context, name, password, group string) (string, error)
	// CheckMember finds out whether a person with the name that SignIn returned still belongs to the group. It is asked often. Kinds: PermissionDenied
	// if not; Unavailable, Deadline, Canceled, Overloaded.
	CheckMember(ctx context.Context, name, group string) error
}

// Service answers the admin API.
type Service struct {
	adminv1.UnimplementedAdminServiceServer
	config Config
	deps   Deps
	self   string // its ID in events
	events *events.Log
	usage  *usage.History
	counts counts

	cluster *cluster // nil without Consul
}

// New makes the service. Kinds: Invalid if something it cannot do without is missing.
func New(c Config, d Deps) (*Service, error) {
	if d.Store == nil || d.Identities == nil || d.Node == nil || d.Clock == nil || d.Random == nil || d.Logger == nil {
		return nil, errors.Newf(errors.Invalid, "the rebalancer needs a store, identities, a way to reach nodes, a clock, a source of randomness and a logger")
	}
	if d.Layouts == nil && d.Consul == nil {
		return nil, errors.Newf(errors.Invalid, "the rebalancer needs layouts, or Consul to find them in")
	}
	if d.Folder == "" {
		return nil, errors.Newf(errors.Invalid, "the rebalancer needs a folder for events")
	}
	if c.StatusTimeout <= 0 {
		c.StatusTimeout = DefaultConfig().StatusTimeout
	}
	s := &Service{config: c, deps: d}
	if d.Consul != nil {
		if d.Self.NodeID == uuid.Nil || d.Dial == nil {
			return nil, errors.Newf(errors.Invalid, "with Consul the rebalancer needs its node ID and a way to reach other rebalancers")
		}
		s.cluster = newCluster(d)
	}
	self := "rebalancer" // where there is but one
	if s.cluster != nil {
		self = s.cluster.self.NodeID.String()
	}
	var err error
	s.self = self
	s.events, err = events.Open(c.Events, events.Deps{Folder: filepath.Join(d.Folder, "events"), Self: self, Clock: d.Clock, Logger: d.Logger})
	if err != nil {
		return nil, err
	}
	if d.Registry != nil {
		d.Registry.MustRegister(&collector{s})
	}
	s.usage, err = usage.Open(filepath.Join(d.Folder, "usage"))
	return s, err
}

// Register adds the admin API to a gRPC server, which is expected to check the operator's token.
func (s *Service) Register(r grpc.ServiceRegistrar) {
	adminv1.RegisterAdminServiceServer(registrar{r, s, false}, s)
}

// RegisterRPC adds what other services call to the gRPC server for them: chunk-nodes report, and the admin API is for another
// rebalancer, which has checked the operator's token; the server must know that it is one, or check the token. It is for a service with Consul.
func (s *Service) RegisterRPC(r grpc.ServiceRegistrar) {
	adminv1.RegisterAdminServiceServer(registrar{r, s, true}, s)
	clusterv1.RegisterClusterServiceServer(r, &clusterServer{Service: s})
}

// Run lives as long as ctx. With Consul it takes part in the choice of the active instance; else it is that by itself. It notes what happens,
// and everything else it does when it is asked.
func (s *Service) Run(ctx context.Context) error {
	logging, stop := context.WithCancel(context.WithoutCancel(ctx))
	var log, work sync.WaitGroup
	log.Go(func() { s.events.Run(logging) })
	work.Go(func() { s.observe(ctx) })
	work.Go(func() { s.sample(ctx) })
	if s.cluster != nil {
		s.runCluster(ctx)
	}
	<-ctx.Done()
	work.Wait()
	stop() // last, so that it has what the others have noted at their end
	log.Wait()
	return nil
}
