package api

import (
	"net/http"

	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/s3-gateway/body"
	"deuxfleurs.fr/garage/services/s3-gateway/checksum"
)

// putObject is PutObject.
func (a *API) putObject(w *Response, r *Request) error {
	if err := checkVersionID(r); err != nil {
		return err
	}
	if r.Header["Content-Range"] != nil { // a piece must not replace the whole
		return notImplementedHeader("Content-Range")
	}
	attrs, err := attributes(r.Header)
	if err != nil {
		return err
	}
	cond, err := writeCondition(r.Header)
	if err != nil {
		return err
	}
	p, err := a.payload(r)
	if err != nil {
		return err
	}
	if err := a.early(r, cond); err != nil {
		return err
	}
	alg := p.asked.Algorithm
	if alg == checksum.None {
		alg = checksum.CRC64NVME
	}
	put := meta.Put{Bucket: r.Bucket.ID, Key: r.Key, Attributes: attrs, Condition: cond}
	target, err := a.target(r, put, alg)
	if err != nil {
		return err
	}
	s, err := a.store(r, target, p, alg)
	if err != nil {
		return err
	}
	if _, err := a.commit(r, put, s); err != nil {
		return err
	}
	w.set("ETag", quote(s.ETag))
	w.checksum(s.Checksum)
	return w.empty(http.StatusOK)
}

// target is where the body of an object goes.
func (a *API) target(r *Request, put meta.Put, alg checksum.Algorithm) (body.Target, error) {
	return a.Bodies.Single(meta.Upload{
		UploadRef: meta.UploadRef{Bucket: put.Bucket, Key: put.Key}, Initiator: r.Auth.Identity.ID(), Attributes: put.Attributes,
		Checksum: meta.Checksum{Algorithm: alg.String(), Type: fullObject},
	})
}

// commit makes a stored body an object.
func (a *API) commit(r *Request, put meta.Put, s *stored) (meta.Version, error) {
	put.Upload, put.Size, put.ETag, put.Checksum = s.ID, s.Size, s.ETag, s.Checksum
	put.Inline, put.First, put.Chunks = s.Inline, s.First, s.Rows
	ctx, cancel := a.step(r)
	defer cancel()
	v, err := a.Meta.PutObject(ctx, put)
	if err != nil {
		s.Discard(r.Context())
	}
	return v, err
}
