package metadata

import (
	"time"

	"deuxfleurs.fr/garage/pkg/config"
	"deuxfleurs.fr/garage/services/metadata/sweep"
)

// Config is the service's settings.
type Config struct {
	Store    string      `conf:"store" help:"where metadata is kept: pebble, in the data folder, or cql, a ScyllaDB or Cassandra that several services share" allowed:"pebble,cql"`
	CQL      CQL         `conf:"cql"`
	Fsync    bool        `conf:"fsync" help:"acknowledges metadata only when it is on the disk; without it a power cut loses the last writes"`
	Cache    config.Size `conf:"cache" help:"memory for metadata read from disk" min:"1MiB"`
	MemTable config.Size `conf:"buffer" help:"memory for metadata not yet sorted to disk" min:"1MiB" max:"256MiB"`
	Reserve  config.Size `conf:"reserve" help:"a disk with less room left takes no new metadata, only deletions"`
	Sweep    Sweep       `conf:"sweep"`
	Snapshot Snapshot    `conf:"snapshot"`
}

// Sweep is the settings of the sweeper.
type Sweep struct {
	Interval time.Duration `conf:"interval" help:"time between two searches for what crashed writers left" min:"1s"`
	Pause    time.Duration `conf:"pause" help:"least time between two sweeps of what was deleted or replaced" min:"1ms"`
	Grace    time.Duration `conf:"grace" help:"how long the list of chunks of what was replaced or deleted stays, for who is reading it" min:"0s"`
	Idle     time.Duration `conf:"idle" help:"an upload of a single object without progress for so long is given up" min:"1s"`
	RetryMin time.Duration `conf:"retry-min" help:"wait after a sweep that failed" min:"1ms"`
	RetryMax time.Duration `conf:"retry-max" help:"longest wait after sweeps that failed one after the other" min:"1ms"`
	Parallel int           `conf:"parallel" help:"references deleted at the same time" min:"1" max:"1000"`
	Timeout  time.Duration `conf:"timeout" help:"longest time for deleting one reference" min:"100ms"`
}

// DefaultConfig is what suits a small machine.
func DefaultConfig() Config {
	return Config{
		Store: StorePebble,
		CQL: CQL{
			Keyspace: "garage", Replication: "3", Consistency: "QUORUM", Timeout: 5 * time.Second, Patience: 2 * time.Minute,
		},
		Fsync: true, Cache: 16 * config.MiB, MemTable: 8 * config.MiB, Reserve: 256 * config.MiB,
		Sweep: Sweep{
			Interval: 10 * time.Minute, Pause: time.Second, Grace: 10 * time.Minute, Idle: 24 * time.Hour,
			RetryMin: time.Second, RetryMax: time.Minute, Parallel: 16, Timeout: 30 * time.Second,
		},
		Snapshot: Snapshot{Interval: 24 * time.Hour, Keep: 7},
	}
}

const (
	sweepPage     = 50
	sweepCleaning = 4
	sweepBatch    = 50
	sweepGiveUp   = 32
)

func (s Sweep) rules() sweep.Rules {
	return sweep.Rules{
		Interval: s.Interval, Pause: s.Pause, Grace: s.Grace, Idle: s.Idle, RetryMin: s.RetryMin, RetryMax: s.RetryMax,
		Page: sweepPage, Cleaning: sweepCleaning, Batch: sweepBatch, GiveUp: sweepGiveUp,
	}
}
