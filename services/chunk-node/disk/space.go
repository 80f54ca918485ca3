package disk

import (
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
)

// space is what is known of a disk's room. It is measured now and then, and
// estimated in between.
type space struct {
	mu       sync.Mutex
	capacity int64
	said     string // the problem that was last logged

	free  atomic.Int64
	since atomic.Int64 // bytes written since it was measured
}

// remeasureAfter is how many written bytes make an estimate too old.
const remeasureAfter = 64 << 20

// exhausted notes that the file system had no room.
func (s *space) exhausted() { s.free.Store(0); s.since.Store(remeasureAfter) }

// problem is why the disk takes no chunks, or empty.
func (s *space) problem() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said
}

// measureSpace reads the file system's figures: the capacity is what is allocated,
// but no more than the file system without what is not ours.
func (v *volume) measureSpace() error {
	usage, err := v.fs.GetDiskUsage(v.disk.Path)
	if errors.IsTarget(err, vfs.ErrUnsupported) {
		usage = vfs.DiskUsage{AvailBytes: 1 << 50, TotalBytes: 1 << 50}
	} else if err != nil {
		return err
	}
	t := v.totals()
	ours := t.Stored
	if m := v.db.Metrics(); v.disk.Index == v.disk.Path+"/"+indexFolder {
		ours += int64(m.DiskSpaceUsage())
	}
	// What the file system keeps for root counts as used by others.
	capacity := int64(usage.AvailBytes) + ours
	if v.disk.Allocated > 0 {
		capacity = min(capacity, v.disk.Allocated)
	}
	free := max(min(capacity-ours, int64(usage.AvailBytes)), 0)

	v.space.mu.Lock()
	defer v.space.mu.Unlock()
	v.space.capacity = capacity
	v.space.free.Store(free)
	v.space.since.Store(0)
	switch {
	case free >= v.o.Reserve && v.space.said != "":
		v.space.said = ""
		v.log.Info("the disk has room again", "free", free)
	case free < v.o.Reserve && v.space.said == "":
		v.space.said = errors.E(errors.Full, errors.Folder, v.disk.Path, "the disk is nearly full and takes no more chunks: %d bytes are free, %d are kept in reserve", free, v.o.Reserve).Error()
		v.log.Error("THE DISK IS NEARLY FULL and takes no more chunks: add a disk or a node, or delete objects", "free", free, "reserve", v.o.Reserve)
	}
	return nil
}

// writable reports whether n more bytes may be written, as an error of kind Full if not.
func (v *volume) writable(n int) error {
	if err := v.failed(); err != nil {
		return err
	}
	free := v.space.free.Add(-int64(n))
	if v.space.since.Add(int64(n)) > remeasureAfter {
		if err := v.measureSpace(); err != nil {
			return errors.Annotate(err, "measuring the room on %s", v.disk.Path)
		}
		free = v.space.free.Load()
	}
	if free < v.o.Reserve {
		if problem := v.space.problem(); problem == "" { // an estimate: look again
			if err := v.measureSpace(); err != nil {
				return errors.Annotate(err, "measuring the room on %s", v.disk.Path)
			}
			free = v.space.free.Load()
		}
	}
	if free < v.o.Reserve {
		return errors.E(errors.Full, errors.Folder, v.disk.Path, "the disk is nearly full: %d bytes are free, %d are kept in reserve", max(free, 0), v.o.Reserve)
	}
	return nil
}

// status describes the disk.
func (v *volume) status() chunk.DiskStatus {
	d := chunk.DiskStatus{Path: v.disk.Path}
	if err := v.failed(); err != nil {
		d.Failed = err.Error()
		return d
	}
	if err := v.measureSpace(); err != nil {
		d.Failed = err.Error()
		return d
	}
	v.space.mu.Lock()
	d.Capacity = v.space.capacity
	v.space.mu.Unlock()
	d.Free = max(v.space.free.Load(), 0)
	return d
}
