package migrate

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/semaphore"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/convert"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

const (
	patience = 30 * time.Second // for one call
	// What a pass may find so that the next one is the cut-over.
	littleObjects = 1000
	littleBytes   = 64 << 20
	maxPasses     = 20
	frozenPasses  = 5
	// holdWrites is how long writes are held back at most if the operator says nothing, finishTime how long what follows may take.
	holdWrites = 10 * time.Minute
	finishTime = 5 * time.Minute
)

// migration is one call of Migrate.
type migration struct {
	Deps
	options *metadatav1.MigrateRequest
	source  meta.Store // read-only
	peer    metadatav1.MigrationSourceServiceClient
	limit   limit
	room    *semaphore.Weighted         // bytes of chunks on their way
	cluster uuid.UUID                   // this one
	hold    *hold                       // while objects are written
	left    bool                        // Leave was asked for
	target  atomic.Pointer[meta.Bucket] // the copy that is written into
	notes   notes
	progress

	sending sync.Mutex
	send    func(*metadatav1.MigrateResponse) error

	mu      sync.Mutex
	damaged map[string]error // by bucket and key
}

// tell sends something to who called; that nobody listens any more is seen by the call's context.
func (m *migration) tell(r *metadatav1.MigrateResponse) {
	m.sending.Lock()
	defer m.sending.Unlock()
	_ = m.send(r)
}

func (m *migration) note(text string) {
	m.Logger.Info("migration: "+text, "source", m.options.GetSource())
	m.tell(&metadatav1.MigrateResponse{Note: text})
}

// once gives a call its time.
func once(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return call(ctx)
}

// retry repeats for some seconds a call that gets no answer, and gives each try its time. The call must be repeatable.
func (m *migration) retry(ctx context.Context, call func(context.Context) error) error {
	return m.retrySteps(ctx, func() error { return once(ctx, call) })
}

// retrySure is retry for a write, each try of which needs a sure hold.
func (m *migration) retrySure(ctx context.Context, call func(context.Context) error) error {
	return m.retrySteps(ctx, func() error { return m.onceSure(ctx, call) })
}

// onceSure gives a write its time, if the hold is sure.
func (m *migration) onceSure(ctx context.Context, call func(context.Context) error) error {
	if err := m.hold.sure(m.Clock); err != nil {
		return err
	}
	return once(ctx, call)
}

// retrySteps is retry for what makes several calls, each of which has a time of its own.
func (m *migration) retrySteps(ctx context.Context, steps func() error) error {
	for wait := firstWait; ; wait *= 2 {
		err := steps()
		switch errors.KindOf(err) {
		case errors.Unavailable, errors.Overloaded, errors.Deadline:
		default:
			return err
		}
		if wait > lastWait {
			return err
		}
		if clock.Sleep(ctx, m.Clock, wait) != nil {
			return errors.Join(err, context.Cause(ctx))
		}
	}
}

func (m *migration) run(ctx context.Context) error {
	m.room = semaphore.NewWeighted(chunkMemory)
	var is *metadatav1.GetSourceResponse
	err := once(ctx, func(ctx context.Context) (err error) {
		is, err = m.peer.GetSource(ctx, &metadatav1.GetSourceRequest{Endpoint: m.options.GetEndpoint()})
		return err
	})
	switch {
	case errors.Is(err, errors.NotImplemented):
		return errors.Newf(errors.Invalid, "the server at %s is no standalone Garage, or an older one", m.options.GetSource())
	case err != nil:
		return errors.Annotate(err, "asking the standalone at %s", m.options.GetSource())
	}
	var info meta.Info
	if err := once(ctx, func(ctx context.Context) (err error) { info, err = m.Store.Info(ctx); return err }); err != nil {
		return err
	}
	m.cluster = info.ClusterID
	standalone, err := convert.IDFrom(is.GetClusterId())
	if err != nil {
		return err
	}
	if err := m.leftElsewhere(is); err != nil {
		return err
	}
	switch {
	case m.options.GetAbandon():
		return m.abandon(ctx, standalone, is.GetLeft())
	case is.GetLeft() && is.GetForwards():
		if err := m.findNotes(ctx, standalone, false); err != nil {
			return err
		}
		if err := m.deleteNotes(ctx); err != nil {
			return err
		}
		m.note("everything has moved before, to " + is.GetEndpoint())
		m.result(true, 0)
		return nil
	case is.GetLeft():
		m.note("everything was copied before; keys and rights are what is left")
		// That the standalone says so need not be durable yet.
		if err := m.leave(ctx, uuid.Nil); err != nil {
			return err
		}
		if err := m.findNotes(ctx, standalone, false); err != nil {
			return err
		}
		return m.finish(ctx, 0)
	}
	if err := m.plan(ctx, is); err != nil || m.options.GetDryRun() {
		return err
	}
	return m.whileHeld(ctx, standalone, func(ctx context.Context) error {
		reporting, stop := context.WithCancel(ctx)
		var work sync.WaitGroup
		defer work.Wait()
		defer stop()
		work.Go(func() { m.report(reporting) })
		if err := m.copy(ctx); err != nil {
			return err
		}
		if m.options.GetCopyOnly() {
			m.result(false, 0)
			return nil
		}
		return m.cutOver(ctx)
	})
}

