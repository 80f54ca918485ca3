package api

import "net/http"

// abortMultipartUpload is AbortMultipartUpload.
func (a *API) abortMultipartUpload(w *Response, r *Request) error {
	u, err := a.openUpload(r)
	if err != nil {
		return err
	}
	ctx, cancel := a.step(r)
	defer cancel()
	if err := a.Meta.AbortUpload(ctx, u.UploadRef); err != nil {
		return withUploadID(err, r)
	}
	return w.empty(http.StatusNoContent)
}
