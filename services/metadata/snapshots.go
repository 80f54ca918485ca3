package metadata

import (
	"bufio"
	"cmp"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
	"deuxfleurs.fr/garage/services/metadata/snapshot"
)

// Snapshot is the settings of snapshots of the metadata.
type Snapshot struct {
	Interval time.Duration `conf:"interval" help:"time between two snapshots of all metadata, in the data folder and in the cluster's own chunks; 0 takes none" min:"0s"`
	Keep     int           `conf:"keep" help:"snapshots to keep, in each of the two places" min:"1" max:"1000"`
}

const (
	snapshotFolder = "snapshots"
	snapshotSuffix = ".snapshot"
	unfinished     = ".unfinished"
	// snapshotLook is the time between two looks whether a snapshot is due: the first is not at once, so that what was restored
	// or migrated just before has settled.
	snapshotLook = 10 * time.Minute
	// snapshotLease is how long one of several services is the one that takes snapshots, without word of it, and snapshotRenew the time between two words
	// while it takes one.
	snapshotLease = 2 * snapshotLook
	snapshotRenew = snapshotLease / 4
)

// snapshots takes and keeps snapshots. One at a time works on them.
type snapshots struct {
	config Snapshot
	folder string
	store  meta.Store
	marks  snapshot.Marks
	deps   Deps
	leaser leaser // nil: the store is this service's alone
	busy   sync.Mutex
	taken  prometheus.Gauge // when the last one that is known was
}

// run takes snapshots when they are due, until ctx ends.
func (s *snapshots) run(ctx context.Context) {
	if s.config.Interval == 0 {
		return
	}
	for clock.Sleep(ctx, s.deps.Clock, min(snapshotLook, s.config.Interval)) == nil {
		if err := s.holding(ctx, s.takeDue); err != nil && ctx.Err() == nil {
			s.deps.Logger.Warn("a snapshot of the metadata was not taken; it is tried again", "error", err)
		}
	}
}

