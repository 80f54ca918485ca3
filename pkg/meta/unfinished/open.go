package unfinished

import (
	"context"
	"time"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

const (
	// Fresh is how old a heartbeat may be whose migration may still write: it stops after some seconds without another, what it has begun ends within half a
	// minute, and clocks differ by two minutes at most.
	Fresh = 5 * time.Minute
	// openTime is how long an opening may take once it has begun, whether or not who asked for it has gone away.
	openTime = time.Minute
	maxKeys  = 1000 // that an opening names
)

// Opened is what came of opening a copy.
type Opened struct {
	// InDoubt are the keys of which a write failed in the database: what is read of them may still change by itself. Keys are the first of them.
	InDoubt int64
	Keys    []string
	// Left is why notes are left of it, which are removed when it is opened again; nil: none are.
	Left error
}

// opening is one try to open a copy, or to remove notes.
type opening struct {
	clock  clock.Clock
	bucket meta.Bucket
	of     []Notes
	mark   string
}

func begin(c clock.Clock, random clock.Random, b meta.Bucket, of []Notes) (*opening, error) {
	id, err := clock.NewUUID(random)
	if err != nil {
		return nil, errors.Wrap(errors.Internal, err, "drawing an ID")
	}
	return &opening{clock: c, bucket: b, of: of, mark: marksOf(b) + id.String()}, nil
}

func marksOf(b meta.Bucket) string { return openingPrefix + b.ID.String() + "/" }

// Open lets clients into a copy. If it had been interrupted after that, it does the rest. Kinds: Conflict if a migration is at work,
// or the bucket is not closed.
func Open(ctx context.Context, store meta.Store, c clock.Clock, random clock.Random, b meta.Bucket) (Opened, error) {
	of, err := naming(ctx, store, b)
	if err != nil {
		return Opened{}, err
	}
	o, err := begin(c, random, b, of)
	if err != nil {
		return Opened{}, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), openTime)
	defer cancel()
	if b.Closed() {
		if err := o.keepAway(ctx); err != nil {
			return Opened{}, err
		}
	} else if begun, err := o.begun(ctx); err != nil || !begun {
		if err == nil {
			err = errors.E(errors.Conflict, errors.Bucket, b.Name, "the bucket is not closed: give rights on it with \"garage bucket allow\"")
		}
		return Opened{}, err
	}
	opened, err := o.doubts(ctx)
	if err != nil && b.Closed() {
		return Opened{}, o.back(ctx, err)
	}
	// From here on the mark stays until all is done, as a change that failed may still be made.
	if err == nil && b.Closed() {
		err = store.SetGrant(ctx, b.ID, meta.Grant{Grantee: identity.Closed})
	}
	if err == nil {
		// Clients are in; what is in doubt is known only now, as its notes may be gone already.
		if err = o.forget(ctx); b.Closed() {
			opened.Left, err = err, nil
		}
	}
	return opened, errors.Annotate(err, "opening the bucket %s was begun, and is to be done again; until then no migration can write there", b.Name)
}

// Remove removes the notes of a migration, and their bucket, when no copy is closed any more. Kinds: Conflict if one is, or a migration is at work.
func Remove(ctx context.Context, store meta.Store, c clock.Clock, random clock.Random, b meta.Bucket) error {
	n := Notes{Store: store, Bucket: b}
	o, err := begin(c, random, b, []Notes{n})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), openTime)
	defer cancel()
	if err := o.keepAway(ctx); err != nil {
		return err
	}
	left, err := n.forgetOthers(ctx)
	if err == nil && left != "" {
		err = errors.E(errors.Conflict, errors.Bucket, b.Name, "it has the notes of a migration whose copy of the bucket %s is unfinished: "+
			"end that migration, give it up with \"garage migrate --abandon\", or open the copy with \"garage bucket open\"", left)
	}
	if err != nil {
		return o.back(ctx, err)
	}
	return n.Close(ctx)
}

// keepAway keeps migrations from beginning to write, if none is at work.
func (o *opening) keepAway(ctx context.Context) error {
	// It is looked at before too, so that no migration is disturbed by who is refused.
	if err := o.atWork(ctx); err != nil {
		return err
	}
	for i := range o.of {
		if err := o.of[i].Put(ctx, o.mark, []byte(o.bucket.Name)); err != nil {
			return o.back(ctx, err)
		}
	}
	if err := o.atWork(ctx); err != nil {
		return o.back(ctx, err)
	}
	return nil
}

// back takes the marks of this try back, after an error.
func (o *opening) back(ctx context.Context, err error) error {
	for i := range o.of {
		if e := o.of[i].Drop(ctx, o.mark); e != nil && !errors.IsEntity(e, errors.NotFound, errors.Bucket) {
			err = errors.Join(err, errors.Annotate(e, "no migration can go on until this command was run again"))
		}
	}
	return err
}

// begun says whether an earlier try was interrupted.
func (o *opening) begun(ctx context.Context) (begun bool, err error) {
	for i := 0; i < len(o.of) && err == nil; i++ {
		err = o.of[i].Each(ctx, marksOf(o.bucket), func(meta.Object) error { begun = true; return nil })
	}
	return begun, err
}

// atWork is an error if a migration may be at work. Kinds: Conflict.
func (o *opening) atWork(ctx context.Context) error {
	for i := range o.of {
		err := o.of[i].Each(ctx, beatPrefix, func(note meta.Object) error {
			at, err := time.Parse(time.RFC3339Nano, string(note.Inline))
			if err != nil {
				return errors.E(errors.Corrupted, errors.Object, note.Key, "the heartbeat of a migration has no time: %v", err)
			}
			if left := at.Add(Fresh).Sub(o.clock.Now()); left > 0 {
				return errors.E(errors.Conflict, errors.Bucket, o.bucket.Name, "a migration is at work, or its copies are being removed, or that was interrupted a moment ago: "+
					"end it (it must not be begun again), and try again %v later", left.Round(time.Second))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (o *opening) doubts(ctx context.Context) (d Opened, err error) {
	keys := make(map[string]bool)
	for i := 0; i < len(o.of) && err == nil; i++ {
		err = o.of[i].EachDoubt(ctx, o.bucket, func(_ string, p *metadatav1.MigrationDoubt) error {
			for _, k := range p.GetKeys() {
				if key := string(k); !keys[key] {
					keys[key] = true
					if d.InDoubt++; len(d.Keys) < maxKeys {
						d.Keys = append(d.Keys, key)
					}
				}
			}
			return nil
		})
	}
	return d, err
}

// forget drops what is noted of a copy that is open, and the marks last. With the last copy all notes go.
func (o *opening) forget(ctx context.Context) error {
	for i := range o.of {
		n := &o.of[i]
		left, err := n.forgetOthers(ctx)
		if err == nil && left == "" {
			err = n.Close(ctx)
			if errors.Is(err, errors.NotEmpty) { // another migration has begun
				err = nil
			}
		}
		if err == nil && left != "" {
			err = n.dropEach(ctx, marksOf(o.bucket))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// forgetOthers drops the notes of copies that are open or gone, and names one that is closed, if any is left.
func (n *Notes) forgetOthers(ctx context.Context) (left string, err error) {
	copies, err := n.Copies(ctx)
	for i := 0; i < len(copies) && err == nil; i++ {
		t, found, e := n.here(ctx, copies[i])
		switch {
		case e != nil:
			err = e
		case found && t.Closed():
			left = t.Name
		default:
			err = n.ForgetCopy(ctx, copies[i])
		}
	}
	return left, err
}
