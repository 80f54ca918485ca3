package disk

import (
	"log/slog"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

// Defaults of Options.
const (
	DefaultInlineBelow = 32 << 10
	DefaultCache       = 8 << 20
	DefaultMemTable    = 8 << 20
	DefaultReserve     = 1 << 30
)

// Options say what Open opens.
type Options struct {
	Disks     []Disk
	NodeID    chunk.NodeID
	ClusterID uuid.UUID
	Version   string // of the program, for Status

	FS     vfs.FS // nil: the operating system's
	Clock  clock.Clock
	Random clock.Random
	Pool   *buffer.Pool // where Get puts the bytes it reads
	Logger *slog.Logger
	Rules  state.Rules
	// Registry takes the metrics; nil: they are not published.
	Registry prometheus.Registerer

	InlineBelow int   // stored blobs of fewer bytes are values in the index
	Compression int   // zstd level; 0: none
	NoSync      bool  // answer before anything is on disk
	Direct      bool  // write large blobs past the page cache, where the file system can
	Separate    bool  // let the index keep blobs in files of their own
	Cache       int64 // bytes of the index cache, shared by all disks
	MemTable    int64 // bytes of the index's write buffer, on each disk
	Reserve     int64 // a disk with fewer free bytes takes no more chunks
}

// Disk is one disk of the node.
type Disk struct {
	Path  string // its folder
	Index string // folder of its index, for example on an SSD; empty: in Path
	// Allocated is how many bytes Garage may use there; 0: the whole file system.
	Allocated int64
}

func (o *Options) complete() error {
	if len(o.Disks) == 0 {
		return errors.Newf(errors.Invalid, "a chunk-node needs at least one disk")
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if o.Random == nil {
		o.Random = clock.SystemRandom
	}
	if o.Pool == nil {
		o.Pool = buffer.NewPool(buffer.DefaultLimit, o.Clock)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Rules == (state.Rules{}) {
		o.Rules = state.Rules{Grace: state.DefaultGrace, Tombstones: state.DefaultTombstones}
	}
	if o.Cache == 0 {
		o.Cache = DefaultCache
	}
	if o.MemTable == 0 {
		o.MemTable = DefaultMemTable
	}
	return nil
}