// holding calls f if, and with a context that lasts as long as, this service is the one that takes snapshots.
func (s *snapshots) holding(ctx context.Context, f func(context.Context) error) error {
	if s.leaser == nil {
		return f(ctx)
	}
	since := s.deps.Clock.Now()
	if mine, err := s.lease(ctx); err != nil || !mine {
		return err
	}
	ctx, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	var work sync.WaitGroup
	renewing, stop := context.WithCancel(ctx)
	work.Go(func() { s.renew(renewing, since, lose) })
	err := f(ctx)
	stop()
	work.Wait()
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

func (s *snapshots) lease(ctx context.Context) (mine bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return s.leaser.Lease(ctx, "snapshot", snapshotLease)
}

// renew keeps the lease that was taken at since until ctx ends, or tells that it is lost, or may be soon.
func (s *snapshots) renew(ctx context.Context, since time.Time, lose context.CancelCauseFunc) {
	for clock.Sleep(ctx, s.deps.Clock, snapshotRenew) == nil {
		asked := s.deps.Clock.Now()
		mine, err := s.lease(ctx)
		switch {
		case err == nil && !mine:
			lose(errors.Newf(errors.Conflict, "another metadata service takes snapshots now; the one under way here was broken off"))
			return
		case err == nil:
			since = asked
		case ctx.Err() == nil && s.deps.Clock.Now().Sub(since) >= snapshotLease-snapshotRenew:
			lose(errors.Annotate(err, "the snapshot under way was broken off, since another metadata service may begin one"))
			return
		}
	}
}

// takeDue takes a snapshot if one is due.
func (s *snapshots) takeDue(ctx context.Context) error {
	if err := s.whole(ctx); err != nil {
		return err
	}
	buckets, err := s.store.ListBuckets(ctx, meta.ListBuckets{Limit: 2})
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(buckets.Buckets, func(b meta.Bucket) bool { return b.Name != snapshot.Bucket }) {
		return nil // a snapshot of nothing would in time take the place of those that something is restored from
	}
	all, err := s.list(ctx)
	if err != nil {
		return err
	}
	if n := len(all); n > 0 {
		s.taken.Set(float64(all[n-1].GetTaken()) / 1e6)
	}
	if n := len(all); n > 0 && s.deps.Clock.Now().Sub(time.UnixMicro(all[n-1].GetTaken())) < s.config.Interval {
		return nil
	}
	_, err = s.take(ctx, nil)
	return err
}

// whole is an error while the metadata is being restored: a snapshot of a part would in time take the place of those that are whole.
func (s *snapshots) whole(ctx context.Context) error {
	taken, err := s.marks.Restoring(ctx)
	if err == nil && !taken.IsZero() {
		err = errors.Annotate(unwhole(taken), "no snapshot is taken")
	}
	return err
}

func busy() error {
	return errors.Newf(errors.Conflict, "another snapshot is being taken, verified or restored; try again when that has ended")
}

// take takes a snapshot, keeps it in both places, and removes those that are too many. Kinds: Conflict while other work is under way; Unavailable
// while the metadata is being restored.
func (s *snapshots) take(ctx context.Context, progress snapshot.Progress) (*metadatav1.Snapshot, error) {
	if !s.busy.TryLock() {
		return nil, busy()
	}
	defer s.busy.Unlock()
	if err := s.whole(ctx); err != nil {
		return nil, err
	}
	now := s.deps.Clock.Now()
	name := snapshot.Name(now)
	path := filepath.Join(s.folder, name+snapshotSuffix)
	m, err := s.write(ctx, path, now, progress)
	if err != nil {
		return nil, err
	}
	// Now, not when it is in chunks, since that may fail for as long as nodes are away.
	pruned := s.pruneFolder(name)
	done := m.Proto()
	done.Name, done.InFolder = name, true
	file, err := os.Open(path)
	if err != nil {
		return nil, errors.Wrap(errors.Internal, err, "reading a snapshot")
	}
	defer file.Close() // it was only read
	if info, err := file.Stat(); err == nil {
		done.Size = info.Size()
	}
	if done.RecoveryCode, err = snapshot.Keep(ctx, s.target(s.store), name, m, file); err != nil {
		return nil, errors.Annotate(errors.Join(err, pruned), "the snapshot %s is in the folder %s, and could not be kept in chunks", name, s.folder)
	}
	done.InChunks = true
	s.taken.Set(float64(now.UnixMicro()) / 1e6)
	log := s.deps.Logger.With("snapshot", name, "objects", m.Objects, "recovery_code", done.RecoveryCode)
	if m.Incomplete > 0 {
		log.Error("the metadata of some objects is damaged; the snapshot lacks them", "count", m.Incomplete)
	}
	log.Info("took a snapshot of the metadata; keep its recovery code where this cluster is not")
	return done, errors.Join(pruned, s.pruneChunks(ctx))
}

// write writes a snapshot into the folder; it is there whole or not at all.
func (s *snapshots) write(ctx context.Context, path string, now time.Time, progress snapshot.Progress) (m snapshot.Manifest, err error) {
	failed := func(err error) error {
		return errors.Wrap(errors.Internal, err, "writing a snapshot into %s", s.folder)
	}
	if err := os.MkdirAll(s.folder, 0o700); err != nil { // the secrets of keys are in it
		return m, failed(err)
	}
	file, err := os.OpenFile(path+unfinished, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return m, failed(err)
	}
	out := bufio.NewWriterSize(file, 256<<10)
	if m, err = snapshot.Take(ctx, s.store, now, out, progress); err == nil {
		err = s.whole(ctx) // another service may have begun to restore
	}
	if err == nil {
		err = failed(errors.Join(out.Flush(), file.Sync()))
	}
	if err = errors.Join(err, failed(file.Close())); err != nil {
		return m, errors.Join(err, failed(os.Remove(path+unfinished)))
	}
	if err := os.Rename(path+unfinished, path); err != nil {
		return m, failed(err)
	}
	folder, err := os.Open(s.folder)
	if err != nil {
		return m, failed(err)
	}
	return m, failed(errors.Join(folder.Sync(), folder.Close()))
}

// pruneFolder removes the oldest of too many snapshots in the folder, not the one just written, and what a crash left.
func (s *snapshots) pruneFolder(written string) error {
	names, err := s.files()
	if err != nil {
		return err
	}
	names = append(slices.DeleteFunc(names, func(name string) bool { return name == written }), written)
	left, err := filepath.Glob(filepath.Join(s.folder, "*"+unfinished))
	for _, name := range names[:max(0, len(names)-s.config.Keep)] {
		left = append(left, filepath.Join(s.folder, name+snapshotSuffix))
	}
	for _, path := range left {
		err = errors.Join(err, errors.Wrap(errors.Internal, os.Remove(path), "removing an old snapshot"))
	}
	return err
}

// pruneChunks removes the oldest of too many snapshots in chunks.
func (s *snapshots) pruneChunks(ctx context.Context) error {
	kept, err := snapshot.ListKept(ctx, s.store)
	if err != nil || len(kept) <= s.config.Keep {
		return err
	}
	var old []string
	for _, k := range kept[:len(kept)-s.config.Keep] {
		old = append(old, k.Name)
	}
	return snapshot.Forget(ctx, s.store, old...)
}

// files are the names of the snapshots in the folder, oldest first.
func (s *snapshots) files() (names []string, err error) {
	entries, err := os.ReadDir(s.folder)
	if err != nil && !errors.IsTarget(err, fs.ErrNotExist) {
		return nil, errors.Wrap(errors.Internal, err, "listing the snapshots")
	}
	for _, e := range entries {
		if name, is := strings.CutSuffix(e.Name(), snapshotSuffix); is {
			names = append(names, name)
		}
	}
	return names, nil
}

// list lists the snapshots in both places, oldest first.
func (s *snapshots) list(ctx context.Context) ([]*metadatav1.Snapshot, error) {
	kept, err := snapshot.ListKept(ctx, s.store)
	if err != nil {
		return nil, err
	}
	var all []*metadatav1.Snapshot
	for _, k := range kept {
		p := k.Proto()
		p.Name, p.Size, p.RecoveryCode, p.InChunks = k.Name, k.Size, k.Code, true
		all = append(all, p)
	}
	names, err := s.files()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		i := slices.IndexFunc(all, func(p *metadatav1.Snapshot) bool { return p.GetName() == name })
		if i < 0 {
			p := &metadatav1.Snapshot{Name: name}
			if info, err := os.Stat(filepath.Join(s.folder, name+snapshotSuffix)); err == nil {
				p.Taken, p.Size = info.ModTime().UnixMicro(), info.Size()
			}
			all, i = append(all, p), len(all)
		}
		all[i].InFolder = true
	}
	slices.SortFunc(all, func(a, b *metadatav1.Snapshot) int { return cmp.Compare(a.GetTaken(), b.GetTaken()) })
	return all, nil
}

