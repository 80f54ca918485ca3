package cql

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
)

const (
	makeID     = `INSERT INTO bucket_ids (id, name, shards, state) VALUES (?, ?, ?, ?) IF NOT EXISTS`
	setState   = `UPDATE bucket_ids SET state = ? WHERE id = ? IF state = ?`
	dropID     = `DELETE FROM bucket_ids WHERE id = ? IF state = ?`
	makeBucket = `INSERT INTO buckets (name, id, created, owner, grantees, rights, revision) VALUES (?, ?, ?, ?, ?, ?, 0) IF NOT EXISTS`
	readBucket = `SELECT id, created, owner, grantees, rights, revision FROM buckets WHERE name = ?`
	allBuckets = `SELECT name, id, created, owner, grantees, rights FROM buckets`
	setGrants  = `UPDATE buckets SET grantees = ?, rights = ?, revision = ? WHERE name = ? IF id = ? AND revision = ?`
	dropBucket = `DELETE FROM buckets WHERE name = ? IF id = ?`
)

// bucketPage is the rows of buckets and keys that are read at a time.
const bucketPage = 1000

// bucketRow is a row of buckets as it is scanned.
type bucketRow struct {
	meta.Bucket
	created  int64
	grantees []string
	rights   []int
	revision int64
}

func (r *bucketRow) record() meta.Bucket {
	b := r.Bucket
	b.Created = timeAt(r.created)
	for i, g := range r.grantees {
		b.Grants = append(b.Grants, meta.Grant{Grantee: g, Rights: identity.Rights(r.rights[i])})
	}
	return b
}

func columnsOf(grants []meta.Grant) (grantees []string, rights []int) {
	for _, g := range grants {
		grantees, rights = append(grantees, g.Grantee), append(rights, int(g.Rights))
	}
	return grantees, rights
}

// CreateBucket implements meta.Buckets. The row of the ID comes before the name
// is taken and goes live after it, so that whatever a crash leaves is found from
// the ID, and is finished by whoever meets it.
func (s *Store) CreateBucket(ctx context.Context, b meta.Bucket) error {
	if err := b.Check(); err != nil {
		return err
	}
	if b.Created.IsZero() {
		b.Created = s.now()
	}
	taken := errors.E(errors.AlreadyExists, errors.Bucket, b.Name, "the name is taken")
	made, there, err := s.cas(ctx, makeID, b.ID, b.Name, shardsOfNew, stateCreating)
	if err != nil && there == nil {
		return err
	}
	// One that was left half way, by a call that failed or by a try of this one, goes on.
	if !made && (there["name"] != b.Name || there["state"] != stateCreating) {
		return taken
	}
	named, err := s.takeName(ctx, b)
	if err != nil {
		return err
	}
	if !named {
		if _, _, err := s.cas(ctx, dropID, b.ID, stateCreating); err != nil {
			return err
		}
		return taken
	}
	_, err = s.casTo(ctx, stateLive, setState, stateLive, b.ID, stateCreating)
	return err
}

// takeName writes the row of the name, in place of one whose bucket was deleted.
func (s *Store) takeName(ctx context.Context, b meta.Bucket) (bool, error) {
	grantees, rights := columnsOf(b.Grants)
	for {
		made, there, err := s.cas(ctx, makeBucket, b.Name, b.ID, at(b.Created), b.Owner, grantees, rights)
		if made || err != nil && there == nil {
			return made, err
		}
		r, found, err := s.named(ctx, b.Name)
		if err != nil {
			return false, err
		}
		if !found {
			continue
		}
		if r.ID == b.ID {
			return true, nil // a call that failed had this effect
		}
		if _, err := s.bucket(ctx, r.ID); !errors.Is(err, errors.NotFound) {
			return false, err
		}
		// A creation under way has a name whose ID is found; this one is of a deletion that crashed.
		if err := s.dropName(ctx, b.Name, r.ID); err != nil {
			return false, err
		}
	}
}

// created decides a bucket whose creation is under way or crashed: it exists once its name is its.
func (s *Store) created(ctx context.Context, b liveBucket) (liveBucket, error) {
	row, found, err := s.named(ctx, b.name)
	if err != nil {
		return liveBucket{}, err
	}
	if !found || row.ID != b.id {
		return liveBucket{}, noBucket(b.id)
	}
	if _, err := s.casTo(ctx, stateLive, setState, stateLive, b.id, stateCreating); err != nil {
		return liveBucket{}, err
	}
	return s.bucket(ctx, b.id)
}

