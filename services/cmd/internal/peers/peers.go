package peers

import (
	"slices"

	"github.com/google/uuid"
	"google.golang.org/grpc"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/measured"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/membership"
	"deuxfleurs.fr/garage/pkg/meta/remote"
	"deuxfleurs.fr/garage/pkg/program"
	"deuxfleurs.fr/garage/pkg/rpc"
	"deuxfleurs.fr/garage/pkg/telemetry"
)

const (
	// metadataSetting is where programs are told the address of the metadata service.
	metadataSetting = "metadata-address"
	metadataDefault = "127.0.0.1:3902"
)

// Reach is how a program knows the others.
type Reach struct {
	program  *program.Program
	security rpc.Security
	identity rpc.Identity
	metrics  *telemetry.GRPCMetrics
}

// New makes a Reach for a program with that identity, which security says.
func New(p *program.Program, s rpc.Security, identity rpc.Identity) Reach {
	return Reach{program: p, security: s, identity: identity, metrics: telemetry.NewClientMetrics(p.Registry)}
}

// Nodes reaches the chunk-nodes of the layout file or, without one, of the layouts published in Consul. Chunks that are
// received take their memory from pool.
func (r Reach) Nodes(c membership.Config, pool *buffer.Pool) (*membership.Members, error) {
	if c.Layout == "" && r.program.Consul == nil {
		return nil, errors.E(errors.Invalid, errors.Setting, "cluster.layout",
			"name the file that says which chunk-nodes there are, or set consul.enabled to find them in Consul")
	}
	members := r.Members(pool)
	return members, r.follow(c, r.program.Folder.Path(layoutFile), members.Apply)
}

// Members reaches the chunk-nodes of the layouts that are put in force.
func (r Reach) Members(pool *buffer.Pool) *membership.Members {
	p := r.program
	var cluster uuid.UUID
	if p.Consul != nil { // else each folder may say another one
		cluster = p.Folder.Info().ClusterID
	}
	members := membership.New(membership.Deps{ClusterID: cluster, Credentials: r.identity.For(consul.ServiceChunkNode), Pool: pool, Metrics: r.metrics,
		Clock: clock.System{}, Logger: p.Log, CheckAddress: r.security.CheckAddress, Find: r.find(), Dial: r.dial(), Alive: r.alive()})
	p.OnClose(members.Close)
	r.diagnoseNodes(members)
	return members
}

// Follow puts the layout of the file in force or, without one, those published in Consul; nothing without either. put keeps them for a start
// while Consul is away.
func (r Reach) Follow(c membership.Config, put func(*layout.Active) error) error {
	return r.follow(c, "", put)
}

// follow is Follow where put keeps nothing if kept is the path of a file: that keeps them.
func (r Reach) follow(c membership.Config, kept string, put func(*layout.Active) error) error {
	switch {
	case c.Layout != "":
		a, err := c.Read()
		if err != nil {
			return err
		}
		return put(a)
	case r.program.Consul != nil:
		r.program.Add("layout", newFollower(r.program, kept, put))
	}
	return nil
}

// alive says what Consul says about a chunk-node; nil without Consul. Until Consul has answered all are believed alive.
func (r Reach) alive() func(chunk.NodeID) bool {
	if r.program.Consul == nil {
		return nil
	}
	watch := r.program.Consul.Watch(consul.ServiceChunkNode)
	return func(id chunk.NodeID) bool {
		view := watch.View()
		return !view.Known || slices.ContainsFunc(view.Instances, func(i consul.Instance) bool { return i.NodeID == id && i.Healthy })
	}
}

// find is where a node is that has no address in the layout; nil without Consul.
func (r Reach) find() func(chunk.NodeID) string {
	if r.program.Consul == nil {
		return nil
	}
	return func(id chunk.NodeID) string { return consul.NodeTarget(consul.ServiceChunkNode, id) }
}

// dial sends traces on, and resolves targets of Consul.
func (r Reach) dial() []grpc.DialOption {
	options := r.program.Tracing.DialOptions()
	if r.program.Consul == nil {
		return options
	}
	accept := func(address string) error { return r.security.CheckAddress("rpc.tls", address) }
	return append(options, grpc.WithResolvers(r.program.Consul.Builder(accept)))
}

// Chunks is the chunk store over all nodes; its metrics are those of the program.
func (r Reach) Chunks(nodes *membership.Members, c membership.StoreConfig) (chunk.Store, error) {
	store, err := nodes.Chunks(c)
	if err != nil {
		return nil, err
	}
	r.program.Registry.MustRegister(store.Collector())
	return measured.New(store, measured.NewMeter(r.program.Registry, "chunk_cluster", "chunk")), nil
}

// Metadata makes a connection to the metadata service at address or, without one, to all that Consul knows. Calls that
// fail on their way are repeated as far as that is safe.
func (r Reach) Metadata(address string) (*grpc.ClientConn, error) {
	switch {
	case address == "" && r.program.Consul != nil:
		return r.metadata(consul.Target(consul.ServiceMetadata))
	case address == "":
		address = metadataDefault
	}
	if err := r.security.CheckAddress(metadataSetting, address); err != nil {
		return nil, err
	}
	return r.metadata(address)
}

func (r Reach) metadata(target string) (*grpc.ClientConn, error) {
	options := append(remote.DialOptions(clock.System{}), r.dial()...)
	conn, err := rpc.Dial(target, r.identity.For(consul.ServiceMetadata), r.metrics, options...)
	if err != nil {
		return nil, err
	}
	r.program.OnClose(conn.Close)
	r.diagnoseMetadata(target, conn)
	return conn, nil
}
