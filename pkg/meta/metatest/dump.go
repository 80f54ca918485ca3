package metatest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/meta"
)

// recount counts what a bucket holds from its listings.
func recount(ctx context.Context, s meta.Store, bucket uuid.UUID) (meta.Usage, error) {
	var u meta.Usage
	objects, uploads, err := walk(ctx, s, bucket)
	for _, o := range objects {
		u.Objects++
		u.Bytes += o.Size
	}
	u.Uploads = int64(len(uploads))
	return u, err
}

// walk reads all objects and open multipart uploads of a bucket.
func walk(ctx context.Context, s meta.Store, bucket uuid.UUID) (objects []meta.Object, uploads []meta.Upload, err error) {
	for r := (meta.List{Bucket: bucket, Limit: 100}); ; {
		page, err := s.List(ctx, r)
		if err != nil {
			return nil, nil, err
		}
		for _, l := range page.Objects {
			o, err := s.Object(ctx, bucket, l.Key)
			if err != nil {
				return nil, nil, err
			}
			if o.Listed() != l {
				return nil, nil, fmt.Errorf("the listing says %+v, the object %+v", l, o)
			}
			objects = append(objects, o)
		}
		if r.After = page.Next; !page.More {
			break
		}
	}
	for r := (meta.ListUploads{Bucket: bucket, Limit: 100}); ; {
		page, err := s.ListUploads(ctx, r)
		if err != nil {
			return nil, nil, err
		}
		uploads = append(uploads, page.Uploads...)
		if r.After, r.AfterID = page.Next, page.NextID; !page.More {
			return objects, uploads, nil
		}
	}
}

// Dump is everything that a store shows, without what two equal stores may
// choose differently (timestamps, IDs of versions and garbage, times), one line each in
// order. It fails when the store contradicts itself: a usage that a recount does not find,
// an attempt with two holders.
func Dump(ctx context.Context, s meta.Store) ([]string, error) {
	d := &dump{ctx: ctx, s: s, holders: make(map[uuid.UUID]string)}
	page, err := s.ListBuckets(ctx, meta.ListBuckets{Limit: 1 << 20})
	if err != nil {
		return nil, err
	}
	for _, b := range page.Buckets {
		if err := d.bucket(b); err != nil {
			return nil, fmt.Errorf("bucket %s: %w", b.Name, err)
		}
	}
	keys, err := s.ListKeys(ctx, "", 1<<20)
	if err != nil {
		return nil, err
	}
	for _, k := range keys.Keys {
		d.line("key %s %s %s %v", k.AccessKey, k.Secret, k.Name, k.CreateBuckets)
	}
	garbage, err := everyGarbage(ctx, s, time.Time{})
	if err != nil {
		return nil, err
	}
	for _, g := range garbage {
		slices.SortFunc(g.Attempts, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
		for _, a := range g.Attempts {
			if err := d.attempt(a, "garbage of "+g.Key); err != nil {
				return nil, err
			}
		}
	}
	slices.Sort(d.lines)
	return d.lines, nil
}

type dump struct {
	ctx     context.Context
	s       meta.Store
	lines   []string
	holders map[uuid.UUID]string
}

func (d *dump) line(format string, args ...any) {
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *dump) bucket(b meta.Bucket) error {
	d.line("bucket %s %v %v", b.Name, b.ID, b.Grants)
	want, err := recount(d.ctx, d.s, b.ID)
	if err != nil {
		return err
	}
	got, err := d.s.Usage(d.ctx, b.ID)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("the usage is %+v, a recount finds %+v", got, want)
	}
	objects, uploads, err := walk(d.ctx, d.s, b.ID)
	if err != nil {
		return err
	}
	for _, o := range objects {
		o.Version = meta.Version{}
		d.line("object %s %+v", b.Name, o)
		for _, a := range o.Attempts() {
			if err := d.attempt(a, "object "+o.Key); err != nil {
				return err
			}
		}
	}
	for _, u := range uploads {
		u.Begun = time.Time{}
		d.line("upload %s %+v", b.Name, u)
		parts, err := d.s.ListParts(d.ctx, u.UploadRef, 0, meta.MaxParts)
		if err != nil {
			return err
		}
		for _, p := range parts.Parts {
			p.Modified = time.Time{}
			d.line("part %s %v %+v", b.Name, u.ID, p)
			if err := d.attempt(p.Attempt, "upload of "+u.Key); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *dump) attempt(a uuid.UUID, holder string) error {
	if other, held := d.holders[a]; held {
		return fmt.Errorf("attempt %v is held by %s and by %s", a, other, holder)
	}
	d.holders[a] = holder
	if found, err := d.s.Attempts(d.ctx, meta.FindAttempts{IDs: []uuid.UUID{a}}); err != nil || found[0].State == meta.AttemptUnknown {
		return fmt.Errorf("attempt %v of %s is found as %+v: %w", a, holder, found, err)
	}
	chunks, err := d.s.Chunks(d.ctx, a, 0, 1<<20)
	var b strings.Builder
	for _, c := range chunks {
		fmt.Fprintf(&b, " %d+%d:%x", c.Offset, c.Length, c.Hash[28:])
	}
	d.line("attempt %v of %s:%s", a, holder, b.String())
	return err
}