func (s *Store) named(ctx context.Context, name string) (bucketRow, bool, error) {
	r := bucketRow{Bucket: meta.Bucket{Name: name}}
	found, err := s.one(ctx, []any{&r.ID, &r.created, &r.Owner, &r.grantees, &r.rights, &r.revision}, readBucket, name)
	return r, found, err
}

func noName(name string) error {
	return errors.E(errors.NotFound, errors.Bucket, name, "there is no bucket with this name")
}

// Bucket implements meta.Buckets.
func (s *Store) Bucket(ctx context.Context, name string) (meta.Bucket, error) {
	r, found, err := s.named(ctx, name)
	if err != nil {
		return meta.Bucket{}, err
	}
	if !found {
		return meta.Bucket{}, noName(name)
	}
	return r.record(), nil
}

// everyBucket reads all buckets, in the order of their names. They are few beside objects, and lie where their names' hashes say.
func (s *Store) everyBucket(ctx context.Context) ([]meta.Bucket, error) {
	var all []meta.Bucket
	err := s.each(ctx, bucketPage, func(scan func(...any) error) (bool, error) {
		var r bucketRow
		if err := scan(&r.Name, &r.ID, &r.created, &r.Owner, &r.grantees, &r.rights); err != nil {
			return false, err
		}
		all = append(all, r.record())
		return true, nil
	}, allBuckets)
	slices.SortFunc(all, func(a, b meta.Bucket) int { return strings.Compare(a.Name, b.Name) })
	return all, err
}

// liveBuckets is the IDs of the buckets that have a name.
func (s *Store) liveBuckets(ctx context.Context) ([]uuid.UUID, error) {
	all, err := s.everyBucket(ctx)
	ids := make([]uuid.UUID, len(all))
	for i, b := range all {
		ids[i] = b.ID
	}
	return ids, err
}

// ListBuckets implements meta.Buckets.
func (s *Store) ListBuckets(ctx context.Context, r meta.ListBuckets) (meta.BucketPage, error) {
	if err := meta.CheckLimit(r.Limit); err != nil {
		return meta.BucketPage{}, err
	}
	all, err := s.everyBucket(ctx)
	if err != nil {
		return meta.BucketPage{}, err
	}
	var page meta.BucketPage
	for _, b := range all {
		if b.Name <= r.After && r.After != "" || !strings.HasPrefix(b.Name, r.Prefix) || !r.Shows(b) {
			continue
		}
		if page.More = len(page.Buckets) == r.Limit; page.More {
			break
		}
		page.Buckets = append(page.Buckets, b)
	}
	return page, nil
}

// SetGrant implements meta.Buckets.
func (s *Store) SetGrant(ctx context.Context, id uuid.UUID, g meta.Grant) error {
	if err := g.Check(); err != nil {
		return err
	}
	b, err := s.live(ctx, id)
	if err != nil {
		return err
	}
	if err := s.known(ctx, g); err != nil {
		return err
	}
	if err := s.grant(ctx, b.name, id, g); err != nil {
		return err
	}
	// A key deleted meanwhile: its deletion may have passed this bucket before the grant was there.
	if err := s.known(ctx, g); err != nil {
		return errors.Join(err, s.grant(ctx, b.name, id, meta.Grant{Grantee: g.Grantee}))
	}
	return nil
}

// known refuses rights for a key that does not exist. Taking rights away, and people and groups, need none.
func (s *Store) known(ctx context.Context, g meta.Grant) error {
	if g.Rights == 0 || !identity.IsAccessKey(g.Grantee) {
		return nil
	}
	_, err := s.Key(ctx, g.Grantee)
	return err
}

// grant changes the grants of a bucket by compare-and-swap. It also decides what an earlier try left in doubt.
func (s *Store) grant(ctx context.Context, name string, id uuid.UUID, g meta.Grant) error {
	for {
		r := bucketRow{Bucket: meta.Bucket{Name: name}}
		found, err := s.serial(ctx, []any{&r.ID, &r.created, &r.Owner, &r.grantees, &r.rights, &r.revision}, readBucket, name)
		if err != nil {
			return err
		}
		if !found || r.ID != id {
			return noBucket(id)
		}
		grantees, rights := columnsOf(r.record().Granted(g))
		done, there, err := s.cas(ctx, setGrants, grantees, rights, r.revision+1, name, id, r.revision)
		if done || err != nil && there == nil {
			return err
		}
	}
}
