package migrate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/convert"
	"deuxfleurs.fr/garage/pkg/meta/unfinished"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
	"deuxfleurs.fr/garage/services/metadata/snapshot"
)

// maxSkew is how far the clocks may differ: the times of objects stay those of the standalone.
const maxSkew = time.Minute

const pageSize = 500

// plan tells what there is to move and what is in the way. Kinds: Conflict if something is, and this is no dry run.
func (m *migration) plan(ctx context.Context, is *metadatav1.GetSourceResponse) error {
	p := &metadatav1.MigrationPlan{}
	buckets, err := m.allBuckets(ctx)
	if err != nil {
		return err
	}
	for _, b := range buckets {
		var u meta.Usage
		err := once(ctx, func(ctx context.Context) (err error) { u, err = m.source.Usage(ctx, b.ID); return err })
		if err != nil && !errors.Is(err, errors.NotFound) {
			return err
		}
		p.Buckets, p.Objects, p.Bytes, p.Uploads = p.Buckets+1, p.Objects+u.Objects, p.Bytes+u.Bytes, p.Uploads+u.Uploads
		there, problem, err := m.there(ctx, b)
		if err != nil {
			return err
		}
		if problem != "" {
			p.Obstacles = append(p.Obstacles, problem)
		} else if there {
			var u meta.Usage
			err := once(ctx, func(ctx context.Context) (err error) { u, err = m.Store.Usage(ctx, b.ID); return err })
			if err != nil && !errors.Is(err, errors.NotFound) {
				return err
			}
			p.Copied += u.Bytes
		}
	}
	m.total.Store(p.GetBytes())
	keys, err := m.allKeys(ctx)
	if err != nil {
		return err
	}
	p.Keys = int64(len(keys))
	taken, err := m.takenKeys(ctx)
	if err != nil {
		return err
	}
	p.Obstacles = append(p.Obstacles, taken...)
	m.place(ctx, p)
	if skew := m.Clock.Now().Sub(convert.TimeFrom(is.GetTime())); skew.Abs() > maxSkew {
		p.Obstacles = append(p.Obstacles, fmt.Sprintf("the clock of the standalone differs by %v from that of this metadata service: set both right (NTP)", skew.Abs().Round(time.Second)))
	}
	if problem := is.GetEndpointProblem(); problem != "" {
		p.Obstacles = append(p.Obstacles, "the standalone cannot forward requests to the S3 endpoint: "+problem)
	}
	m.tell(&metadatav1.MigrateResponse{Plan: p})
	if m.options.GetDryRun() {
		return nil
	}
	return refuse(p.GetObstacles())
}

// place looks whether there is room.
func (m *migration) place(ctx context.Context, p *metadatav1.MigrationPlan) {
	var room Room
	if err := once(ctx, func(ctx context.Context) (err error) { room, err = m.Room(ctx); return err }); err != nil {
		p.Obstacles = append(p.Obstacles, err.Error())
		return
	}
	p.Free, p.Needed = room.Free, max(p.GetBytes()-p.GetCopied(), 0)*int64(room.Copies)
	p.Obstacles = append(p.Obstacles, room.Problems...)
	if p.GetFree() < p.GetNeeded() {
		p.Obstacles = append(p.Obstacles, fmt.Sprintf("%d copies take up to %d bytes, and the chunk-nodes have %d bytes left: add nodes or disks",
			room.Copies, p.GetNeeded(), p.GetFree()))
	}
}

// refuse makes an error of what is in the way.
func refuse(obstacles []string) error {
	if len(obstacles) == 0 {
		return nil
	}
	return errors.Newf(errors.Conflict, "the migration cannot be done yet: %s", strings.Join(obstacles, "; "))
}

// there looks for a bucket here, and says if it is in the way.
func (m *migration) there(ctx context.Context, b meta.Bucket) (there bool, problem string, err error) {
	var t meta.Bucket
	err = once(ctx, func(ctx context.Context) (err error) { t, err = m.Store.Bucket(ctx, b.Name); return err })
	if errors.Is(err, errors.NotFound) {
		return false, "", nil
	}
	if err != nil {
		return false, "", err
	}
	return true, inTheWay(b, t), nil
}

// inTheWay says why the bucket t of the cluster, with the name of b, is not an unfinished copy of it.
func inTheWay(b, t meta.Bucket) string {
	switch {
	case t.ID != b.ID:
		return fmt.Sprintf("the cluster has another bucket called %s: remove or empty one of the two", b.Name)
	case !t.Closed():
		return fmt.Sprintf("the cluster's copy of the bucket %s is open to clients, who may have written into it: empty and delete it there", b.Name)
	case !slices.Equal(t.Grants, unfinished.ClosedGrants):
		return fmt.Sprintf("somebody was given rights on the cluster's copy of the bucket %s, which is closed until the migration ends: "+
			"take them away with \"garage bucket deny\"", b.Name)
	}
	return ""
}

// takenKeys tells which access keys mean something else here.
func (m *migration) takenKeys(ctx context.Context) (obstacles []string, err error) {
	keys, err := m.allKeys(ctx)
	for i := 0; i < len(keys) && err == nil; i++ {
		e := m.sameKey(ctx, keys[i])
		switch {
		case errors.Is(e, errors.AlreadyExists):
			obstacles = append(obstacles, e.Error())
		case !errors.Is(e, errors.NotFound):
			err = e
		}
	}
	return obstacles, err
}

// sameKey looks whether a key is here. Kinds: NotFound; AlreadyExists if it is another.
func (m *migration) sameKey(ctx context.Context, k meta.Key) error {
	var t meta.Key
	err := once(ctx, func(ctx context.Context) (err error) { t, err = m.Store.Key(ctx, k.AccessKey); return err })
	if err == nil && (t.Secret != k.Secret || t.CreateBuckets != k.CreateBuckets) {
		return errors.E(errors.AlreadyExists, errors.AccessKey, k.AccessKey, "the cluster has this key with another secret or another right to create buckets: delete one of the two")
	}
	return err
}

// allBuckets are those of the standalone but for its own.
func (m *migration) allBuckets(ctx context.Context) (all []meta.Bucket, err error) {
	for r := (meta.ListBuckets{Limit: pageSize}); ; {
		var page meta.BucketPage
		err := m.retry(ctx, func(ctx context.Context) (err error) { page, err = m.source.ListBuckets(ctx, r); return err })
		if err != nil {
			return nil, errors.Annotate(err, "listing the buckets of the standalone")
		}
		for _, b := range page.Buckets {
			if r.After = b.Name; b.Name != snapshot.Bucket && !strings.HasPrefix(b.Name, unfinished.BucketPrefix) {
				all = append(all, b)
			}
		}
		if !page.More {
			return all, nil
		}
	}
}

func (m *migration) allKeys(ctx context.Context) (all []meta.Key, err error) {
	for after := ""; ; {
		var page meta.KeyPage
		err := m.retry(ctx, func(ctx context.Context) (err error) { page, err = m.source.ListKeys(ctx, after, pageSize); return err })
		if err != nil {
			return nil, errors.Annotate(err, "listing the keys of the standalone")
		}
		for _, k := range page.Keys {
			after = k.AccessKey
			all = append(all, k)
		}
		if !page.More {
			return all, nil
		}
	}
}
