package migrate

import (
	"context"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// uploads makes the multipart uploads under way in a bucket here as they are at the standalone, with their IDs, so that clients
// may go on with them. Those that have ended there are aborted.
func (m *migration) uploads(ctx context.Context, b meta.Bucket, d *differences) error {
	there, err := m.allUploads(ctx, m.source, b)
	if errors.Is(err, errors.NotFound) {
		return nil // the bucket was deleted meanwhile
	}
	if err != nil {
		return err
	}
	here, err := m.allUploads(ctx, m.Store, b)
	if err != nil {
		return err
	}
	for id, u := range here {
		if _, found := there[id]; found {
			continue
		}
		err := m.retrySure(ctx, func(ctx context.Context) error { return m.Store.AbortUpload(ctx, u.UploadRef) })
		if err != nil && !errors.Is(err, errors.NotFound) {
			return errors.Annotate(err, "aborting an upload of %q", u.Key)
		}
		d.found(&d.uploads, b, u.Key)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(objectsAtOnce)
	for id, u := range there {
		_, found := here[id]
		g.Go(func() error { return m.copyUpload(ctx, b, u, found, d) })
	}
	return g.Wait()
}

// copyUpload copies an upload that was found here or not.
func (m *migration) copyUpload(ctx context.Context, b meta.Bucket, u meta.Upload, found bool, d *differences) error {
	if !found {
		err := m.retrySure(ctx, func(ctx context.Context) error { return m.Store.BeginUpload(ctx, u) })
		if err != nil && !errors.Is(err, errors.AlreadyExists) { // an earlier try has begun it
			return errors.Annotate(err, "beginning an upload of %q", u.Key)
		}
		d.found(&d.uploads, b, u.Key)
	}
	err := m.retrySteps(ctx, func() error { return m.parts(ctx, b, u, d) })
	if err == errChanged || errors.IsEntity(err, errors.NotFound, errors.Upload) {
		d.found(&d.uploads, b, u.Key)
		return nil // the next pass sees what it is now
	}
	return errors.Annotate(err, "copying an upload of %q", u.Key)
}

// parts copies the parts that an upload lacks here, or has from an earlier try.
func (m *migration) parts(ctx context.Context, b meta.Bucket, u meta.Upload, d *differences) error {
	there, err := allParts(ctx, m.source, u.UploadRef)
	if err != nil {
		return err
	}
	here, err := allParts(ctx, m.Store, u.UploadRef)
	if err != nil {
		return err
	}
	for number, p := range there {
		if t, found := here[number]; found && t.Size == p.Size && t.ETag == p.ETag && t.Checksum == p.Checksum {
			continue
		}
		if _, err := m.part(ctx, u.UploadRef, p, p.Attempt); err != nil {
			if damages(err) {
				m.foundDamaged(name(b, u.Key), err)
				continue
			}
			return err
		}
		d.found(&d.uploads, b, u.Key)
	}
	return nil
}

func (m *migration) allUploads(ctx context.Context, s meta.Uploads, b meta.Bucket) (map[uuid.UUID]meta.Upload, error) {
	all := make(map[uuid.UUID]meta.Upload)
	for r := (meta.ListUploads{Bucket: b.ID, Limit: pageSize}); ; {
		var page meta.UploadPage
		err := m.retry(ctx, func(ctx context.Context) (err error) { page, err = s.ListUploads(ctx, r); return err })
		if err != nil {
			return nil, err
		}
		for _, listed := range page.Uploads {
			// A listing need not have everything.
			var u meta.Upload
			err := m.retry(ctx, func(ctx context.Context) (err error) { u, err = s.Upload(ctx, listed.UploadRef); return err })
			if errors.IsEntity(err, errors.NotFound, errors.Upload) || err == nil && u.State != meta.Open {
				continue
			}
			if err != nil {
				return nil, err
			}
			all[u.ID] = u
		}
		if !page.More {
			return all, nil
		}
		r.After, r.AfterID = page.Next, page.NextID
	}
}

func allParts(ctx context.Context, s meta.Uploads, ref meta.UploadRef) (map[int]meta.Part, error) {
	all := make(map[int]meta.Part)
	for after := 0; ; {
		var page meta.PartPage
		err := once(ctx, func(ctx context.Context) (err error) { page, err = s.ListParts(ctx, ref, after, listPage); return err })
		if err != nil {
			return nil, err
		}
		for _, p := range page.Parts {
			all[p.Number], after = p, p.Number
		}
		if !page.More {
			return all, nil
		}
	}
}
