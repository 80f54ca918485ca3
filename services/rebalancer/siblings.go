package rebalancer

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/errors"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// sentOn reports whether another rebalancer asks.
func sentOn(ctx context.Context) bool {
	return len(metadata.ValueFromIncomingContext(ctx, forwardedKey)) > 0
}

// everywhere asks the other rebalancers that Consul knows the same, at the same time, each for [Config.StatusTimeout] at most. take gets the
// answers one after the other; problems name who gave none. A call that another rebalancer has sent on is not sent on again.
func everywhere[Q, R any](ctx context.Context, s *Service, request *Q, there func(adminv1.AdminServiceClient, context.Context, *Q, ...grpc.CallOption) (*R, error), take func(self string, answer *R)) (problems []string) {
	if s.cluster == nil || sentOn(ctx) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.StatusTimeout)
	defer cancel()
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, i := range s.deps.Consul.Watch(consul.ServiceRebalancer).Instances() {
		if i.NodeID == s.cluster.self.NodeID || i.NodeID == uuid.Nil {
			continue
		}
		asking.Go(func() {
			answer, err := askSibling(ctx, s, i, request, there)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				problems = append(problems, fmt.Sprintf("the rebalancer on %s (%s) gives no answer, and what it has noted is missing: %v", cmp.Or(i.Machine, i.Address), i.NodeID, err))
				return
			}
			take(i.NodeID.String(), answer)
		})
	}
	asking.Wait()
	slices.Sort(problems)
	return problems
}

func askSibling[Q, R any](ctx context.Context, s *Service, i consul.Instance, request *Q, there func(adminv1.AdminServiceClient, context.Context, *Q, ...grpc.CallOption) (*R, error)) (*R, error) {
	if !i.Healthy {
		return nil, errors.Newf(errors.Unavailable, "Consul's checks of it fail")
	}
	conn, err := s.cluster.call(i.NodeID, s.deps.Dial)
	if err != nil {
		return nil, err
	}
	return there(adminv1.NewAdminServiceClient(conn), s.forwarded(ctx), request)
}

// maxSiblings bounds the connections that are kept: there are two or three rebalancers, and those that are gone for good.
const maxSiblings = 16

// call is a connection to another instance.
func (c *cluster) call(id uuid.UUID, dial func(service string, node uuid.UUID) (*grpc.ClientConn, error)) (*grpc.ClientConn, error) {
	c.calling.Lock()
	defer c.calling.Unlock()
	if conn := c.siblings[id]; conn != nil {
		return conn, nil
	}
	if c.hungUp {
		return nil, errors.Newf(errors.Unavailable, "this rebalancer is stopping")
	}
	if len(c.siblings) >= maxSiblings {
		c.close()
	}
	conn, err := dial(consul.ServiceRebalancer, id)
	if err != nil {
		return nil, err
	}
	if c.siblings == nil {
		c.siblings = make(map[uuid.UUID]*grpc.ClientConn)
	}
	c.siblings[id] = conn
	return conn, nil
}

// hangUp closes the connections to other instances.
func (c *cluster) hangUp() {
	c.calling.Lock()
	defer c.calling.Unlock()
	c.hungUp = true
	c.close()
}

func (c *cluster) close() {
	for _, conn := range c.siblings {
		conn.Close() // fails only if it is closed already
	}
	c.siblings = nil
}
