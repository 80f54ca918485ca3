package disk

import (
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/telemetry"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

// Store is a chunk.Node on disks. Open makes one; Close ends it once no call is under way.
type Store struct {
	o       Options
	codec   *codec
	cache   *pebble.Cache
	volumes []*volume // those that could be opened
	broken  []chunk.DiskStatus
	owners  [chunk.Partitions]*volume // nil: its disk could not be opened

	noting sync.Mutex   // one SetNote at a time
	gate   sync.RWMutex // held for reading by each call
	closed bool
}

var _ chunk.Node = (*Store)(nil)

// Open opens the disks, and formats those whose folder is empty. A disk that
// cannot be opened is left out, and its partitions are unavailable, as long as
// another one works; take it out of the configuration to give them to the others.
func Open(o Options) (*Store, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	s := &Store{o: o, codec: newCodec(o.Compression), cache: pebble.NewCache(o.Cache)}
	metrics := newMetrics()
	var errs []error
	for _, d := range o.Disks {
		v, err := openVolume(&s.o, d, s.codec, s.cache, metrics)
		if err != nil {
			errs = append(errs, err)
			s.broken = append(s.broken, chunk.DiskStatus{Path: d.Path, Failed: err.Error()})
			continue
		}
		s.volumes = append(s.volumes, v)
	}
	if len(s.volumes) == 0 {
		s.cache.Unref()
		return nil, errors.Join(errs...)
	}
	for _, err := range errs {
		o.Logger.Error("a disk cannot be used", "error", err)
	}
	if err := s.assign(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	metrics.register(o.Registry, s)
	return s, nil
}

// Close waits for the calls under way and ends the store: later calls fail
// with kind Unavailable. A store that was closed starts without a check.
func (s *Store) Close() error {
	s.gate.Lock()
	defer s.gate.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var errs []error
	for _, v := range s.volumes {
		errs = append(errs, v.close())
	}
	s.cache.Unref()
	return errors.Join(errs...)
}

// volume is the disk of a hash.
func (s *Store) volume(h chunk.Hash) (*volume, error) {
	if v := s.owners[h.Partition()]; v != nil {
		return v, nil
	}
	var paths []string
	for _, d := range s.broken {
		paths = append(paths, d.Path)
	}
	return nil, errors.E(errors.Unavailable, errors.Folder, strings.Join(paths, ", "), "the disk of partition %v could not be opened: repair it or put an empty one in its place, then start the program again",
		h.Partition())
}

// Get implements chunk.Store.
func (s *Store) Get(ctx context.Context, h chunk.Hash) (*buffer.Buffer, error) {
	v, err := s.enter(ctx, h)
	if err != nil {
		return nil, err
	}
	defer s.leave()
	return v.get(ctx, h)
}

// enter begins a call about a hash. Unless it fails, leave ends the call.
func (s *Store) enter(ctx context.Context, h chunk.Hash) (*volume, error) {
	if err := ctx.Err(); err != nil {
		return nil, ended(err)
	}
	if err := s.begin(); err != nil {
		return nil, err
	}
	v, err := s.volume(h)
	if err != nil {
		s.leave()
	}
	return v, err
}

func (s *Store) begin() error {
	s.gate.RLock()
	if !s.closed {
		return nil
	}
	s.gate.RUnlock()
	return errors.Newf(errors.Unavailable, "the chunk store is closed: the program is stopping")
}

func (s *Store) leave() { s.gate.RUnlock() }

// Put implements chunk.Store.
func (s *Store) Put(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref) (chunk.Outcome, error) {
	if err := check(ctx, h, data, true); err != nil {
		return 0, err
	}
	return s.PutVerified(ctx, h, data, ref)
}

// PutFor implements chunk.Node.
func (s *Store) PutFor(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref, owner chunk.NodeID) (chunk.Outcome, error) {
	if err := check(ctx, h, data, true); err != nil {
		return 0, err
	}
	return s.PutVerifiedFor(ctx, h, data, ref, owner)
}

// PutVerified implements chunk.VerifiedPutter.
func (s *Store) PutVerified(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref) (chunk.Outcome, error) {
	return s.PutVerifiedFor(ctx, h, data, ref, chunk.NodeID{})
}

// PutVerifiedFor is PutFor without looking whether data has the hash h; it is PutVerified if the owner is the zero NodeID.
func (s *Store) PutVerifiedFor(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref, owner chunk.NodeID) (chunk.Outcome, error) {
	if err := check(ctx, h, data, false); err != nil {
		return 0, err
	}
	v, err := s.enter(ctx, h)
	if err != nil {
		return 0, err
	}
	defer s.leave()
	// A chunk that is there needs only the reference; the writer looks again.
	if c, err := entryOf(v.db, h); err == nil && c.Place != state.Nowhere {
		if outcome, err := v.putRef(ctx, h, ref, owner); err != nil || outcome != chunk.SendData {
			return outcome, err
		}
	}
	o := &op{kind: opPut, hash: h, ref: ref, owner: owner}
	if err := s.store(ctx, v, o, data); err != nil {
		return 0, err
	}
	return o.outcome, nil
}

// Repair implements chunk.Node.
func (s *Store) Repair(ctx context.Context, h chunk.Hash, data *buffer.Buffer) error {
	if err := check(ctx, h, data, true); err != nil {
		return err
	}
	return s.RepairVerified(ctx, h, data)
}

// RepairVerified is Repair without looking whether data has the hash h.
func (s *Store) RepairVerified(ctx context.Context, h chunk.Hash, data *buffer.Buffer) error {
	if err := check(ctx, h, data, false); err != nil {
		return err
	}
	v, err := s.enter(ctx, h)
	if err != nil {
		return err
	}
	defer s.leave()
	// The copy is looked at first: it may be bad without anybody having noticed.
	if err := v.submit(ctx, &op{kind: opSuspect, hash: h}); err != nil {
		return err
	}
	if c, err := entryOf(v.db, h); err == nil && (c.Place != state.Nowhere || !c.Known()) {
		return nil
	}
	return s.store(ctx, v, &op{kind: opRepair, hash: h}, data)
}

// store writes what an op offers and has the op decided.
func (s *Store) store(ctx context.Context, v *volume, o *op, data *buffer.Buffer) error {
	if err := v.writable(data.Len()); err != nil {
		return err
	}
	o.offered = s.contentOf(data)
	defer s.release(o.offered)
	if o.offered.Place == state.InFile {
		writing, span := telemetry.StartSpan(ctx, "disk.write")
		var err error
		o.temporary, err = v.writeTemporary(writing, o.offered)
		telemetry.EndSpan(span, err)
		if err != nil {
			return err
		}
	}
	v.metrics.written.Add(float64(o.offered.Stored))
	err := v.submit(ctx, o)
	if o.temporary != "" && (o.discarded || err != nil) && v.failed() == nil {
		v.removeQuietly(o.temporary)
	}
	return err
}

// PutRef implements chunk.Store.
func (s *Store) PutRef(ctx context.Context, h chunk.Hash, ref chunk.Ref) (chunk.Outcome, error) {
	v, err := s.enter(ctx, h)
	if err != nil {
		return 0, err
	}
	defer s.leave()
	return v.putRef(ctx, h, ref, chunk.NodeID{})
}

func (v *volume) putRef(ctx context.Context, h chunk.Hash, ref chunk.Ref, owner chunk.NodeID) (chunk.Outcome, error) {
	o := &op{kind: opPutRef, hash: h, ref: ref, owner: owner}
	err := v.submit(ctx, o)
	return o.outcome, err
}

// Delete implements chunk.Store.
func (s *Store) Delete(ctx context.Context, h chunk.Hash, ref chunk.Ref) error {
	return s.submit(ctx, &op{kind: opDelete, hash: h, ref: ref})
}

// Owe implements chunk.Node.
func (s *Store) Owe(ctx context.Context, h chunk.Hash, ref chunk.Ref, owner chunk.NodeID) error {
	return s.submit(ctx, &op{kind: opOwe, hash: h, ref: ref, owner: owner})
}

func (v *volume) submit(ctx context.Context, o *op) error {
	if err := v.failed(); err != nil {
		return err
	}
	ctx, span := telemetry.StartSpan(ctx, "disk.commit")
	err := v.writerOf(o.hash).submit(ctx, o)
	telemetry.EndSpan(span, err)
	return err
}

// Status implements chunk.Node.
func (s *Store) Status(context.Context) (chunk.NodeStatus, error) {
	if err := s.begin(); err != nil {
		return chunk.NodeStatus{}, err
	}
	defer s.leave()
	st := chunk.NodeStatus{ID: s.o.NodeID, ClusterID: s.o.ClusterID, Version: s.o.Version, Incarnation: s.incarnation()}
	var t totals
	for _, v := range s.volumes {
		t.add(v.totals())
		d := v.status()
		st.Disks = append(st.Disks, d)
		if d.Failed != "" {
			st.ReadOnly, st.Problem = true, d.Failed
			continue
		}
		st.Capacity += d.Capacity
		st.Free += d.Free
		if problem := v.space.problem(); problem != "" {
			st.ReadOnly, st.Problem = true, problem
		}
	}
	for _, d := range s.broken {
		st.Disks = append(st.Disks, d)
		st.ReadOnly, st.Problem = true, d.Failed
	}
	st.Chunks, st.Bytes, st.StoredBytes = t.Chunks, t.Bytes, t.Stored
	st.Uncollected, st.Owed, st.Quarantined = t.Uncollected, t.Owed, t.Quarantined
	st.Wanted, st.Trashed = t.Wanted, t.Trashed
	st.Damaged, st.Mended = t.Damaged, t.Mended
	return st, nil
}

// incarnation is that of the only disk, or one made of all of them: it changes
// when a disk is added, lost or formatted anew.
func (s *Store) incarnation() uuid.UUID {
	if len(s.volumes) == 1 && len(s.broken) == 0 {
		return s.volumes[0].Incarnation
	}
	var all []string
	for _, v := range s.volumes {
		all = append(all, v.Incarnation.String())
	}
	slices.Sort(all)
	sum := sha256.New()
	for _, i := range all {
		sum.Write([]byte(i))
	}
	u := uuid.UUID(sum.Sum(nil)[:16])
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80 // version 8: of our own making
	return u
}

// check looks at what is to be stored, and at its hash where asked to.
func check(ctx context.Context, h chunk.Hash, data *buffer.Buffer, verify bool) error {
	if err := ctx.Err(); err != nil {
		return ended(err)
	}
	if data.Len() == 0 || data.Len() > chunk.MaxSize {
		return errors.E(errors.Invalid, errors.Chunk, h.String(), "a chunk has 1 to %d bytes, not %d", chunk.MaxSize, data.Len())
	}
	if !verify {
		return nil
	}
	return errors.Wrap(errors.Invalid, chunk.Verify(h, data), "storing a chunk")
}

func ended(err error) error {
	return errors.Wrap(errors.KindOf(err), err, "the call had ended before it began")
}
