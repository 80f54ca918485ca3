package consul

import (
	"cmp"
	"context"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"
	"google.golang.org/grpc/resolver"

	"deuxfleurs.fr/garage/pkg/errors"
)

// Scheme begins the gRPC targets that Consul resolves.
const Scheme = "consul"

// Target is the gRPC target of all healthy instances of a service.
func Target(service string) string { return Scheme + ":///" + service }

// NodeTarget is the gRPC target of one instance, wherever it is.
func NodeTarget(service string, node uuid.UUID) string {
	return Target(service) + "/" + node.String()
}

// Builder resolves the targets made by Target and NodeTarget. accept refuses addresses that must not
// be spoken to; they are left out. nil accepts all.
func (c *Client) Builder(accept func(address string) error) resolver.Builder {
	return &builder{client: c, accept: accept}
}

type builder struct {
	client *Client
	accept func(address string) error
}

// Scheme implements resolver.Builder.
func (b *builder) Scheme() string { return Scheme }

// Build implements resolver.Builder.
func (b *builder) Build(target resolver.Target, conn resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	service, node, single := strings.Cut(target.Endpoint(), "/")
	r := &watcher{client: b.client, watch: b.client.Watch(service), accept: b.accept, conn: conn, service: service}
	if single {
		id, err := uuid.Parse(node)
		if err != nil {
			return nil, errors.Newf(errors.Invalid, "gRPC target %s: %q is no node ID", target.String(), node)
		}
		r.node = id
	}
	ctx, cancel := context.WithCancel(b.client.ctx)
	r.cancel = cancel
	r.work.Go(func() { r.run(ctx) })
	return r, nil
}

// watcher hands the addresses of a target to a gRPC connection.
type watcher struct {
	client  *Client
	watch   *Watch
	accept  func(address string) error
	conn    resolver.ClientConn
	service string
	node    uuid.UUID // zero: all instances
	cancel  context.CancelFunc
	work    sync.WaitGroup

	refused map[string]bool // addresses whose refusal was said
	copied  bool            // two programs have the ID of the node
}

// ResolveNow implements resolver.Resolver. What Consul says is followed all the time.
func (r *watcher) ResolveNow(resolver.ResolveNowOptions) {}

// Close implements resolver.Resolver.
func (r *watcher) Close() {
	r.cancel()
	r.work.Wait()
}

func (r *watcher) run(ctx context.Context) {
	var last []string
	for {
		view := r.watch.View()
		r.lookForCopies(view.Instances)
		addresses := r.accepted(choose(view.Instances, r.node))
		switch {
		case len(addresses) > 0 && !slices.Equal(addresses, last):
			last = addresses
			r.update(addresses)
		case len(addresses) == 0 && last == nil && view.Known:
			r.conn.ReportError(r.nobody())
		}
		select {
		case <-view.Changed:
		case <-ctx.Done():
			return
		}
	}
}

// lookForCopies says when there are two of a node.
func (r *watcher) lookForCopies(instances []Instance) {
	var at []string
	for _, i := range instances {
		if r.node != uuid.Nil && i.NodeID == r.node && i.Healthy {
			at = append(at, i.Address)
		}
	}
	if len(at) > 1 && !r.copied {
		r.client.log.Error("two programs have the same node ID, and only one of them is used: has a node just moved, or was its data folder copied?", "of", r.service, "id", r.node, "addresses", at, "used", choose(instances, r.node)[0])
	}
	r.copied = len(at) > 1
}

func (r *watcher) update(addresses []string) {
	state := resolver.State{}
	for _, a := range addresses {
		host, _, err := net.SplitHostPort(a)
		if err != nil {
			host = a
		}
		// The host is what a certificate from files is issued for; Consul's have no host names in them.
		state.Addresses = append(state.Addresses, resolver.Address{Addr: a, ServerName: host})
	}
	if err := r.conn.UpdateState(state); err != nil {
		r.client.log.Debug("gRPC does not take the addresses of a service", "of", r.service, "error", err)
	}
}

func (r *watcher) nobody() error {
	if r.node != uuid.Nil {
		return errors.E(errors.Unavailable, errors.Node, r.node.String(), "Consul knows no %s with this ID: is it running?", r.service)
	}
	return errors.Newf(errors.Unavailable, "Consul knows no %s: is one running?", r.service)
}

// accepted leaves out addresses that must not be spoken to.
func (r *watcher) accepted(addresses []string) []string {
	if r.accept == nil {
		return addresses
	}
	return slices.DeleteFunc(addresses, func(a string) bool {
		err := r.accept(a)
		if err != nil && !r.refused[a] {
			if r.refused == nil {
				r.refused = map[string]bool{}
			}
			r.refused[a] = true
			r.client.log.Error("an address that Consul gave is not used", "of", r.service, "error", err)
		}
		return err != nil
	})
}

// choose is the address of one node, healthy or not, since only it will do; or, without one, those of all
// healthy instances. If none is healthy they are all tried: it may be Consul that is not well.
func choose(instances []Instance, node uuid.UUID) []string {
	var healthy, all []string
	if node != uuid.Nil {
		instances = slices.SortedFunc(slices.Values(instances), func(a, b Instance) int { return cmp.Compare(a.Index, b.Index) })
	}
	for _, i := range instances {
		if node != uuid.Nil && i.NodeID != node {
			continue
		}
		all = append(all, i.Address)
		if i.Healthy {
			healthy = append(healthy, i.Address)
		}
	}
	switch {
	case len(healthy) == 0:
		return all
	case node != uuid.Nil:
		// A second process of a node, on a copy of its data folder, must not get some of what is meant for it: it
		// would be missing on the other. All programs choose the one that came first.
		return []string{healthy[0]}
	}
	return healthy
}
