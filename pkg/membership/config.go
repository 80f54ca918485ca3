package membership

import (
	"time"

	"deuxfleurs.fr/garage/pkg/chunk/cluster"
	"deuxfleurs.fr/garage/pkg/layout"
)

// Config says where the layout comes from.
type Config struct {
	Layout string `conf:"layout" flag:"layout" help:"JSON file that says which chunk-nodes there are and how many copies to keep; default: the layout published in Consul"`
}

// Read reads the layout file, whose layout is alone in force, and assigns its partitions. Kinds: Invalid.
func (c Config) Read() (*layout.Active, error) {
	l, err := layout.ReadFile(c.Layout)
	if err != nil {
		return nil, err
	}
	a, err := layout.Assign(nil, l)
	if err != nil {
		return nil, err
	}
	return layout.NewActive(layout.Placement{Layout: l, Assignment: a})
}

// StoreConfig says where the layout comes from, and how long the chunk store over its nodes waits.
type StoreConfig struct {
	Config       `conf:""`
	WriteTimeout time.Duration `conf:"write-timeout" help:"longest time for storing a chunk on a majority of its nodes" min:"100ms"`
	ReadTimeout  time.Duration `conf:"read-timeout" help:"longest time for reading a chunk" min:"100ms"`
	Grace        time.Duration `conf:"grace" help:"how long the other nodes may go on once a majority has a chunk; then they are owed it" min:"0s"`
	Patience     time.Duration `conf:"patience" help:"how long a write waits for nodes that seemed dead, when it cannot do without them" min:"0s"`
}

// DefaultStoreConfig is what suits most.
func DefaultStoreConfig() StoreConfig {
	d := cluster.Defaults
	return StoreConfig{WriteTimeout: d.WriteTimeout, ReadTimeout: d.ReadTimeout, Grace: d.Grace, Patience: d.Patience}
}

func (c StoreConfig) settings() cluster.Settings {
	s := cluster.Defaults
	s.WriteTimeout, s.ReadTimeout, s.Grace, s.Patience = c.WriteTimeout, c.ReadTimeout, c.Grace, c.Patience
	return s
}
