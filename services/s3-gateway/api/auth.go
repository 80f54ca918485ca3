package api

import (
	"context"
	"fmt"
	"net/http"

	"deuxfleurs.fr/garage/pkg/access"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
	"deuxfleurs.fr/garage/services/s3-gateway/sigv4"
)

// lookup finds the secret of an access key for the verifier.
func (a *API) lookup(ctx context.Context, accessKey string) (string, identity.Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, a.StepTimeout)
	defer cancel()
	id, err := a.Identities.Find(ctx, accessKey)
	if errors.Is(err, errors.NotFound) {
		return "", id, fmt.Errorf("%w: %w", sigv4.ErrUnknownKey, err)
	}
	return id.Secret, id, err
}

// authenticate checks the signature.
func (a *API) authenticate(r *Request) error {
	if r.op.need.form {
		return nil
	}
	var err error
	r.Auth, err = a.verifier.Verify(r.Context(), r.Request, a.Clock.Now())
	return err
}

// authorise checks the rights that the operation needs: nothing is allowed that no right allows.
func (a *API) authorise(r *Request) error {
	n := r.op.need
	switch {
	case n.form:
		return nil
	case r.Auth.Anonymous:
		return s3err.AccessDenied
	case n.rights == 0:
		return nil
	}
	var err error
	r.Bucket, err = a.bucket(r, r.Name, n)
	if err != nil {
		return err
	}
	return expectOwner(r.Header, r.Bucket)
}

// expectOwner refuses a bucket that is not whose the request takes it for.
func expectOwner(h http.Header, b meta.Bucket) error {
	for _, want := range h["X-Amz-Expected-Bucket-Owner"] {
		if want != "" && want != b.Owner {
			return s3err.AccessDenied
		}
	}
	return nil
}

// bucket finds a bucket on which who signed has the rights needed.
func (a *API) bucket(r *Request, name string, n need) (meta.Bucket, error) {
	who := &r.Auth.Identity
	if b, ok := a.buckets.get(name); ok && allowed(access.Rights(who, b), n) {
		return b, nil
	}
	// A refusal is never answered from the cache.
	asked := a.Clock.Now() // the answer is not younger
	ctx, cancel := a.step(r)
	defer cancel()
	b, err := a.Meta.Bucket(ctx, name)
	if err != nil {
		a.buckets.drop(name)
		return meta.Bucket{}, err
	}
	a.buckets.put(name, b, asked)
	if !allowed(access.Rights(who, b), n) {
		return meta.Bucket{}, s3err.AccessDenied
	}
	return b, nil
}

// allowed asks the one place that decides.
func allowed(have identity.Rights, n need) bool {
	return access.Need{Rights: n.rights, Any: n.any}.Allows(have)
}
