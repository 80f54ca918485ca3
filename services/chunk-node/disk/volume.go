package disk

import (
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
)

// writersPerDisk is how many ranges of hashes a disk has, each with its writer.
// One makes the largest groups; a few let one group decide while another syncs.
// The number may grow with a later version but not shrink: each keeps its totals.
const writersPerDisk = 4

// volume is one disk.
type volume struct {
	o     *Options
	codec *codec

	metrics diskMetrics
	log     *slog.Logger
	fs      vfs.FS
	disk    Disk
	identity

	blobs, temporary, quarantine string // folders
	lock                         io.Closer
	db                           *pebble.DB
	serial                       atomic.Uint64                        // of temporary files
	folders                      [chunk.Partitions / 64]atomic.Uint64 // bit set: the partition's folder exists durably
	writers                      [writersPerDisk]*writer
	unclean                      atomic.Bool // the program was not stopped in order the last time
	direct                       bool        // large files are written past the page cache
	space                        space
	removals                     struct {
		mu      sync.Mutex
		folders map[string]struct{} // in which files were removed, not yet durably
	}

	failure atomic.Pointer[failure]
	broken  chan struct{} // closed with failure
}

type failure struct{ err error }

// openVolume opens the folder of a disk, or formats it where it is empty.
func openVolume(o *Options, d Disk, codec *codec, cache *pebble.Cache, m *metrics) (_ *volume, err error) {
	v := &volume{
		o: o, codec: codec, metrics: m.of(d.Path), broken: make(chan struct{}), fs: o.FS, disk: d, log: o.Logger.With("disk", d.Path),
		blobs: d.Path + "/" + blobsFolder, temporary: d.Path + "/" + temporaryFolder, quarantine: d.Path + "/" + quarantineFolder,
	}
	if v.disk.Index == "" {
		v.disk.Index = d.Path + "/" + indexFolder
	}
	defer func() {
		if err != nil {
			err = errors.Join(errors.Annotate(err, "opening the disk %s", d.Path), v.abandon())
		}
	}()
	fresh, err := v.readMarker()
	if err != nil {
		return nil, err
	}
	if fresh {
		if err := v.prepare(); err != nil {
			return nil, err
		}
	}
	if v.lock, err = v.fs.Lock(d.Path + "/LOCK"); err != nil {
		return nil, errors.Wrap(errors.Conflict, err, "another process seems to have it open")
	}
	if v.db, err = pebble.Open(v.disk.Index, v.pebbleOptions(cache)); err != nil {
		return nil, err
	}
	if fresh {
		err = v.format()
	} else {
		err = v.checkIdentity()
	}
	if err != nil {
		return nil, err
	}
	if err := v.start(fresh); err != nil {
		return nil, err
	}
	return v, nil
}

func (v *volume) pebbleOptions(cache *pebble.Cache) *pebble.Options {
	po := &pebble.Options{
		FS: v.fs, Cache: cache, Logger: indexLogger{v},
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                uint64(v.o.MemTable),
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
	}
	if v.o.Separate {
		po.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
			return pebble.ValueSeparationPolicy{Enabled: true, MinimumSize: 1 << 10, MaxBlobReferenceDepth: 10, RewriteMinimumAge: 15 * time.Minute, TargetGarbageRatio: 0.3}
		}
	}
	po.EventListener = &pebble.EventListener{BackgroundError: v.backgroundError}
	for i := range po.Levels {
		po.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return po
}

// fail takes the disk out until the program is started again. It returns the
// error for the caller's caller.
func (v *volume) fail(err error, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	v.metrics.errors.Inc()
	f := &failure{errors.E(errors.Unavailable, errors.Folder, v.disk.Path, "the disk is out of use since %s failed: %v; check the disk, then start the program again", what, err)}
	if v.failure.CompareAndSwap(nil, f) {
		close(v.broken)
		v.log.Error("a disk failed and takes no more writes", "while", what, "error", err)
	}
	return v.failed()
}

// failed is the error of a disk that is out of use, or nil.
func (v *volume) failed() error {
	if f := v.failure.Load(); f != nil {
		return f.err
	}
	return nil
}

// writeFailed is for a failed operation that leaves what is on the disk as it was.
func (v *volume) writeFailed(err error, what, path string) error {
	if vfs.IsNoSpaceError(err) {
		v.metrics.errors.Inc()
		v.space.exhausted()
		return errors.E(errors.Full, errors.Folder, v.disk.Path, "no space is left: %s %s: %v", what, path, err)
	}
	if scarce(err) {
		return v.short(err)
	}
	return v.fail(err, "%s %s", what, path)
}

// scarce reports whether something failed for want of what the process may
// have at a time, or of rights: that says nothing about the disk, nor about a copy on it.
func scarce(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, fs.ErrPermission} {
		if errors.IsTarget(err, e) {
			return true
		}
	}
	return false
}

func (v *volume) short(err error) error {
	return errors.E(errors.Overloaded, errors.Folder, v.disk.Path, "%v: raise the limit, or repair the rights, if this stays", err)
}

// abandon closes what openVolume had opened.
func (v *volume) abandon() error {
	var errs []error
	if v.db != nil && v.failed() == nil { // a failed one would wait for what it cannot do
		errs = append(errs, v.closeIndex())
	}
	if v.lock != nil {
		errs = append(errs, v.lock.Close())
	}
	return errors.Join(errs...)
}

func isNotExist(err error) bool { return errors.IsTarget(err, fs.ErrNotExist) }
