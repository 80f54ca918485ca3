package api

import "net/http"

// deleteBucket is DeleteBucket.
func (a *API) deleteBucket(w *Response, r *Request) error {
	ctx, cancel := a.step(r)
	defer cancel()
	err := a.Meta.DeleteBucket(ctx, r.Bucket.ID)
	a.buckets.drop(r.Name)
	if err != nil {
		return err
	}
	return w.empty(http.StatusNoContent)
}
