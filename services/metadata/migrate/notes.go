package migrate

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// notes are what the cluster keeps of an unfinished migration, in a closed bucket of their own: which buckets are copies, and which
// keys are being written or may not be as the last read showed them.
type notes struct {
	bucket meta.Bucket

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
	notesPrefix = ".migration-" // of the name of the bucket: no client can make one with it; the cluster ID of the standalone follows
	copyPrefix  = "copy/"       // a bucket that this migration made, by ID
	doubtPrefix = "doubt/"      // keys, by the ID of their bucket
	doubtKeys   = 32            // of a note, so that it is an inline object
	// ahead is what is settled above what was written before, of whatever machine: their clocks differ less.
	ahead = 2 * maxSkew
)

func notesName(standalone uuid.UUID) string { return notesPrefix + standalone.String() }

// openNotes finds the notes of earlier calls, or begins them.
func (m *migration) openNotes(ctx context.Context, standalone uuid.UUID, begin bool) error {
	id, err := clock.NewUUID(m.Random)
	if err != nil {
		return errors.Wrap(errors.Internal, err, "drawing an ID")
	}
	made := meta.Bucket{ID: id, Name: notesName(standalone), Grants: closed}
	if begin {
		err := m.retry(ctx, func(ctx context.Context) error { return m.Store.CreateBucket(ctx, made) })
		if err != nil && !errors.Is(err, errors.AlreadyExists) {
			return errors.Annotate(err, "making the bucket for the notes of the migration")
		}
	}
	err = m.retry(ctx, func(ctx context.Context) (err error) {
		m.notes.bucket, err = m.Store.Bucket(ctx, made.Name)
		return err
	})
	if errors.Is(err, errors.NotFound) && !begin {
		m.notes.bucket = meta.Bucket{}
		return nil
	}
	if err != nil {
		return err
	}
	return m.eachNote(ctx, copyPrefix, func(o meta.Object) error {
		id, err := uuid.Parse(strings.TrimPrefix(o.Key, copyPrefix))
		if err != nil {
			return errors.E(errors.Corrupted, errors.Object, o.Key, "the note of a migration has no bucket ID: %v", err)
		}
		m.notes.copies[id] = meta.Bucket{ID: id, Name: string(o.Inline)}
		return nil
	})
}

func (m *migration) eachNote(ctx context.Context, prefix string, do func(meta.Object) error) error {
	w := m.walk(m.Store, m.notes.bucket)
	w.query.Prefix = prefix
	for {
		listed, err := w.peek(ctx)
		if err != nil || listed == nil {
			return err
		}
		w.next()
		var o meta.Object
		err = m.retry(ctx, func(ctx context.Context) (err error) {
			o, err = m.Store.Object(ctx, m.notes.bucket.ID, listed.Key)
			return err
		})
		if errors.Is(err, errors.NotFound) {
			continue
		}
		if err == nil {
			err = do(o)
		}
		if err != nil {
			return err
		}
	}
}

func (m *migration) putNote(ctx context.Context, key string, body []byte) error {
	p := meta.Put{Bucket: m.notes.bucket.ID, Key: key, Inline: body, Size: int64(len(body))}
	err := m.retry(ctx, func(ctx context.Context) error {
		if err := m.hold.sure(m.Clock); err != nil {
			return err
		}
		_, err := m.Store.PutObject(ctx, p)
		return err
	})
	return errors.Annotate(err, "keeping a note of the migration")
}

// dropNote removes a note. Should it come back, that costs a write.
func (m *migration) dropNote(ctx context.Context, key string) error {
	err := m.retry(ctx, func(ctx context.Context) error {
		results, err := m.Store.DeleteObjects(ctx, m.notes.bucket.ID, []meta.Delete{{Key: key}})
		for _, r := range results {
			err = errors.Join(err, r.Err)
		}
		return err
	})
	return errors.Annotate(err, "removing a note of the migration")
}

// noteCopy notes that a bucket is a copy, before it is made.
func (m *migration) noteCopy(ctx context.Context, b meta.Bucket) error {
	if err := m.putNote(ctx, copyPrefix+b.ID.String(), []byte(b.Name)); err != nil {
		return err
	}
	m.notes.copies[b.ID] = b
	return nil
}

// forgetCopy drops the notes of a bucket that is gone.
func (m *migration) forgetCopy(ctx context.Context, b meta.Bucket) error {
	delete(m.notes.copies, b.ID)
	err := m.eachNote(ctx, doubtsOf(b), func(o meta.Object) error { return m.dropNote(ctx, o.Key) })
	if err != nil {
		return err
	}
	return m.dropNote(ctx, copyPrefix+b.ID.String())
}

// closeNotes removes the bucket of the notes, when nothing is left to note.
func (m *migration) closeNotes(ctx context.Context) error {
	if m.notes.bucket.ID == uuid.Nil {
		return nil
	}
	if err := m.eachNote(ctx, "", func(o meta.Object) error { return m.dropNote(ctx, o.Key) }); err != nil {
		return err
	}
	err := m.retry(ctx, func(ctx context.Context) error { return m.Store.DeleteBucket(ctx, m.notes.bucket.ID) })
	if errors.Is(err, errors.NotFound) {
		err = nil
	}
	return errors.Annotate(err, "removing the bucket %s, which nothing needs any more", m.notes.bucket.Name)
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

func doubtsOf(b meta.Bucket) string { return doubtPrefix + b.ID.String() + "/" }

// doubts notes keys that are about to be written.
func (m *migration) doubts(ctx context.Context, b meta.Bucket, keys []string, newest clock.Timestamp) (*doubt, error) {
	id, err := clock.NewUUID(m.Random)
	if err != nil {
		return nil, errors.Wrap(errors.Internal, err, "drawing an ID")
	}
	d := &doubt{m: m, note: doubtsOf(b) + id.String(), in: b.ID, under: len(keys), newest: max(newest, clock.TimestampOf(m.Clock.Now()))}
	return d, d.keep(ctx, keys)
}

func (d *doubt) keep(ctx context.Context, keys []string) error {
	p := &metadatav1.MigrationDoubt{Newest: int64(d.newest)}
	for _, k := range keys {
		p.Keys = append(p.Keys, []byte(k))
	}
	body, err := proto.Marshal(p)
	if err != nil {
		return errors.Wrap(errors.Internal, err, "writing a note")
	}
	return d.m.putNote(ctx, d.note, body)
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
	return d.m.dropNote(ctx, d.note)
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
	return m.eachNote(ctx, doubtsOf(b), func(note meta.Object) error {
		var p metadatav1.MigrationDoubt
		if err := proto.Unmarshal(note.Inline, &p); err != nil {
			return errors.E(errors.Corrupted, errors.Object, note.Key, "a note of a migration is damaged: %v", err)
		}
		g, settling := errgroup.WithContext(ctx)
		g.SetLimit(objectsAtOnce)
		for _, key := range p.GetKeys() {
			g.Go(func() error {
				err := m.retrySteps(settling, func() error { return m.settleKey(settling, b, string(key), clock.Timestamp(p.GetNewest()), wanted) })
				return errors.Annotate(err, "settling the object %q", key)
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		return m.dropNote(ctx, note.Key)
	})
}

func (m *migration) settleKey(ctx context.Context, b meta.Bucket, key string, newest clock.Timestamp, wanted bool) error {
	above := max(newest, clock.TimestampOf(m.Clock.Now())) + clock.Timestamp(ahead/time.Microsecond)
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