// leftElsewhere refuses a standalone that has left to another cluster: what it has is of then, and clients write there. Kinds: Conflict.
func (m *migration) leftElsewhere(is *metadatav1.GetSourceResponse) error {
	to, err := convert.IDFrom(is.GetLeftTo())
	if err != nil || !is.GetLeft() || to == m.cluster {
		return err
	}
	return errors.Newf(errors.Conflict, "the standalone at %s has moved to another cluster, %v at %s: its clients write there. Nothing was changed here",
		m.options.GetSource(), to, is.GetEndpoint())
}

// copy makes passes until one finds little.
func (m *migration) copy(ctx context.Context) error {
	for n := 1; ; n++ {
		d, err := m.pass(ctx, false)
		if err != nil {
			return err
		}
		m.note(d.text(n))
		if d.objects <= littleObjects && d.bytes <= littleBytes {
			return nil
		}
		if n == maxPasses {
			return errors.Newf(errors.Overloaded, "after %d passes there still is much to copy: clients write at the standalone as fast as it is copied. "+
				"Give a higher --rate, or begin again when they write less; what was copied stays", n)
		}
	}
}

// cutOver moves who serves.
func (m *migration) cutOver(ctx context.Context) error {
	if err := m.damage(); err != nil {
		return err
	}
	limit := cmp.Or(time.Duration(m.options.GetHoldWrites())*time.Millisecond, holdWrites)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errors.Newf(errors.Deadline, "the cut-over took longer than %v; "+
		"writes go on at the standalone, nothing is lost: begin again when clients write less, or give a longer --hold-writes", limit))
	defer cancel()
	m.note("cut-over: the standalone answers writes with 503 SlowDown from now on; reads go on")
	m.limit.lift()
	frozen := m.Clock.Now()
	m.frozen.Store(true)
	defer m.frozen.Store(false)
	// It waits for the writes under way there, while the hold is renewed beside it.
	if err := once(ctx, m.hold.freeze); err != nil {
		return errors.Annotate(err, "holding writes back at the standalone")
	}
	if err := m.equal(ctx); err != nil {
		return err
	}
	if err := m.leave(ctx, m.hold.id); err != nil {
		return err
	}
	// From now on there is no way back: that the caller goes away does not keep rights from being made.
	return m.finish(context.WithoutCancel(ctx), m.Clock.Now().Sub(frozen))
}

// equal makes passes until one finds no difference.
func (m *migration) equal(ctx context.Context) error {
	for n := 1; ; n++ {
		d, err := m.pass(ctx, true)
		if err != nil {
			return errors.Annotate(err, "comparing while writes are held back")
		}
		if d.none() {
			m.note("verified: the cluster has everything as the standalone has it")
			break
		}
		m.note(d.text(0))
		if n == frozenPasses {
			return errors.Newf(errors.Internal, "the cluster's copy differs from the standalone after %d passes without writes, such as in %s; "+
				"writes go on there, nothing is lost", n, d.first)
		}
	}
	// What clients may do is made when there is no way back: look before that nothing is in its way.
	obstacles, err := m.takenKeys(ctx)
	return errors.Join(m.damage(), err, refuse(obstacles))
}

