package membership

import (
	"context"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/cluster"
	"deuxfleurs.fr/garage/pkg/errors"
)

// Chunks is a chunk store over the nodes of the layouts in force. What nodes refuse because they have adopted newer ones is done
// again with these.
type Chunks struct {
	members *Members
	config  StoreConfig

	mu      sync.RWMutex
	current *generation
}

var (
	_ chunk.Store          = (*Chunks)(nil)
	_ chunk.VerifiedPutter = (*Chunks)(nil)
)

// generation is the store of some layouts in force and the operations that have begun on it.
type generation struct {
	store      *cluster.Store
	operations sync.WaitGroup
}

// close waits for the operations, each of which has a deadline, and for what follows them. It must be called when
// none can begin any more.
func (g *generation) close() {
	g.operations.Wait()
	g.store.Close(closeTimeout)
}

// Chunks makes a chunk store, which is closed with the members. Kinds: Invalid.
func (m *Members) Chunks(c StoreConfig) (*Chunks, error) {
	m.applying.Lock()
	defer m.applying.Unlock()
	s := &Chunks{members: m, config: c}
	if view, ok := m.Current(); ok {
		var err error
		if s.current, err = s.generation(view); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.chunks = append(m.chunks, s)
	return s, nil
}

func (c *Chunks) generation(v View) (*generation, error) {
	members := make(map[chunk.NodeID]cluster.Member, len(v.Nodes))
	for id, client := range v.Nodes {
		// The client verifies what it receives.
		members[id] = cluster.Member{Node: client, Verified: true}
	}
	d := c.members.deps
	store, err := cluster.New(cluster.Config{Layouts: v.Layouts, Members: members, Alive: d.Alive,
		Clock: d.Clock, Log: d.Logger, Settings: c.config.settings()})
	if err != nil {
		return nil, err
	}
	return &generation{store: store}, nil
}

// swap makes g the store on which operations begin, and returns the one before.
func (c *Chunks) swap(g *generation) *generation {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.current
	c.current = g
	return old
}

// begin begins an operation; the caller ends it.
func (c *Chunks) begin() (*generation, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.current == nil {
		return nil, errors.E(errors.Unavailable, errors.Layout, "",
			"none is in force, so there is no place for chunks: see the nodes with \"garage layout show\", then use \"garage layout assign\" and \"garage layout apply\"")
	}
	c.current.operations.Add(1)
	return c.current, nil
}

// tries is how often an operation is made with newer layouts at most, the first time included: they change rarely, but several
// changes may follow one another.
const tries = 4

// do makes an operation on the store of the layouts in force.
func (c *Chunks) do(ctx context.Context, operation func(*cluster.Store) error) error {
	for try := 1; ; try++ {
		g, err := c.begin()
		if err != nil {
			return err
		}
		err = operation(g.store)
		g.operations.Done()
		newer := (*cluster.Newer)(nil)
		if err == nil || !errors.As(err, &newer) {
			return err
		}
		if try < tries {
			err = c.members.CatchUp(ctx, newer.Node, newer.Err)
		}
		if try == tries || err != nil {
			return errors.Wrap(errors.Unavailable, err, "a chunk-node has a newer layout than this program")
		}
	}
}

// Get implements chunk.Store.
func (c *Chunks) Get(ctx context.Context, h chunk.Hash) (b *buffer.Buffer, err error) {
	err = c.do(ctx, func(s *cluster.Store) error {
		b, err = s.Get(ctx, h)
		return err
	})
	return b, err
}

// Put implements chunk.Store.
func (c *Chunks) Put(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref) (outcome chunk.Outcome, err error) {
	err = c.do(ctx, func(s *cluster.Store) error {
		outcome, err = s.Put(ctx, h, data, ref)
		return err
	})
	return outcome, err
}

// PutVerified implements chunk.VerifiedPutter.
func (c *Chunks) PutVerified(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref) (outcome chunk.Outcome, err error) {
	err = c.do(ctx, func(s *cluster.Store) error {
		outcome, err = s.PutVerified(ctx, h, data, ref)
		return err
	})
	return outcome, err
}

// PutRef implements chunk.Store.
func (c *Chunks) PutRef(ctx context.Context, h chunk.Hash, ref chunk.Ref) (outcome chunk.Outcome, err error) {
	err = c.do(ctx, func(s *cluster.Store) error {
		outcome, err = s.PutRef(ctx, h, ref)
		return err
	})
	return outcome, err
}

// Delete implements chunk.Store.
func (c *Chunks) Delete(ctx context.Context, h chunk.Hash, ref chunk.Ref) error {
	return c.do(ctx, func(s *cluster.Store) error { return s.Delete(ctx, h, ref) })
}

// Collector is the metrics of the store in force, to be registered once.
func (c *Chunks) Collector() prometheus.Collector { return cluster.Collector(c.store) }

// store is the one in force, or nil.
func (c *Chunks) store() *cluster.Store {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.current == nil {
		return nil
	}
	return c.current.store
}
