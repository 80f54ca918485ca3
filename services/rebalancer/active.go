package rebalancer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/consul/leader"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/layout/kv"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	"deuxfleurs.fr/garage/services/rebalancer/leave"
)

// forwardedKey marks a call that another rebalancer has sent on; it is not sent on again.
const forwardedKey = "garage-forwarded"

// tokenKey carries the operator's token, which is sent on: without certificates of Consul it is what the active one asks for.
const tokenKey = "authorization"

// Self is this instance, as others reach it.
type Self struct {
	NodeID  uuid.UUID
	Address string // host:port of its gRPC server for other services
}

// seat is what this instance knows about who is active.
type seat struct {
	mu     sync.Mutex
	term   *term          // while this one is active
	active *leader.Active // who is; nil: nobody, or not known
}

// term is a time in which this instance is the active one.
type term struct {
	number uint64      // grows from each term to the next
	base   leader.Base // that the number was made of
	held   leader.Held
	began  time.Time
	ctx    context.Context // ends with it
	end    context.CancelFunc
	roster *roster

	recovering sync.Mutex // protects recovery
	recovery   string     // why layouts that Consul has lost are not put back yet, or empty

	leaving sync.Mutex // protects book
	book    leave.Book
}

func (s *seat) set(change func(*seat)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// get returns the term of this instance, or else who is active.
func (s *seat) get() (*term, *leader.Active) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.term != nil && s.term.ctx.Err() != nil {
		return nil, nil
	}
	return s.term, s.active
}

// cluster is the part of the service that lives with Consul.
type cluster struct {
	consul *consul.Client
	store  *kv.Store
	self   Self
	finder *leader.Finder
	seat   seat
	resign chan struct{} // closed when this instance must not be the active one any more
	once   sync.Once

	mu    sync.Mutex
	last  *layout.Active // the layouts in force that were seen last; nil: none
	newer chan struct{}  // closed when last changes

	changing sync.Mutex // one change of the layout at a time

	calling  sync.Mutex
	siblings map[uuid.UUID]*grpc.ClientConn // to other instances; made when they are needed
	hungUp   bool                           // no more are made

	history sync.Mutex
	placed  map[chunk.NodeID]bool // nodes of the layouts up to read
	read    uint64
}

func newCluster(d Deps) *cluster {
	// What Consul says is followed from the start, so that it is known when the operator asks.
	for _, service := range []string{consul.ServiceChunkNode, consul.ServiceGateway, consul.ServiceMetadata, consul.ServiceRebalancer} {
		d.Consul.Watch(service)
	}
	return &cluster{consul: d.Consul, store: kv.New(d.Consul, d.Logger), self: d.Self,
		finder: leader.NewFinder(d.Consul, d.Consul.Key(leader.RebalancerKey), consul.ServiceRebalancer, d.Dial, d.Logger),
		resign: make(chan struct{}), newer: make(chan struct{})}
}

// inForce is the layouts that Consul had last (nil: none), and what is closed when newer ones are.
func (c *cluster) inForce() (*layout.Active, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, c.newer
}

// put takes note of newer layouts.
func (c *cluster) put(a *layout.Active) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = a
	close(c.newer)
	c.newer = make(chan struct{})
}

// lastSnapshot is the layouts in force now or, with an error, the last ones known.
func (c *cluster) lastSnapshot(ctx context.Context) (kv.Snapshot, error) {
	snapshot, err := c.store.Read(ctx)
	if err != nil {
		snapshot.Active, _ = c.inForce()
	}
	return snapshot, err
}

// Resign gives up being the active one, for good: another instance takes over at once. A program calls it before it stops.
func (s *Service) Resign(context.Context) {
	if c := s.cluster; c != nil {
		c.once.Do(func() { close(c.resign) })
	}
}

// runCluster takes part in the choice of the active one, and follows who it is, until ctx ends.
func (s *Service) runCluster(ctx context.Context) {
	c := s.cluster
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	campaigning, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() {
		defer stop()
		select {
		case <-c.resign:
		case <-ctx.Done():
		}
	})
	work.Go(func() {
		candidate := leader.Candidate{Leader: leader.Leader{NodeID: c.self.NodeID, Address: c.self.Address}, Key: c.consul.Key(leader.RebalancerKey),
			ServiceID: consul.ServiceRebalancer + "-" + c.self.NodeID.String(), Clock: s.deps.Clock, Log: s.deps.Logger}
		s.ended(ctx, leader.Campaign(campaigning, c.consul, candidate, s.lead))
	})
	work.Go(func() {
		s.ended(ctx, c.finder.Follow(ctx, func(a *leader.Active) { c.seat.set(func(s *seat) { s.active = a }) }))
	})
	work.Go(func() {
		s.ended(ctx, c.store.Watch(ctx, func(a *layout.Active) {
			c.put(a)
			l := a.Current().Layout
			s.deps.Logger.Info("layout in force", "number", l.Number, "oldest", a.Oldest(), "nodes", len(l.Nodes), "copies", l.Replication)
		}))
	})
	work.Wait()
	c.hangUp()
}

