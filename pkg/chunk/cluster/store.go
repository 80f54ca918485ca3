package cluster

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/quorum"
)

// Settings are the durations and limits of a Store.
type Settings struct {
	WriteTimeout time.Duration // the longest a Put, PutRef or Delete takes to answer, and waits before it begins
	ReadTimeout  time.Duration // the longest a Get takes
	Grace        time.Duration // how long owners may go on after a write is answered
	Patience     time.Duration // how long a write waits for owners that seemed dead, when they are needed
	Retries      int           // how often an owner that failed is tried again, when it is needed
	Backoff      time.Duration // before the first retry; doubles
	SideTimeout  time.Duration // of recording a debt, of a repair and of a probe
	Operations   int           // at the same time, before their answer; more wait
	Late         int           // writes that go on after their answer
	LateBytes    int64         // and the bytes they hold; past it owners are owed at once
	Repairs      int           // bad copies being replaced at the same time; more are left to the scrub
	Health       quorum.HealthConfig
	Window       quorum.WindowConfig // of each node
}

// Defaults are the settings of the design.
var Defaults = Settings{
	WriteTimeout: 10 * time.Second,
	ReadTimeout:  20 * time.Second,
	Grace:        time.Second,
	Patience:     3 * time.Second,
	Retries:      2,
	Backoff:      50 * time.Millisecond,
	SideTimeout:  5 * time.Second,
	Operations:   1024,
	Late:         1024,
	LateBytes:    64 << 20,
	Repairs:      4,
	Health:       quorum.DefaultHealth,
	Window:       quorum.DefaultWindow,
}

// Member is a node as the store reaches it.
type Member struct {
	Node chunk.Node
	// Verified says that what Node.Get returns was verified in this process
	// already, as a remote.Client does, so that it need not be hashed again.
	Verified bool
}

// Config is what a Store is made of.
type Config struct {
	Layouts *layout.Active
	Members map[chunk.NodeID]Member // of all nodes of these
	// Alive says whether a node is believed to answer, besides what calls to it show; nil: all are.
	Alive    func(chunk.NodeID) bool
	Clock    clock.Clock
	Log      *slog.Logger
	Settings Settings
}

// Store implements chunk.Store over the nodes of the layouts in force.
type Store struct {
	settings Settings
	clock    clock.Clock
	log      *slog.Logger
	layouts  *layout.Active
	peers    []*peer // in the order of the layouts' nodes

	slots   chan struct{} // one for each operation before its answer
	repairs chan struct{}
	turn    chan struct{} // held by the write that is first in line for room
	room    chan struct{} // tells it that there is more
	late    atomic.Int64  // writes after their answer
	bytes   atomic.Int64  // that these hold
	counts  counters

	root      context.Context // ends when Close waits no longer
	stop      context.CancelFunc
	probes    context.Context // ends when Close begins
	endProbes context.CancelFunc

	mu     sync.RWMutex // held for reading while something is added to work
	closed bool
	work   sync.WaitGroup
}

var (
	_ chunk.Store          = (*Store)(nil)
	_ chunk.VerifiedPutter = (*Store)(nil)
)

// New makes a store. It fails with kind Invalid if a node has no Member. Close ends it; the nodes stay the caller's.
func New(c Config) (*Store, error) {
	s := &Store{
		settings: c.Settings,
		clock:    c.Clock,
		log:      c.Log,
		layouts:  c.Layouts,
		slots:    make(chan struct{}, max(c.Settings.Operations, 1)),
		repairs:  make(chan struct{}, max(c.Settings.Repairs, 1)),
		turn:     make(chan struct{}, 1),
		room:     make(chan struct{}, 1),
	}
	for _, n := range c.Layouts.Nodes() {
		m, found := c.Members[n.ID]
		if !found {
			return nil, errors.E(errors.Invalid, errors.Node, n.ID.String(), "is in layout %d, or one before it, but nothing says how to reach it", c.Layouts.Number())
		}
		p := newPeer(n, m, c.Settings)
		p.alive = c.Alive
		s.peers = append(s.peers, p)
	}
	s.root, s.stop = context.WithCancel(context.Background())
	s.probes, s.endProbes = context.WithCancel(s.root)
	return s, nil
}

// Close refuses new operations, waits for those under way and for what follows
// them, and returns when no goroutine of the store is left. After timeout it
// gives up what still waits.
func (s *Store) Close(timeout time.Duration) {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.work.Wait()
		close(done)
	}()
	timer := s.clock.NewTimer(timeout)
	defer timer.Stop()
	s.endProbes()
	select {
	case <-done:
	case <-timer.C():
	}
	s.stop()
	<-done
}

// add counts a goroutine or an operation that Close waits for; it fails when
// the store is closed.
func (s *Store) add() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return errors.Newf(errors.Unavailable, "the chunk store is shutting down")
	}
	s.work.Add(1)
	return nil
}

// begin waits for a slot for an operation; end frees it.
func (s *Store) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return errors.Wrap(errors.KindOf(err), err, "beginning with a chunk")
	}
	if err := s.add(); err != nil {
		return err
	}
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
	case <-s.root.Done():
	}
	s.work.Done()
	if ctx.Err() == context.Canceled {
		return errors.Wrap(errors.Canceled, ctx.Err(), "waiting for %d other chunks", cap(s.slots))
	}
	return errors.Newf(errors.Overloaded, "%d chunks are being read and written already: slow down", cap(s.slots))
}

func (s *Store) end() {
	<-s.slots
	s.work.Done()
}

// owners are the places in peers of those who own h, most preferred first.
func (s *Store) owners(h chunk.Hash) []uint16 { return s.layouts.Owners(h.Partition()) }

// holders are the owners, and those of older layouts in force: who may hold h with its references, stand-ins aside.
func (s *Store) holders(h chunk.Hash) []uint16 {
	owners, former := s.owners(h), s.layouts.Former(h.Partition())
	if len(former) == 0 {
		return owners
	}
	return slices.Concat(owners, former)
}
