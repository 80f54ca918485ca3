package api

import (
	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/meta"
)

// headObject is HeadObject.
func (a *API) headObject(w *Response, r *Request) error {
	_, sel, err := a.describe(w, r)
	if err != nil {
		return err
	}
	w.WriteHeader(sel.status())
	return nil
}

// object finds the newest version of a key.
func (a *API) object(r *Request, bucket uuid.UUID, key string) (meta.Object, error) {
	ctx, cancel := a.step(r)
	defer cancel()
	return a.Meta.Object(ctx, bucket, key)
}
