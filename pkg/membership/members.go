package membership

import (
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/remote"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/telemetry"
)

// closeTimeout is how long what a chunk store still does in the background may take when it is closed.
const closeTimeout = 10 * time.Second

// Deps are what Members work with.
type Deps struct {
	ClusterID   uuid.UUID                        // layouts go between nodes of one cluster only; zero: not known
	Credentials credentials.TransportCredentials // nil: plain text
	Pool        *buffer.Pool                     // memory for chunks that are received
	Metrics     *telemetry.GRPCMetrics
	Clock       clock.Clock
	Logger      *slog.Logger
	// CheckAddress refuses addresses of a layout that must not be spoken to; nil accepts all.
	CheckAddress func(setting, address string) error
	// Find is the gRPC target of a node that has no address in the layout; nil: each must have one.
	Find func(chunk.NodeID) string
	// Dial is added to the options of the connections, such as what resolves the targets of Find.
	Dial []grpc.DialOption
	// Alive says whether a node is believed to answer, as those know who watch it; nil: calls to it show it.
	Alive func(chunk.NodeID) bool
}

// View is the layouts in force, and a client for each node of them, whose requests carry the number of the current one. It must not be changed.
type View struct {
	Layouts *layout.Active
	Nodes   map[chunk.NodeID]*remote.Client
}

// member is a client and what it was made for.
type member struct {
	client *remote.Client
	target string
}

// Members follows the layout. Make it with New and Close it.
type Members struct {
	deps Deps

	applying sync.Mutex    // held by Apply and Close
	retired  chan struct{} // closed when all that was retired so far has ended; nil: nothing was

	mu      sync.Mutex
	view    View // its Layouts are nil before the first
	members map[chunk.NodeID]member
	chunks  []*Chunks

	work sync.WaitGroup // what is being retired
}

// New makes members of no layout yet.
func New(d Deps) *Members { return &Members{deps: d, members: map[chunk.NodeID]member{}} }

// Current is what is in force; false before the first layout.
func (m *Members) Current() (View, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.view, m.view.Layouts != nil
}

// Apply puts layouts in force, if they are newer than those that are: their nodes get clients, which connect when first used, and
// each chunk store goes over to them. Layouts that cannot be used change nothing. Kinds: Invalid.
func (m *Members) Apply(a *layout.Active) error {
	m.applying.Lock()
	defer m.applying.Unlock()
	m.mu.Lock()
	old, chunks, now := m.members, m.chunks, m.view.Layouts
	m.mu.Unlock()
	if !a.Newer(now) {
		return nil
	}
	next, made, err := m.reach(a, old)
	if err != nil {
		return errors.Join(err, closeAll(made))
	}
	view := View{Layouts: a, Nodes: make(map[chunk.NodeID]*remote.Client, len(next))}
	for id, n := range next {
		view.Nodes[id] = n.client.At(a)
	}
	stores := make([]*generation, len(chunks))
	for i, c := range chunks {
		if stores[i], err = c.generation(view); err != nil {
			for _, g := range stores[:i] {
				g.close()
			}
			return errors.Join(err, closeAll(made))
		}
	}
	m.mu.Lock()
	m.view, m.members = view, next
	m.mu.Unlock()
	var retired []*generation
	for i, c := range chunks {
		if g := c.swap(stores[i]); g != nil {
			retired = append(retired, g)
		}
	}
	before, done := m.retired, make(chan struct{})
	m.retired = done
	m.work.Go(func() {
		defer close(done)
		m.retire(retired, gone(old, next), before)
	})
	m.deps.Logger.Info("the layout is in force", "layout", a.Number(), "oldest", a.Oldest(), "nodes", len(a.Nodes()), "copies", a.Current().Layout.Replication)
	return nil
}

// reach has a client for each node, those of old where they reach it, and returns beside them those it made.
func (m *Members) reach(a *layout.Active, old map[chunk.NodeID]member) (next map[chunk.NodeID]member, made []member, err error) {
	next = make(map[chunk.NodeID]member, len(a.Nodes()))
	for _, n := range a.Nodes() {
		target, err := m.target(n)
		if err != nil {
			return nil, made, err
		}
		if known, ok := old[n.ID]; ok && known.target == target {
			next[n.ID] = known
			continue
		}
		client, err := remote.New(remote.Options{ID: n.ID, ClusterID: m.deps.ClusterID, Address: target, Credentials: m.deps.Credentials,
			Pool: m.deps.Pool, Metrics: m.deps.Metrics, Clock: m.deps.Clock, Dial: m.deps.Dial})
		if err != nil {
			return nil, made, err
		}
		next[n.ID] = member{client: client, target: target}
		made = append(made, next[n.ID])
	}
	return next, made, nil
}

func (m *Members) target(n layout.Node) (string, error) {
	if n.Address == "" {
		if m.deps.Find != nil {
			return m.deps.Find(n.ID), nil
		}
		return "", errors.E(errors.Invalid, errors.Node, n.ID.String(), "the layout file gives it no address")
	}
	if m.deps.CheckAddress != nil {
		if err := m.deps.CheckAddress("cluster.layout", n.Address); err != nil {
			return "", err
		}
	}
	return n.Address, nil
}

// gone are the members that next does not use.
func gone(old, next map[chunk.NodeID]member) []member {
	var list []member
	for id, n := range old {
		if next[id].client != n.client {
			list = append(list, n)
		}
	}
	return list
}

// retire ends what no operation begins on any more. Stores retired before may still use the same members.
func (m *Members) retire(stores []*generation, members []member, before <-chan struct{}) {
	for _, g := range stores {
		g.close()
	}
	if before != nil {
		<-before
	}
	if err := closeAll(members); err != nil {
		m.deps.Logger.Debug("closing the connections to nodes that are gone", "error", err)
	}
}

func closeAll(members []member) error {
	var errs []error
	for _, n := range members {
		errs = append(errs, n.client.Close())
	}
	return errors.Join(errs...)
}

// Close ends all stores, waits for what they still do, and closes the connections.
func (m *Members) Close() error {
	m.applying.Lock()
	defer m.applying.Unlock()
	m.mu.Lock()
	members, chunks := maps.Clone(m.members), m.chunks
	m.mu.Unlock()
	for _, c := range chunks {
		if g := c.swap(nil); g != nil {
			g.close()
		}
	}
	m.work.Wait()
	return closeAll(gone(members, nil))
}
