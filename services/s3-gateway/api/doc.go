// Package api is S3's HTTP API: what each operation reads from a request, does with the stores, and answers.
//
// Start reading at API.serve in serve.go, the way of every request:
//
//	chi router → request ID, metrics, recovery (serve.go) → address: bucket and key, byte for byte (address.go)
//	→ operation, from one table (routes.go) → refusal of what is not supported (unsupported.go)
//	→ signature and rights (auth.go) → the operation's own file → errors to S3's codes (errors.go)
//
// There is one file per resource and verb: object_get.go, bucket_create.go, … An operation is a method
//
//	func (a *API) getObject(w *Response, r *Request) error
//
// that is named in the table of routes.go with the rights it needs. When it runs, the request is authenticated and
// authorised; r.Bucket is the bucket if the operation needs rights on one. It returns an error before it has written anything, or calls
// r.Cut once bytes have left: then the connection is cut, because a short body must not look whole. Errors are of package s3err, or have
// kinds of pkg/errors, which errors.go translates; nothing else does.
//
// Helpers for operations: Request.Query and the header functions of headers.go; API.readXML for XML bodies (bounded,
// signature and digests checked); Request.Body for a body to store, API.store to store it (object_store.go); Response.xml for XML answers; API.step for calls
// of the stores; conditions.go for conditional requests.
//
// A known sub-resource or header of S3 that has no entry here is answered with NotImplemented.
package api
