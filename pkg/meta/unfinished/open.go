package unfinished

import (
	"context"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

const (
	markPrefix = "opening/"
	// maxKeysTold is how many keys in doubt an opening names.
	maxKeysTold = 1000
)

// Opened is what came of opening a copy.
type Opened struct {
	// InDoubt are the keys of which a write failed in the database: what is read of them may still change by itself. Keys are the first of them.
	InDoubt int64
	Keys    []string
	// Left is why notes are left of it, which are removed when it is opened again; nil: none are.
	Left error
}

// Open lets clients into a copy. If it had been interrupted after that, it does the rest. Once begun it is not cut off when the caller goes away,
// but the notes stay then, so that who calls again is told what is in doubt. Kinds: Conflict if a migration is at work, or the bucket is not closed.
func Open(caller context.Context, store meta.Store, c clock.Clock, random clock.Random, b meta.Bucket) (Opened, error) {
	ctx := context.WithoutCancel(caller)
	notes, err := naming(ctx, store, b)
	if err != nil {
		return Opened{}, err
	}
	o, err := newOpening(c, random, b, notes)
	if err != nil {
		return Opened{}, err
	}
	if !b.Closed() {
		return o.resume(ctx, caller)
	}
	if err := o.keepAway(ctx); err != nil {
		return Opened{}, err
	}
	opened, err := o.inDoubt(ctx)
	if err != nil {
		return Opened{}, o.takeBack(ctx, err)
	}
	// From here on the mark stays until all is done, as a change that failed may still be made.
	granting, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if err := store.SetGrant(granting, b.ID, meta.Grant{Grantee: identity.Closed}); err != nil {
		return Opened{}, errors.Annotate(err, "opening the bucket %s was begun, and is to be done again; until then no migration can write there", b.Name)
	}
	opened.Left = o.forget(ctx, caller)
	return opened, nil
}

// RemoveNotes removes the notes of a migration, and their bucket, when no copy is closed any more. Kinds: Conflict if one is, or a migration is at work.
func RemoveNotes(ctx context.Context, store meta.Store, c clock.Clock, random clock.Random, b meta.Bucket) error {
	ctx = context.WithoutCancel(ctx)
	n := &Notes{Store: store, Bucket: b}
	o, err := newOpening(c, random, b, []*Notes{n})
	if err != nil {
		return err
	}
	if err := o.keepAway(ctx); err != nil {
		return err
	}
	closed, err := n.forgetFinished(ctx)
	if err == nil && closed != "" {
		// Also the marks of earlier tries go, as nobody needs to try again.
		if err := n.dropEach(ctx, marksOf(b)); err != nil {
			return err
		}
		return errors.E(errors.Conflict, errors.Bucket, b.Name, "it has the notes of a migration whose copy of the bucket %s is unfinished: "+
			"end that migration, give it up with \"garage migrate --abandon\", or open the copy with \"garage bucket open\"", closed)
	}
	if err != nil {
		return o.takeBack(ctx, err)
	}
	return n.DeleteAll(ctx)
}

// CheckNoOpening refuses while somebody is opening a copy, or removing the notes. It is asked after [Notes.PutHeartbeat]. Kinds: Conflict.
func (n *Notes) CheckNoOpening(ctx context.Context) error {
	return n.each(ctx, markPrefix, func(o meta.Object) error {
		b, err := n.named(o, markPrefix)
		if err != nil {
			return err
		}
		_, found, err := n.find(ctx, b)
		switch {
		case err != nil:
			return err
		case !found:
			return n.Drop(ctx, o.Key) // it was opened, emptied and deleted since
		case b.ID == n.Bucket.ID:
			return errors.Newf(errors.Conflict, "somebody is removing the notes of the migration, or was interrupted at it: run \"garage bucket delete %s\" again, then the migration", b.Name)
		}
		return errors.Newf(errors.Conflict, "somebody is opening the cluster's copy of the bucket %s to clients, or was interrupted at it: run \"garage bucket open %s\" again. "+
			"Until then no migration goes on; afterwards none touches this bucket, as clients may have written into it", b.Name, b.Name)
	})
}

// opening is one try to open a copy, or to remove notes.
type opening struct {
	clock  clock.Clock
	bucket meta.Bucket
	notes  []*Notes
	mark   string // the key of its mark
}

func newOpening(c clock.Clock, random clock.Random, b meta.Bucket, notes []*Notes) (*opening, error) {
	id, err := clock.NewUUID(random)
	if err != nil {
		return nil, errors.Wrap(errors.Internal, err, "drawing an ID")
	}
	return &opening{clock: c, bucket: b, notes: notes, mark: marksOf(b) + id.String()}, nil
}

func marksOf(b meta.Bucket) string { return markPrefix + b.ID.String() + "/" }

// resume ends an opening that was interrupted when clients were in already, or may have been. Kinds: Conflict if there was none.
func (o *opening) resume(ctx, caller context.Context) (Opened, error) {
	begun := false
	for _, n := range o.notes {
		if err := n.each(ctx, marksOf(o.bucket), func(meta.Object) error { begun = true; return nil }); err != nil && !gone(err) {
			return Opened{}, err
		}
	}
	if !begun {
		return Opened{}, errors.E(errors.Conflict, errors.Bucket, o.bucket.Name, "the bucket is not closed: give rights on it with \"garage bucket allow\"")
	}
	opened, err := o.inDoubt(ctx)
	if err != nil {
		return Opened{}, err
	}
	opened.Left = o.forget(ctx, caller)
	return opened, nil
}

// keepAway keeps migrations from beginning to write, if none is at work.
func (o *opening) keepAway(ctx context.Context) error {
	// It is looked at before too, so that no migration is disturbed by who is refused.
	if err := o.checkNoneAtWork(ctx); err != nil {
		return err
	}
	for _, n := range o.notes {
		if err := n.put(ctx, o.mark, []byte(o.bucket.Name)); err != nil {
			return o.takeBack(ctx, err)
		}
	}
	if err := o.checkNoneAtWork(ctx); err != nil {
		return o.takeBack(ctx, err)
	}
	return nil
}

func (o *opening) checkNoneAtWork(ctx context.Context) error {
	for _, n := range o.notes {
		if err := n.checkNoneAtWork(ctx, o.clock); err != nil {
			return err
		}
	}
	return nil
}

// takeBack drops the marks of this try, after an error.
func (o *opening) takeBack(ctx context.Context, err error) error {
	for _, n := range o.notes {
		if e := n.Drop(ctx, o.mark); e != nil && !gone(e) {
			err = errors.Join(err, errors.Annotate(e, "no migration can go on until this command was run again"))
		}
	}
	return err
}

// inDoubt collects the keys in doubt, each once.
func (o *opening) inDoubt(ctx context.Context) (opened Opened, err error) {
	keys := make(map[string]bool)
	for _, n := range o.notes {
		err := n.EachDoubt(ctx, o.bucket, func(_ string, p *metadatav1.MigrationDoubt) error {
			for _, k := range p.GetKeys() {
				key := string(k)
				if keys[key] {
					continue
				}
				keys[key] = true
				if opened.InDoubt++; len(opened.Keys) < maxKeysTold {
					opened.Keys = append(opened.Keys, key)
				}
			}
			return nil
		})
		if err != nil && !gone(err) {
			return Opened{}, err
		}
	}
	return opened, nil
}

// gone reports whether the notes are gone: somebody else has opened the last copy at the same time.
func gone(err error) bool { return errors.IsEntity(err, errors.NotFound, errors.Bucket) }

// forget drops what is noted of copies that are open, and the marks last, if the caller is there to hear what they said. With the last closed copy
// all notes go.
func (o *opening) forget(ctx, caller context.Context) error {
	if err := caller.Err(); err != nil {
		return errors.Wrap(errors.KindOf(err), err, "nobody waits for the answer")
	}
	for _, n := range o.notes {
		closed, err := n.forgetFinished(ctx)
		if gone(err) {
			continue
		}
		if err != nil {
			return err
		}
		if closed != "" {
			err = n.dropEach(ctx, marksOf(o.bucket))
		} else if err = n.DeleteAll(ctx); errors.Is(err, errors.NotEmpty) { // another migration has begun
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}