// open opens a snapshot. Kinds: NotFound; Invalid if the code is none.
func (s *snapshots) open(ctx context.Context, from *metadatav1.SnapshotSource) (io.Reader, func() error, error) {
	nothing := func() error { return nil }
	code := from.GetCode()
	if code == "" {
		names, err := s.files()
		if err != nil {
			return nil, nothing, err
		}
		if slices.Contains(names, from.GetName()) {
			file, err := os.Open(filepath.Join(s.folder, from.GetName()+snapshotSuffix))
			if err != nil {
				return nil, nothing, errors.Wrap(errors.Internal, err, "reading the snapshot %s", from.GetName())
			}
			return bufio.NewReaderSize(file, 256<<10), file.Close, nil
		}
		kept, err := snapshot.ListKept(ctx, s.store)
		if err != nil {
			return nil, nothing, err
		}
		i := slices.IndexFunc(kept, func(k snapshot.Kept) bool { return k.Name == from.GetName() })
		if i < 0 {
			return nil, nothing, errors.Newf(errors.NotFound, "there is no snapshot %q, neither in %s nor in chunks that this metadata knows: "+
				"put its file there, or give its recovery code", from.GetName(), s.folder)
		}
		code = kept[i].Code
	}
	r, err := snapshot.Recover(ctx, s.deps.Chunks, code)
	return r, nothing, err
}

// restore brings back what a snapshot has, into what the process sees of the store.
func (s *snapshots) restore(ctx context.Context, into meta.Store, in io.Reader, progress snapshot.Progress, lost func(snapshot.Lost)) (snapshot.Manifest, error) {
	t := s.target(into)
	t.Marks, t.Progress, t.Lost = s.marks, progress, lost
	return snapshot.Restore(asRestore(ctx), t, in)
}

func (s *snapshots) target(store meta.Store) snapshot.Target {
	return snapshot.Target{Store: store, Chunks: s.deps.Chunks, Clock: s.deps.Clock, Random: s.deps.Random}
}
