package migrate

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/unfinished"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// notes are what the cluster keeps of this migration, as package unfinished has it, and what is known of it here.
type notes struct {
	unfinished.Notes
	exist  bool // false before they were begun, and when they have been deleted
	copies map[uuid.UUID]meta.Bucket

	mu     sync.Mutex
	failed map[place]bool // a write failed, which may take effect later or be taken back later
}

// place is a key of a bucket.
type place struct {
	bucket uuid.UUID
	key    string
}

const (
	doubtKeys = 32 // of a note, so that it is an inline object
	// ahead is what is settled above what was written before, of whatever machine: their clocks differ less.
	ahead = 2 * maxSkew
)

// findNotes finds the notes of earlier calls, or begins them.
func (m *migration) findNotes(ctx context.Context, standalone uuid.UUID, begin bool) error {
	id, err := clock.NewUUID(m.Random)
	if err != nil {
		return errors.Wrap(errors.Internal, err, "drawing an ID")
	}
	b := meta.Bucket{ID: id, Name: unfinished.BucketPrefix + standalone.String(), Grants: unfinished.ClosedGrants}
	if begin {
		err := m.retry(ctx, func(ctx context.Context) error { return m.Store.CreateBucket(ctx, b) })
		if err != nil && !errors.Is(err, errors.AlreadyExists) {
			return errors.Annotate(err, "making the bucket for the notes of the migration")
		}
	}
	err = m.retry(ctx, func(ctx context.Context) (err error) { b, err = m.Store.Bucket(ctx, b.Name); return err })
	if errors.Is(err, errors.NotFound) && !begin {
		return nil
	}
	if err != nil {
		return err
	}
	m.notes.Notes, m.notes.exist = unfinished.Notes{Store: m.Store, Bucket: b, Try: m.retry}, true
	copies, err := m.notes.Copies(ctx)
	for _, c := range copies {
		m.notes.copies[c.ID] = c
	}
	return notesGone(err)
}

// notesGone says why the notes have gone while a migration is at work. Kinds: Conflict then.
func notesGone(err error) error {
	if errors.IsEntity(err, errors.NotFound, errors.Bucket) {
		return errors.Wrap(errors.Conflict, err, "the notes of the migration are gone: somebody has opened its last copy, or deleted them. Run the same command again, which goes on or says what is in the way")
	}
	return err
}

// sureNotes are the notes for writes that must not be made when the hold is not sure.
func (m *migration) sureNotes() *unfinished.Notes {
	n := m.notes.Notes
	n.Try = m.retrySure
	return &n
}

// noteCopy notes that a bucket is a copy, before it is made.
func (m *migration) noteCopy(ctx context.Context, b meta.Bucket) error {
	if err := m.sureNotes().PutCopy(ctx, b); err != nil {
		return err
	}
	m.notes.copies[b.ID] = b
	return nil
}

// forgetCopy drops the notes of a bucket that is gone.
func (m *migration) forgetCopy(ctx context.Context, b meta.Bucket) error {
	delete(m.notes.copies, b.ID)
	return m.notes.ForgetCopy(ctx, b)
}

// deleteNotes deletes the notes, when nothing is left to note. The hold goes on without heartbeats.
func (m *migration) deleteNotes(ctx context.Context) error {
	if !m.notes.exist {
		return nil
	}
	if m.hold != nil {
		m.hold.stopHeartbeats()
	}
	m.notes.exist = false
	return m.notes.DeleteAll(ctx)
}

// doubt is a note of keys that are being written. While it is there, what reads of them show is not certain: a database that
// failed a write may do it later, or do later what was to take it back.
type doubt struct {
	m    *migration
	note string
	in   uuid.UUID

	mu     sync.Mutex
	under  int             // keys that are still being written
	newest clock.Timestamp // of the keys at the standalone, at least
	failed []string
}

// noteDoubt notes keys that are about to be written.
func (m *migration) noteDoubt(ctx context.Context, b meta.Bucket, keys []string, newest clock.Timestamp) (*doubt, error) {
	id, err := clock.NewUUID(m.Random)
	if err != nil {
		return nil, errors.Wrap(errors.Internal, err, "drawing an ID")
	}
	d := &doubt{m: m, note: unfinished.DoubtsOf(b) + id.String(), in: b.ID, under: len(keys), newest: max(newest, clock.TimestampOf(m.Clock.Now()))}
	return d, d.keep(ctx, keys)
}

