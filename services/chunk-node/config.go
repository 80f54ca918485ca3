package chunknode

import (
	"path/filepath"
	"strings"
	"time"

	"deuxfleurs.fr/garage/pkg/config"
	"deuxfleurs.fr/garage/services/chunk-node/disk"
	"deuxfleurs.fr/garage/services/chunk-node/report"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

// Config is the service's settings.
type Config struct {
	Disks       []string      `conf:"disks" help:"folders that hold chunks, each on a disk of its own: path, or path=size to use no more than that; default: a folder in the data folder"`
	IndexFolder string        `conf:"index-folder" help:"folder for the disks' indexes, for example on an SSD; default: beside the chunks"`
	Fsync       bool          `conf:"fsync" help:"answers a write only when it is on disk; without it, a power cut loses what was acknowledged"`
	Direct      bool          `conf:"direct-writes" help:"writes large chunks past the system's cache, where the file system can: half the processor time, but the first read comes from the disk"`
	InlineBelow config.Size   `conf:"inline-below" help:"chunks stored in fewer bytes are kept in the index instead of a file" max:"1MiB"`
	Compression int           `conf:"compression" help:"zstd level for chunks, kept only where it makes them smaller; 0: none" min:"0" max:"19"`
	IndexCache  config.Size   `conf:"index-cache" help:"memory for reading the indexes, shared by all disks" min:"1MiB"`
	IndexBuffer config.Size   `conf:"index-buffer" help:"memory for writing the index, for each disk" min:"1MiB" max:"1GiB"`
	Separate    bool          `conf:"index-separation" help:"lets the index keep small chunks in files of their own: faster, with a part of the database library that its authors call experimental"`
	Reserve     config.Size   `conf:"reserve" help:"a disk with less room left takes no more chunks"`
	Grace       time.Duration `conf:"grace" help:"how long a chunk is kept after its last reference went" min:"0s"`
	Tombstones  time.Duration `conf:"tombstones" help:"how long a removed reference is remembered, so that a late message cannot bring it back" min:"1m"`
	Collect     time.Duration `conf:"collect-interval" help:"how often chunks to collect are looked for" min:"10ms"`

	RebalanceRate  config.Size   `conf:"rebalance-rate" help:"bytes a second that the node sends to hand over chunks to other nodes, and again as many to repair what is missing; 0: no limit"`
	ScrubRate      config.Size   `conf:"scrub-rate" help:"bytes a second that the node reads to find damaged chunks; 0: no limit"`
	ScrubInterval  time.Duration `conf:"scrub-interval" help:"time in which every chunk is read once to find damaged ones" min:"1m"`
	RepairInterval time.Duration `conf:"repair-interval" help:"how often the node compares what it holds with the other owners; it also does so after a start and with each node that returns" min:"1s"`

	CollectAll  time.Duration `conf:"long-collection-interval" help:"time between two rounds in which the node asks the metadata about every reference it has, to find those that belong to nothing; 0: only when the operator asks for one" min:"0s"`
	CollectWait time.Duration `conf:"long-collection-wait" help:"for how long the metadata must not know what a reference belongs to before the reference is removed; the time in which the node runs counts. A gateway gives a write up that does not begin within an hour" min:"2h"`
	Trash       time.Duration `conf:"trash" help:"for how long at least a reference that was removed because the metadata does not know what it belongs to, and its chunk, can be had back; the time in which the node runs counts, and the metadata is asked once more before they go" min:"1s"`

	report.Config `conf:""`
}

// DefaultConfig is what suits most.
func DefaultConfig() Config {
	return Config{
		Fsync:       true,
		Direct:      true,
		InlineBelow: disk.DefaultInlineBelow,
		IndexCache:  disk.DefaultCache,
		IndexBuffer: disk.DefaultMemTable,
		Reserve:     disk.DefaultReserve,
		Grace:       state.DefaultGrace,
		Tombstones:  state.DefaultTombstones,
		Collect:     time.Minute,

		RebalanceRate:  20 * config.MiB,
		ScrubRate:      20 * config.MiB,
		ScrubInterval:  30 * 24 * time.Hour,
		RepairInterval: 24 * time.Hour,

		CollectAll:  24 * time.Hour,
		CollectWait: 24 * time.Hour,
		Trash:       7 * 24 * time.Hour,

		Config: report.DefaultConfig(),
	}
}

// disks are the configured disks, or one in the data folder.
func (c *Config) disks(folder string) ([]disk.Disk, error) {
	if len(c.Disks) == 0 {
		return []disk.Disk{c.disk(filepath.Join(folder, "chunks"), 0)}, nil
	}
	var all []disk.Disk
	seen := make(map[string]bool)
	for _, text := range c.Disks {
		path, size, limited := strings.Cut(text, "=")
		var allocated config.Size
		if limited {
			if err := allocated.UnmarshalText([]byte(size)); err != nil {
				return nil, config.Invalid("disks", "%s: the size is not %v", text, err)
			}
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(folder, path)
		}
		if path = filepath.Clean(path); seen[path] {
			return nil, config.Invalid("disks", "%s is there twice", path)
		}
		seen[path] = true
		all = append(all, c.disk(path, int64(allocated)))
	}
	return all, nil
}

func (c *Config) disk(path string, allocated int64) disk.Disk {
	d := disk.Disk{Path: path, Allocated: allocated}
	if c.IndexFolder != "" {
		// One folder may hold the indexes of several disks.
		d.Index = filepath.Join(c.IndexFolder, strings.Trim(strings.ReplaceAll(path, "/", "-"), "-"))
	}
	return d
}
