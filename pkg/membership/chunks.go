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

// Chunks is a chunk store over the nodes of the layout in force.
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

// generation is the store of one layout and the operations that have begun on it.
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
	store, err := cluster.New(cluster.Config{Layout: v.Layout, Assignment: v.Assignment, Members: members,
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

// Get implements chunk.Store.
func (c *Chunks) Get(ctx context.Context, h chunk.Hash) (*buffer.Buffer, error) {
	g, err := c.begin()
	if err != nil {
		return nil, err
	}
	defer g.operations.Done()
	return g.store.Get(ctx, h)
}

// Put implements chunk.Store.
func (c *Chunks) Put(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref) (chunk.Outcome, error) {
	g, err := c.begin()
	if err != nil {
		return 0, err
	}
	defer g.operations.Done()
	return g.store.Put(ctx, h, data, ref)
}

// PutVerified implements chunk.VerifiedPutter.
func (c *Chunks) PutVerified(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref) (chunk.Outcome, error) {
	g, err := c.begin()
	if err != nil {
		return 0, err
	}
	defer g.operations.Done()
	return g.store.PutVerified(ctx, h, data, ref)
}

// PutRef implements chunk.Store.
func (c *Chunks) PutRef(ctx context.Context, h chunk.Hash, ref chunk.Ref) (chunk.Outcome, error) {
	g, err := c.begin()
	if err != nil {
		return 0, err
	}
	defer g.operations.Done()
	return g.store.PutRef(ctx, h, ref)
}

// Delete implements chunk.Store.
func (c *Chunks) Delete(ctx context.Context, h chunk.Hash, ref chunk.Ref) error {
	g, err := c.begin()
	if err != nil {
		return err
	}
	defer g.operations.Done()
	return g.store.Delete(ctx, h, ref)
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
