package api

import "net/http"

// headBucket is HeadBucket.
func (a *API) headBucket(w *Response, r *Request) error {
	w.set("x-amz-bucket-region", a.Region)
	w.set("x-amz-access-point-alias", "false")
	w.WriteHeader(http.StatusOK)
	return nil
}
