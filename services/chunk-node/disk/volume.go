package disk

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

// Format is the version of a disk's folder that this program writes.
const Format = 1

// writersPerDisk is how many ranges of hashes a disk has, each with its writer.
// One makes the largest groups; a few let one group decide while another syncs.
const writersPerDisk = 2

// identity is what disk.json and the index both say.
type identity struct {
	Format      int       `json:"format"`
	ClusterID   uuid.UUID `json:"cluster_id"`
	NodeID      uuid.UUID `json:"node_id"`
	Incarnation uuid.UUID `json:"incarnation"`
}

// volume is one disk.
type volume struct {
	o     *Options
	codec *codec
	log   *slog.Logger
	fs    vfs.FS
	disk  Disk
	identity

	blobs, temporary, quarantine string // folders
	lock                         io.Closer
	db                           *pebble.DB
	serial                       atomic.Uint64                        // of temporary files
	folders                      [chunk.Partitions / 64]atomic.Uint64 // bit set: the partition's folder exists durably
	writers                      [writersPerDisk]*writer
	unclean                      atomic.Bool // the program was not stopped in order the last time
	space                        space

	failure atomic.Pointer[failure]
}

type failure struct{ err error }

// openVolume opens the folder of a disk, or formats it where it is empty.
func openVolume(o *Options, d Disk, codec *codec, cache *pebble.Cache) (_ *volume, err error) {
	v := &volume{
		o: o, codec: codec, fs: o.FS, disk: d, log: o.Logger.With("disk", d.Path),
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
		if err := v.makeFolders(); err != nil {
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
		FS: v.fs, Cache: cache, Logger: pebbleLogger{v},
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                uint64(v.o.MemTable),
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
	}
	for i := range po.Levels {
		po.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return po
}

// makeFolders makes an empty disk's folders durable.
func (v *volume) makeFolders() error {
	if names, err := v.fs.List(v.blobs); err == nil && len(names) > 0 {
		return errors.E(errors.Invalid, errors.Folder, v.disk.Path, "it holds chunks but no %s: restore that file, or choose an empty folder", markerFile)
	}
	for _, p := range []string{v.blobs, v.temporary, v.quarantine, v.disk.Index} {
		if err := v.fs.MkdirAll(p, 0o700); err != nil {
			return err
		}
	}
	for _, p := range []string{v.disk.Path, v.fs.PathDir(v.disk.Path), v.fs.PathDir(v.disk.Index)} {
		if err := v.syncFolder(p); err != nil {
			return err
		}
	}
	return nil
}

// format gives the disk its identity, in the index first: the marker comes last.
func (v *volume) format() error {
	incarnation, err := clock.NewUUID(v.o.Random)
	if err != nil {
		return err
	}
	v.identity = identity{Format: Format, ClusterID: v.o.ClusterID, NodeID: v.o.NodeID, Incarnation: incarnation}
	content, err := json.Marshal(v.identity)
	if err != nil {
		return err
	}
	if err := v.db.Set(metaKey(metaIdentity), content, pebble.Sync); err != nil {
		return err
	}
	path := v.disk.Path + "/" + markerFile
	f, err := v.fs.Create(path+".tmp", fileCategory)
	if err != nil {
		return err
	}
	_, err = f.Write(append(content, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := v.fs.Rename(path+".tmp", path); err != nil {
		return err
	}
	return v.syncFolder(v.disk.Path)
}

// readMarker reads disk.json. It reports whether the disk has to be formatted.
func (v *volume) readMarker() (fresh bool, err error) {
	f, err := v.fs.Open(v.disk.Path + "/" + markerFile)
	if isNotExist(err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	content, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return false, err
	}
	var version struct{ Format int }
	if err := json.Unmarshal(content, &version); err != nil || version.Format < 1 {
		return false, errors.E(errors.Invalid, errors.Folder, v.disk.Path, "%s is damaged: restore it from a backup", markerFile)
	}
	if version.Format > Format {
		return false, errors.E(errors.Invalid, errors.Folder, v.disk.Path, "its format is %d, and this program knows formats up to %d: start it with the newer version of Garage that wrote it", version.Format, Format)
	}
	if err := json.Unmarshal(content, &v.identity); err != nil {
		return false, errors.E(errors.Invalid, errors.Folder, v.disk.Path, "%s is damaged: %v", markerFile, err)
	}
	switch {
	case v.ClusterID != v.o.ClusterID:
		return false, errors.E(errors.Invalid, errors.Folder, v.disk.Path, "it belongs to the cluster %v, not to %v", v.ClusterID, v.o.ClusterID)
	case v.NodeID != v.o.NodeID:
		return false, errors.E(errors.Invalid, errors.Folder, v.disk.Path, "it belongs to the node %v, not to %v", v.NodeID, v.o.NodeID)
	}
	return false, nil
}

func (v *volume) checkIdentity() error {
	var indexed identity
	found, err := lookup(v.db, metaKey(metaIdentity), func(p []byte) error { return json.Unmarshal(p, &indexed) })
	if err != nil {
		return err
	}
	if !found || indexed.Incarnation != v.Incarnation {
		return errors.E(errors.Invalid, errors.Folder, v.disk.Path, "the index in %s is not the one of its blobs: put the right one there; without it the disk must be formatted anew and filled from other nodes", v.disk.Index)
	}
	return nil
}

// fail takes the disk out until the program is started again. It returns the
// error for the caller's caller.
func (v *volume) fail(err error, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	f := &failure{errors.E(errors.Unavailable, errors.Folder, v.disk.Path, "the disk is out of use since %s failed: %v; check the disk, then start the program again", what, err)}
	if v.failure.CompareAndSwap(nil, f) {
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
		v.space.exhausted()
		return errors.E(errors.Full, errors.Folder, v.disk.Path, "no space is left: %s %s: %v", what, path, err)
	}
	return v.fail(err, "%s %s", what, path)
}

// abandon closes what openVolume had opened.
func (v *volume) abandon() error {
	var errs []error
	if v.db != nil {
		errs = append(errs, v.db.Close())
	}
	if v.lock != nil {
		errs = append(errs, v.lock.Close())
	}
	return errors.Join(errs...)
}

func isNotExist(err error) bool { return errors.IsTarget(err, fs.ErrNotExist) }

// pebbleLogger turns what Pebble says into the program's log. Fatal errors
// take the disk out; Pebble's caller sees that in volume.failed.
type pebbleLogger struct{ v *volume }

func (l pebbleLogger) Infof(string, ...any) {}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.v.log.Warn("the index reports a problem", "message", fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Fatalf(format string, args ...any) {
	_ = l.v.fail(errors.New(fmt.Sprintf(format, args...)), "writing the index") // kept in l.v
}
