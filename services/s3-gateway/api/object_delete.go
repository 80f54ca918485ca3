package api

import (
	"net/http"

	"deuxfleurs.fr/garage/pkg/meta"
)

// deleteObject is DeleteObject. Deleting what is not there succeeds.
func (a *API) deleteObject(w *Response, r *Request) error {
	if err := checkVersionID(r); err != nil {
		return err
	}
	if r.Header["If-None-Match"] != nil {
		return notImplementedHeader("If-None-Match")
	}
	if err := refuseDates(r.Header); err != nil {
		return err
	}
	ctx, cancel := a.step(r)
	defer cancel()
	results, err := a.Meta.DeleteObjects(ctx, r.Bucket.ID, []meta.Delete{
		{Key: r.Key, Condition: meta.Condition{IfMatch: etags(r.Header["If-Match"])}},
	})
	if err != nil {
		return err
	}
	if results[0].Err != nil {
		return results[0].Err
	}
	return w.empty(http.StatusNoContent)
}
