// Package membership says which chunk-nodes there are and reaches them. Static takes them from a layout
// file, which does not change while services run.
package membership

import (
	"log/slog"
	"time"

	"google.golang.org/grpc/credentials"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/cluster"
	"deuxfleurs.fr/garage/pkg/chunk/remote"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/telemetry"
)

// closeTimeout is how long what a chunk store still does in the background may take when it is closed.
const closeTimeout = 10 * time.Second

// Config says which nodes there are.
type Config struct {
	Layout string `conf:"layout" flag:"layout" help:"JSON file that says which chunk-nodes there are and how many copies to keep"`
}

// StoreConfig says which nodes there are, and how long the chunk store over them waits.
type StoreConfig struct {
	Config       `conf:""`
	WriteTimeout time.Duration `conf:"write-timeout" help:"longest time for storing a chunk on a majority of its nodes" min:"100ms"`
	ReadTimeout  time.Duration `conf:"read-timeout" help:"longest time for reading a chunk" min:"100ms"`
	Grace        time.Duration `conf:"grace" help:"how long the other nodes may go on once a majority has a chunk; then they are owed it" min:"0s"`
	Patience     time.Duration `conf:"patience" help:"how long a write waits for nodes that seemed dead, when it cannot do without them" min:"0s"`
}

// DefaultStoreConfig is what suits most; the layout must be named.
func DefaultStoreConfig() StoreConfig {
	d := cluster.Defaults
	return StoreConfig{WriteTimeout: d.WriteTimeout, ReadTimeout: d.ReadTimeout, Grace: d.Grace, Patience: d.Patience}
}

// Deps are what Open works with.
type Deps struct {
	Credentials credentials.TransportCredentials // nil: plain text
	Pool        *buffer.Pool                     // memory for chunks that are received
	Metrics     *telemetry.GRPCMetrics
	Clock       clock.Clock
	Logger      *slog.Logger
	// CheckAddress refuses addresses that must not be spoken to; nil accepts all.
	CheckAddress func(setting, address string) error
}

// Static is the nodes of a layout file, and a client for each.
type Static struct {
	Layout     layout.Layout
	Assignment *layout.Assignment
	Nodes      map[chunk.NodeID]*remote.Client

	deps Deps
}

// Open reads the layout file and makes a client for each of its nodes; they connect when first used.
// Kinds: Invalid.
func Open(c Config, d Deps) (*Static, error) {
	if c.Layout == "" {
		return nil, errors.E(errors.Invalid, errors.Setting, "cluster.layout", "name the file that says which chunk-nodes there are")
	}
	l, err := layout.ReadFile(c.Layout)
	if err != nil {
		return nil, err
	}
	s := &Static{Layout: l, Nodes: map[chunk.NodeID]*remote.Client{}, deps: d}
	if s.Assignment, err = layout.Assign(nil, l); err != nil {
		return nil, err
	}
	for _, n := range l.Nodes {
		if err := s.add(n); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

func (s *Static) add(n layout.Node) error {
	if n.Address == "" {
		return errors.E(errors.Invalid, errors.Node, n.ID.String(), "the layout file gives it no address")
	}
	if s.deps.CheckAddress != nil {
		if err := s.deps.CheckAddress("cluster.layout", n.Address); err != nil {
			return err
		}
	}
	client, err := remote.New(remote.Options{ID: n.ID, Address: n.Address, Credentials: s.deps.Credentials, Pool: s.deps.Pool, Metrics: s.deps.Metrics})
	if err != nil {
		return err
	}
	s.Nodes[n.ID] = client
	return nil
}

// Store makes a chunk store over all nodes, and what closes it, which is to be called before Close.
func (s *Static) Store(c StoreConfig) (*cluster.Store, func(), error) {
	settings := cluster.Defaults
	settings.WriteTimeout, settings.ReadTimeout = c.WriteTimeout, c.ReadTimeout
	settings.Grace, settings.Patience = c.Grace, c.Patience
	members := map[chunk.NodeID]cluster.Member{}
	for id, client := range s.Nodes {
		// The client verifies what it receives.
		members[id] = cluster.Member{Node: client, Verified: true}
	}
	store, err := cluster.New(cluster.Config{Layout: s.Layout, Assignment: s.Assignment, Members: members,
		Clock: s.deps.Clock, Log: s.deps.Logger, Settings: settings})
	if err != nil {
		return nil, nil, err
	}
	return store, func() { store.Close(closeTimeout) }, nil
}

// Close closes the connections.
func (s *Static) Close() error {
	var errs []error
	for _, client := range s.Nodes {
		errs = append(errs, client.Close())
	}
	return errors.Join(errs...)
}