// ended says that something ended that should last as long as ctx.
func (s *Service) ended(ctx context.Context, err error) {
	if ctx.Err() == nil && !errors.Is(err, errors.Canceled) {
		s.deps.Logger.Error("what lives with Consul has ended", "error", err)
	}
}

// lead is what this instance does while it is the active one: one term or, if nodes have obeyed a higher one, another.
func (s *Service) lead(ctx context.Context, held leader.Held) {
	for ctx.Err() == nil {
		t, err := s.newTerm(ctx, held)
		if err != nil {
			s.deps.Logger.Warn("the term cannot begin; it is tried again", "error", err)
			if clock.Sleep(ctx, s.deps.Clock, beginAgain) != nil {
				return
			}
			continue
		}
		s.deps.Logger.Info("the term begins", "term", t.number)
		s.note(adminv1.EventKind_EVENT_KIND_LEADER, adminv1.Severity_SEVERITY_INFO, s.cluster.self.NodeID.String(),
			fmt.Sprintf("the rebalancer at %s is the active one: term %d begins", s.cluster.self.Address, t.number))
		s.cluster.seat.set(func(s *seat) { s.term = t })
		var work sync.WaitGroup
		work.Go(func() { s.recoverLayouts(t.ctx, t) })
		s.retireLayouts(t.ctx, t)
		work.Wait()
		s.cluster.seat.set(func(s *seat) { s.term = nil })
		t.end()
		s.note(adminv1.EventKind_EVENT_KIND_LEADER, adminv1.Severity_SEVERITY_INFO, s.cluster.self.NodeID.String(),
			fmt.Sprintf("the rebalancer at %s is no longer the active one: term %d has ended", s.cluster.self.Address, t.number))
	}
}

// here returns the term in which this instance is the active one, or an error that says who is. Kinds: Unavailable.
func (s *Service) here() (*term, error) {
	t, active := s.cluster.seat.get()
	switch {
	case t != nil:
		return t, nil
	case active == nil:
		return nil, errors.Newf(errors.Unavailable, "no rebalancer is the active one at this moment: try again in a few seconds; if it stays so, look at the rebalancers and at Consul")
	}
	return nil, errors.Newf(errors.Unavailable, "the active rebalancer is %v at %s", active.NodeID, active.Address)
}

// needsConsul refuses what a layout that is a file cannot do.
func needsConsul() error {
	return errors.E(errors.PreconditionFailed, errors.Layout, "",
		"this server's layout does not change while it runs: layouts are staged and applied in clusters that use Consul (consul.enabled); elsewhere the layout is the file of cluster.layout, or the one node of standalone")
}

// commanded is decided where there is Consul; elsewhere do answers, without a term.
func commanded[Q, R any](ctx context.Context, s *Service, request *Q, there func(adminv1.AdminServiceClient, context.Context, *Q, ...grpc.CallOption) (*R, error), do func(context.Context, *term, *Q) (*R, error)) (*R, error) {
	if s.cluster == nil {
		return do(ctx, nil, request)
	}
	return decided(ctx, s, request, there, do)
}

// decided has a call answered by the active instance: by do if that is this one, else there.
func decided[Q, R any](ctx context.Context, s *Service, request *Q, there func(adminv1.AdminServiceClient, context.Context, *Q, ...grpc.CallOption) (*R, error), do func(context.Context, *term, *Q) (*R, error)) (*R, error) {
	if s.cluster == nil {
		return nil, needsConsul()
	}
	mine, err := s.here()
	if err == nil {
		return do(ctx, mine, request)
	}
	_, active := s.cluster.seat.get()
	if active == nil || active.NodeID == s.cluster.self.NodeID || len(metadata.ValueFromIncomingContext(ctx, forwardedKey)) > 0 {
		return nil, err
	}
	if c, ok := ctx.Value(callOf{}).(*call); ok {
		c.sentTo = active.NodeID.String()
	}
	answer, err := there(adminv1.NewAdminServiceClient(active.Conn), s.forwarded(ctx), request)
	if unreached(err) {
		err = errors.Annotate(err, "asking the active rebalancer at %s", active.Address)
	}
	return answer, err
}
