package api

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"unicode/utf8"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
	"deuxfleurs.fr/garage/services/s3-gateway/xmlapi"
)

// translate is the one place where Garage's errors become S3's.
func translate(err error) *s3err.Error {
	if e, ok := s3err.From(err); ok {
		return e
	}
	switch {
	case errors.IsTarget(err, os.ErrDeadlineExceeded):
		return s3err.RequestTimeout.Because(err)
	case errors.IsTarget(err, io.ErrUnexpectedEOF):
		return s3err.IncompleteBody.Because(err)
	}
	return codeOf(errors.KindOf(err), errors.EntityOf(err)).Because(err)
}

func codeOf(kind errors.Kind, entity errors.Entity) s3err.Code {
	switch kind {
	case errors.NotFound:
		return notFoundCode(entity)
	case errors.Invalid:
		return s3err.InvalidRequest
	case errors.AlreadyExists:
		if entity == errors.Bucket {
			return s3err.BucketAlreadyExists
		}
		return s3err.OperationAborted
	case errors.NotEmpty:
		return s3err.BucketNotEmpty
	case errors.PreconditionFailed:
		return s3err.PreconditionFailed
	case errors.Conflict:
		return s3err.ConditionalRequestConflict
	case errors.PermissionDenied:
		return s3err.AccessDenied
	case errors.Unauthenticated:
		return s3err.InvalidAccessKeyId
	case errors.Unavailable, errors.Deadline, errors.Full:
		return s3err.ServiceUnavailable
	case errors.Overloaded:
		return s3err.SlowDown
	case errors.Canceled:
		return s3err.RequestTimeout
	case errors.NotImplemented:
		return s3err.NotImplemented
	}
	return s3err.InternalError // also Corrupted and Gone: the client can do nothing about them
}

func notFoundCode(entity errors.Entity) s3err.Code {
	switch entity {
	case errors.Bucket:
		return s3err.NoSuchBucket
	case errors.Object:
		return s3err.NoSuchKey
	case errors.Version:
		return s3err.NoSuchVersion
	case errors.Upload:
		return s3err.NoSuchUpload
	case errors.Part:
		return s3err.InvalidPart
	case errors.AccessKey:
		return s3err.InvalidAccessKeyId
	}
	return s3err.InternalError // a chunk, for example: what is not found is not what was asked for
}

// answer sends an error in place of an answer.
func (a *API) answer(w *Response, r *Request, err error) {
	if w.status != 0 {
		r.Cut(err)
	}
	e := translate(err)
	if e.Code == s3err.NoSuchUpload && !r.Query.Has("uploadId") {
		// The write itself was given up, as one that has had no progress for a day: a clock was set.
		e = s3err.ServiceUnavailable.Because(err)
	}
	status := e.Status()
	r.code = string(e.Code)
	level := slog.LevelDebug
	if status >= 500 && e.Code != s3err.NotImplemented && e.Code != s3err.SlowDown {
		level = max(slog.LevelWarn, levelOf(err))
	}
	a.Log.LogAttrs(r.Context(), level, "request refused or failed", slog.String("operation", r.op.name), slog.String("method", r.Method),
		slog.String("path", r.Path), slog.String("code", string(e.Code)), slog.Any("error", err))

	h := w.Header()
	for _, name := range answerOnly {
		delete(h, name)
	}
	switch e.Code {
	case s3err.NotModified:
		_ = w.empty(http.StatusNotModified)
		return
	case s3err.SlowDown, s3err.ServiceUnavailable:
		w.set("Retry-After", "1")
	case s3err.MethodNotAllowed:
		w.set("Allow", allow(addressed(r)))
	}
	if w.head {
		w.set("Content-Type", "application/xml")
		w.WriteHeader(status)
		return
	}
	doc := xmlapi.NewPlain()
	writeError(doc, e, r, a.hostID)
	_ = w.xml(status, doc) // the client is gone: nobody to tell
}

// answerOnly are headers that belong to a success and may be set before an error is known.
var answerOnly = []string{"Content-Range", "Content-Length", "Content-Encoding", "Accept-Ranges"}

func writeError(doc *xmlapi.Writer, e *s3err.Error, r *Request, hostID string) {
	doc.Open("Error")
	doc.Text("Code", string(e.Code))
	doc.Text("Message", printable(e.Message))
	switch {
	case e.Code == s3err.NoSuchBucket || e.Code == s3err.BucketAlreadyExists || e.Code == s3err.BucketAlreadyOwnedByYou || e.Code == s3err.BucketNotEmpty || e.Code == s3err.InvalidBucketName:
		doc.Optional("BucketName", printable(r.Name))
	case e.Code == s3err.NoSuchKey:
		doc.Text("Key", printable(r.Key))
	}
	for _, f := range e.Fields {
		doc.Text(f.Name, printable(f.Value))
	}
	resource := e.Resource
	if resource == "" {
		resource = r.Path
	}
	doc.Text("Resource", printable(resource))
	doc.Text("RequestId", r.ID)
	doc.Text("HostId", hostID)
	doc.Close("Error")
}

// printable puts U+FFFD in place of characters that XML 1.0 does not have, not even as
// references: that an error can be read says more than what was in its key.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' {
			return utf8.RuneError
		}
		return c
	}, s)
}
