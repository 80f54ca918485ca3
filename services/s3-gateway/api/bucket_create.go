package api

import (
	"net/http"

	"deuxfleurs.fr/garage/pkg/access"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
	"deuxfleurs.fr/garage/services/s3-gateway/xmlapi"
)

// maxLocation is the size of the largest body of CreateBucket in bytes.
const maxLocation = 64 << 10

// createBucket is CreateBucket: who makes a bucket has every right on it.
func (a *API) createBucket(w *Response, r *Request) error {
	if err := meta.CheckBucketName(r.Name); err != nil {
		return s3err.InvalidBucketName.Because(err)
	}
	who := &r.Auth.Identity
	if !who.CreateBuckets {
		// Who owns the bucket already is told so.
		if err := a.taken(r); err != nil && !errors.IsTarget(err, s3err.BucketAlreadyExists) {
			return err
		}
		return s3err.AccessDenied.Msg("This access key may not create buckets.")
	}
	if err := a.checkLocation(r); err != nil {
		return err
	}
	id, err := clock.NewUUID(a.Random)
	if err != nil {
		return errors.Wrap(errors.Internal, err, "drawing a bucket's ID")
	}
	ctx, cancel := a.step(r)
	defer cancel()
	err = a.Meta.CreateBucket(ctx, meta.Bucket{
		ID: id, Name: r.Name, Created: a.Clock.Now().UTC(), Owner: who.ID(),
		Grants: []meta.Grant{{Grantee: who.ID(), Rights: identity.All}},
	})
	if errors.Is(err, errors.AlreadyExists) {
		if err := a.taken(r); err != nil {
			return err
		}
		return s3err.OperationAborted // it was deleted in the meantime
	}
	if err != nil {
		return err
	}
	w.set("Location", "/"+r.Name)
	return w.empty(http.StatusOK)
}

// taken answers whose a bucket is, or nil if it is not there.
func (a *API) taken(r *Request) error {
	ctx, cancel := a.step(r)
	defer cancel()
	b, err := a.Meta.Bucket(ctx, r.Name)
	switch {
	case errors.IsEntity(err, errors.NotFound, errors.Bucket):
		return nil
	case err != nil:
		return err
	case b.Owner == r.Auth.Identity.ID() || access.Rights(&r.Auth.Identity, b).Has(identity.Owner):
		return s3err.BucketAlreadyOwnedByYou
	}
	return s3err.BucketAlreadyExists
}

// checkLocation reads the body, which may ask for a region.
func (a *API) checkLocation(r *Request) error {
	p, _, err := a.readBody(r, maxLocation)
	if err != nil || len(p) == 0 {
		return err
	}
	var c xmlapi.CreateBucketConfiguration
	if err := a.decodeXML(r.Context(), p, "CreateBucketConfiguration", &c); err != nil {
		return err
	}
	if c.Location != nil || c.Bucket != nil || c.Tags != nil {
		return s3err.NotImplemented.Msg("Directory buckets and tags are not implemented.")
	}
	switch c.LocationConstraint {
	case "", a.Region:
		return nil
	}
	return s3err.IllegalLocationConstraintException.Msg("The %s location constraint is incompatible for the region specific endpoint this request was sent to.", c.LocationConstraint)
}
