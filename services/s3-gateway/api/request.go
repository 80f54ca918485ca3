package api

import (
	"net/http"
	"time"

	"go.opentelemetry.io/otel/trace"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/s3-gateway/sigv4"
	"deuxfleurs.fr/garage/services/s3-gateway/xmlapi"
)

// Request is a request on its way through the gateway.
type Request struct {
	*http.Request
	ID     string // request ID
	Name   string // of the bucket addressed; empty: the service
	Key    string // of the object addressed; empty: the bucket
	Path   string // raw, as received
	Query  Query
	Auth   sigv4.Result[identity.Identity]
	Bucket meta.Bucket // if the operation needs rights on it
	Begun  time.Time

	op       *operation
	w        *Response
	span     trace.Span // does nothing where the request is not traced
	code     string     // S3's code of the error that was answered
	bodyDone bool       // the body was read to its end
	xmlRoom  int64      // bytes of API.xml that the request has
}

// cut is what Cut panics with.
type cut struct{ err error }

// Cut ends a request whose answer has begun and cannot be finished: the connection
// is cut, so that the client does not take the answer for whole.
func (r *Request) Cut(err error) { panic(cut{err}) }

// Response is the answer to a request. Header names with S3's own capitals are set directly.
type Response struct {
	http.ResponseWriter
	status int
	sent   int64
	head   bool // the request is a HEAD
}

// WriteHeader begins the answer.
func (w *Response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write sends bytes of the body.
func (w *Response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.sent += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *Response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// set sets a header with the name exactly as given.
func (w *Response) set(name, value string) { w.Header()[name] = []string{value} }

// reset forgets the headers that an operation set.
func (w *Response) reset() {
	for name := range w.Header() {
		switch name {
		case "X-Amz-Request-Id", "X-Amz-Id-2", "Server":
		default:
			delete(w.Header(), name)
		}
	}
}

// xml sends a document and frees it. An error means that the client is gone.
func (w *Response) xml(status int, doc *xmlapi.Writer) error {
	defer doc.Free()
	return w.send(status, "application/xml", doc.Bytes())
}

func (w *Response) send(status int, contentType string, p []byte) error {
	w.set("Content-Type", contentType)
	w.set("Content-Length", itoa(int64(len(p))))
	w.WriteHeader(status)
	if w.head {
		return nil
	}
	_, err := w.Write(p)
	return errors.Wrap(errors.Canceled, err, "sending the answer")
}

// empty sends an answer without a body.
func (w *Response) empty(status int) error {
	if status != http.StatusNoContent && status != http.StatusNotModified {
		w.set("Content-Length", "0")
	}
	w.WriteHeader(status)
	return nil
}
