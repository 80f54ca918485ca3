package peers

import (
	"github.com/google/uuid"
	"google.golang.org/grpc"

	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/consul/leader"
	"deuxfleurs.fr/garage/pkg/rpc"
)

// DialNode makes a connection to one instance of a service, found through Consul. The caller closes it.
func (r Reach) DialNode(service string, node uuid.UUID) (*grpc.ClientConn, error) {
	return rpc.Dial(consul.NodeTarget(service, node), r.identity.For(service), r.metrics, r.dial()...)
}

// Rebalancer finds the active rebalancer; only with Consul.
func (r Reach) Rebalancer() *leader.Finder {
	c := r.program.Consul
	return leader.NewFinder(c, c.Key(leader.RebalancerKey), consul.ServiceRebalancer, r.DialNode, r.program.Log)
}