// leave makes it final at the standalone, once and for all. That the hold ends by it, or the caller goes away, does not break it off.
func (m *migration) leave(ctx context.Context, id uuid.UUID) error {
	m.left = true
	err := m.retry(context.WithoutCancel(ctx), func(ctx context.Context) error {
		_, err := m.peer.Leave(ctx, &metadatav1.LeaveRequest{Migration: id[:], Cluster: m.cluster[:], Endpoint: m.options.GetEndpoint()})
		return err
	})
	return errors.Annotate(err, "making it final at the standalone, where no request may be answered until the same command is run again")
}

// finish makes keys and rights, and has requests forwarded.
func (m *migration) finish(ctx context.Context, frozen time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer cancel()
	if err := m.rights(ctx); err != nil {
		return errors.Annotate(err, "the standalone has left, and keys and rights are missing here: run the same command again")
	}
	if err := clock.Sleep(ctx, m.Clock, m.Settle); err != nil {
		return err
	}
	err := m.retry(ctx, func(ctx context.Context) error {
		_, err := m.peer.Forward(ctx, &metadatav1.ForwardRequest{Cluster: m.cluster[:]})
		return err
	})
	if err != nil {
		return errors.Annotate(err, "everything is here, and the standalone does not forward requests yet: run the same command again")
	}
	if err := m.deleteNotes(ctx); err != nil {
		m.Logger.Warn("the notes of a migration that is done stay", "bucket", m.notes.Bucket.Name, "error", err)
	}
	m.note("moved: the standalone forwards all requests to " + m.options.GetEndpoint())
	m.result(true, frozen)
	return nil
}

// result is the last that is told.
func (m *migration) result(moved bool, frozen time.Duration) {
	r := &metadatav1.MigrationResult{Moved: moved, Objects: m.objects.Load(), Bytes: m.bytes.Load(), Deleted: m.deleted.Load(),
		Passes: m.passes.Load(), Frozen: frozen.Milliseconds()}
	m.mu.Lock()
	for name := range m.damaged {
		r.Damaged = append(r.Damaged, []byte(name))
	}
	m.mu.Unlock()
	m.tell(&metadatav1.MigrateResponse{Result: r})
}

// rights makes the keys of the standalone, then who may do what with its buckets, which are looked for before anything is made.
func (m *migration) rights(ctx context.Context) error {
	all, err := m.allBuckets(ctx)
	if err != nil {
		return err
	}
	var buckets []meta.Bucket
	for _, b := range all {
		var t meta.Bucket
		err := m.retry(ctx, func(ctx context.Context) (err error) { t, err = m.Store.Bucket(ctx, b.Name); return err })
		switch {
		case err == nil && t.ID == b.ID:
			buckets = append(buckets, b)
		case err == nil, errors.Is(err, errors.NotFound):
			// It was here when the standalone left.
			m.note("the bucket " + b.Name + " is not here any more: who got rights from an earlier call has deleted it; the standalone still has what was in it")
		default:
			return err
		}
	}
	keys, err := m.allKeys(ctx)
	if err != nil {
		return err
	}
	for _, k := range keys {
		err := m.retry(ctx, func(ctx context.Context) error { return m.Store.CreateKey(ctx, k) })
		if errors.Is(err, errors.AlreadyExists) {
			err = m.sameKey(ctx, k)
		}
		if err != nil {
			return err
		}
	}
	for _, b := range buckets {
		// Last, the bucket is opened.
		for _, g := range append(slices.Clone(b.Grants), meta.Grant{Grantee: identity.Closed}) {
			err := m.retry(ctx, func(ctx context.Context) error { return m.Store.SetGrant(ctx, b.ID, g) })
			if err != nil && !errors.IsEntity(err, errors.NotFound, errors.Bucket) { // deleted this moment
				return errors.Annotate(err, "making the rights on the bucket %s", b.Name)
			}
		}
	}
	return nil
}