func (d *doubt) keep(ctx context.Context, keys []string) error {
	p := &metadatav1.MigrationDoubt{Newest: int64(d.newest)}
	for _, k := range keys {
		p.Keys = append(p.Keys, []byte(k))
	}
	return d.m.sureNotes().PutDoubt(ctx, d.note, p)
}

// wrote says that nothing writes a key any more. After the last key of the note, the note is dropped, or keeps only the keys of which a write failed.
// That is done also when the migration ends here, as each key that is left in a note is settled, and gets another time than it had.
func (d *doubt) wrote(ctx context.Context, key string) error {
	at := place{d.in, key}
	d.m.notes.mu.Lock()
	failed := d.m.notes.failed[at]
	delete(d.m.notes.failed, at)
	d.m.notes.mu.Unlock()
	d.mu.Lock()
	if d.under--; failed {
		d.failed = append(d.failed, key)
	}
	last := d.under == 0
	d.mu.Unlock()
	if !last {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if len(d.failed) > 0 {
		return d.keep(ctx, d.failed)
	}
	return d.m.notes.Drop(ctx, d.note) // should it come back, that costs a write
}

// write does a write of keys, if the hold is sure, and notes if it failed. Once begun it is not cut off when the caller goes away.
func (m *migration) write(ctx context.Context, bucket uuid.UUID, do func(context.Context) error, keys ...string) error {
	err := context.Cause(ctx)
	if err == nil {
		err = m.hold.sure(m.Clock)
	}
	if err != nil {
		return err
	}
	err = once(context.WithoutCancel(ctx), do)
	if err != nil {
		m.notes.mu.Lock()
		defer m.notes.mu.Unlock()
		for _, k := range keys {
			m.notes.failed[place{bucket, k}] = true
		}
	}
	return err
}

// settle makes certain what is in doubt in a bucket: each key is written once more, as it is at the standalone or as deleted, above all that
// was tried before. After it, a write of an earlier try that the database still does, or takes back, has no effect. Writes are held back at the
// standalone, or the copy is not wanted.
func (m *migration) settle(ctx context.Context, b meta.Bucket, wanted bool) error {
	return m.notes.EachDoubt(ctx, b, func(note string, p *metadatav1.MigrationDoubt) error {
		// It is noted before anything is written there: if this fails, who goes on may have a slower clock, and has to come above it.
		above := max(clock.Timestamp(p.GetNewest()), clock.TimestampOf(m.Clock.Now())) + clock.Timestamp(ahead/time.Microsecond)
		p.Newest = int64(above)
		if err := m.sureNotes().PutDoubt(ctx, note, p); err != nil {
			return err
		}
		g, settling := errgroup.WithContext(ctx)
		g.SetLimit(objectsAtOnce)
		for _, key := range p.GetKeys() {
			g.Go(func() error {
				err := m.retrySteps(settling, func() error { return m.settleKey(settling, b, string(key), above, wanted) })
				return errors.Annotate(err, "settling the object %q", key)
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		return m.notes.Drop(ctx, note)
	})
}

func (m *migration) settleKey(ctx context.Context, b meta.Bucket, key string, above clock.Timestamp, wanted bool) error {
	if wanted {
		var o meta.Object
		err := once(ctx, func(ctx context.Context) (err error) { o, err = m.source.Object(ctx, b.ID, key); return err })
		if err == nil {
			o.Timestamp = max(above, o.Timestamp+1)
			if err = m.copyAs(ctx, b, &o); !damages(err) {
				return err
			}
		} else if !errors.Is(err, errors.NotFound) {
			return err
		}
	}
	// It is not there, or not whole, which the pass that follows says. A deletion needs something that it deletes.
	if err := m.commit(ctx, b, &meta.Object{Key: key, Version: meta.Version{Timestamp: above}}, uuid.Nil); err != nil {
		return err
	}
	return m.deleteOnce(ctx, b, []string{key})
}
