package api

import (
	"net/http"

	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/s3-gateway/checksum"
	"deuxfleurs.fr/garage/services/s3-gateway/postform"
	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
	"deuxfleurs.fr/garage/services/s3-gateway/xmlapi"
)

// formFile is the file of a form as a body to store: of unknown length, without a trailer.
type formFile struct{ *postform.File }

// Len implements awschunked.Body.
func (formFile) Len() int64 { return -1 }

// Trailer implements awschunked.Body.
func (formFile) Trailer(string) string { return "" }

// postObject is PostObject, the upload by a browser's form.
func (a *API) postObject(w *Response, r *Request) error {
	g := a.guardBody(r)
	form, err := postform.Parse(r.Request)
	if err != nil {
		return err
	}
	if err := a.authoriseForm(r, form); err != nil {
		return err
	}
	r.Key = form.Key
	if err := checkKey(form.Key); err != nil {
		return err
	}
	h := form.Header()
	if err := refuse(&Request{Request: &http.Request{Header: h}}); err != nil {
		return err
	}
	for _, said := range []http.Header{r.Header, h} {
		if err := unconditional(said); err != nil {
			return err
		}
		if err := expectOwner(said, r.Bucket); err != nil {
			return err
		}
	}
	attrs, err := attributes(h)
	if err != nil {
		return err
	}
	asked, err := checksum.FromHeaders(h)
	if err != nil {
		return err
	}
	alg := asked.Algorithm
	if alg == checksum.None {
		alg = checksum.CRC64NVME
	}
	form.File.Cap(maxSinglePut)
	put := meta.Put{Bucket: r.Bucket.ID, Key: form.Key, Attributes: attrs}
	target, err := a.target(r, put, alg)
	if err != nil {
		return err
	}
	s, err := a.store(r, target, &payload{Body: formFile{form.File}, asked: asked, guard: g}, alg)
	if err != nil {
		return err
	}
	if _, err := a.commit(r, put, s); err != nil {
		return err
	}
	return a.formAnswer(w, r, form, s)
}

// authoriseForm checks the form's policy and signature, and the rights of who signed it. A form without is anonymous.
func (a *API) authoriseForm(r *Request, form *postform.Form) error {
	if !form.Signed() {
		return s3err.AccessDenied
	}
	auth, err := form.Auth()
	if err != nil {
		return err
	}
	if r.Auth, err = a.verifier.VerifyPolicy(r.Context(), auth); err != nil {
		return err
	}
	policy, err := form.Policy()
	if err != nil {
		return err
	}
	if err := policy.Check(form, r.Name, a.Clock.Now()); err != nil {
		return err
	}
	r.Bucket, err = a.bucket(r, r.Name, need{rights: identity.Write})
	return err
}

func (a *API) formAnswer(w *Response, r *Request, form *postform.Form, s *stored) error {
	success := form.Success(r.Name, s.ETag)
	w.set("ETag", quote(s.ETag))
	w.checksum(s.Checksum)
	switch success.Status {
	case http.StatusSeeOther:
		w.set("Location", success.Location)
	case http.StatusCreated:
		url := a.location(r, form.Key)
		w.set("Location", url)
		doc := xmlapi.NewPlain()
		doc.Open("PostResponse")
		doc.Text("Location", url)
		doc.Text("Bucket", r.Name)
		doc.Text("Key", form.Key)
		doc.ETag(s.ETag)
		doc.Close("PostResponse")
		return w.xml(http.StatusCreated, doc)
	default:
		w.set("Location", a.location(r, form.Key))
	}
	return w.empty(success.Status)
}

// location is the URL of an object, in the style in which the request addressed its bucket.
func (a *API) location(r *Request, key string) string {
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	path := "/" + urlEncode(key)
	if a.hostBucket(r.Host) == "" {
		path = "/" + r.Name + path
	}
	return scheme + r.Host + path
}
