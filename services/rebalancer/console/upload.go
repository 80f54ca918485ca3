package console

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"deuxfleurs.fr/garage/pkg/errors"
)

const (
	// maxParts is how many parts S3 takes.
	maxParts = 10000
	// maxCompletion bounds the list of them that a page sends.
	maxCompletion = 1 << 20
)

// aboutUpload reads which upload of which object the address speaks of. An upload in parts is begun, has its parts sent, and is completed or
// aborted: these are the operations of S3 for it, which keeps account of the parts.
func aboutUpload(r *http.Request) (q url.Values, s s3Request, err error) {
	q, s = about(r)
	s.query = url.Values{"uploadId": {q.Get("upload")}}
	if s.object == "" || q.Get("upload") == "" {
		err = errors.Newf(errors.Invalid, "say which object, and which upload")
	}
	return q, s, err
}

// setBody sends the body of the browser's request on to S3.
func (s *s3Request) setBody(r *http.Request) error {
	if r.ContentLength < 0 {
		return errors.Newf(errors.Invalid, "say how long it is")
	}
	s.body, s.length = r.Body, r.ContentLength
	return nil
}

// setContentType takes over of which type the object is.
func (s *s3Request) setContentType(r *http.Request) {
	if kind := r.Header.Get("Content-Type"); kind != "" {
		s.header.Set("Content-Type", kind)
	}
}

// upload stores the body of the request as an object.
func (c *Console) upload(w http.ResponseWriter, r *http.Request, s *session) {
	_, ask := about(r)
	if ask.object == "" {
		fail(w, errors.Newf(errors.Invalid, "say which object"))
		return
	}
	if err := ask.setBody(r); err != nil {
		fail(w, err)
		return
	}
	ask.setContentType(r)
	ask.query = url.Values{}
	reply, err := c.ask(r.Context(), ask)
	c.action(r, s, "PutObject", ask, err)
	c.changed(w, reply, err)
}

// beginUpload begins an upload in parts.
func (c *Console) beginUpload(w http.ResponseWriter, r *http.Request, s *session) {
	_, ask := about(r)
	if ask.object == "" {
		fail(w, errors.Newf(errors.Invalid, "say which object"))
		return
	}
	ask.setContentType(r)
	ask.query = url.Values{"uploads": {""}}
	var begun struct {
		UploadID string `xml:"UploadId"`
	}
	err := c.askDocument(r.Context(), ask, &begun)
	if err == nil && begun.UploadID == "" {
		err = errors.Newf(errors.Unavailable, "S3 does not say which upload it has begun")
	}
	ask.query = url.Values{"uploadId": {begun.UploadID}}
	c.action(r, s, "CreateMultipartUpload", ask, err)
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, map[string]string{"upload": begun.UploadID})
}

// uploadPart stores the body of the request as a part. It is not noted: nobody sees a part before the upload is completed.
func (c *Console) uploadPart(w http.ResponseWriter, r *http.Request, _ *session) {
	q, ask, err := aboutUpload(r)
	if err == nil {
		err = ask.setBody(r)
	}
	if number, wrong := strconv.Atoi(q.Get("number")); err == nil && (wrong != nil || number < 1 || number > maxParts) {
		err = errors.Newf(errors.Invalid, "say which part, from 1 to %d", maxParts)
	}
	if err != nil {
		fail(w, err)
		return
	}
	ask.query.Set("partNumber", q.Get("number"))
	reply, err := c.ask(r.Context(), ask)
	c.changed(w, reply, err)
}

// completion is the list of all parts, as S3 wants it.
type completion struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CompleteMultipartUpload"`
	Parts   []part   `xml:"Part"`
}

type part struct {
	PartNumber int
	ETag       string
}

// completeUpload makes the object of its parts, whose ETags the body lists in their order.
func (c *Console) completeUpload(w http.ResponseWriter, r *http.Request, s *session) {
	_, ask, err := aboutUpload(r)
	if err == nil {
		err = ask.setParts(http.MaxBytesReader(w, r.Body, maxCompletion))
	}
	if err != nil {
		fail(w, err)
		return
	}
	var made struct{ ETag string }
	err = c.askDocument(r.Context(), ask, &made)
	c.action(r, s, "CompleteMultipartUpload", ask, err)
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, map[string]string{"etag": made.ETag})
}

// setParts makes the body of the list of parts that a page sends, as S3 wants it.
func (s *s3Request) setParts(body io.Reader) error {
	var said struct {
		ETags []string `json:"etags"`
	}
	if err := json.NewDecoder(body).Decode(&said); err != nil {
		return errors.Wrap(errors.Invalid, err, "the list of parts cannot be read")
	}
	var list completion
	for i, etag := range said.ETags {
		list.Parts = append(list.Parts, part{i + 1, etag})
	}
	content, err := xml.Marshal(list)
	if err != nil {
		return errors.Wrap(errors.Invalid, err, "the list of parts")
	}
	s.body, s.length = bytes.NewReader(content), int64(len(content))
	return nil
}

// abortUpload removes the parts of an upload.
func (c *Console) abortUpload(w http.ResponseWriter, r *http.Request, s *session) {
	_, ask, err := aboutUpload(r)
	if err != nil {
		fail(w, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), c.callTimeout)
	defer cancel()
	reply, err := c.ask(ctx, ask)
	c.action(r, s, "AbortMultipartUpload", ask, err)
	c.changed(w, reply, err)
}
