package api

import (
	"net/http"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/s3-gateway/checksum"
	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
	"deuxfleurs.fr/garage/services/s3-gateway/xmlapi"
)

// createMultipartUpload is CreateMultipartUpload.
func (a *API) createMultipartUpload(w *Response, r *Request) error {
	attrs, err := attributes(r.Header)
	if err != nil {
		return err
	}
	sum, err := uploadChecksum(r.Header)
	if err != nil {
		return err
	}
	// The condition that decides is that of the completion; one that fails already spares the client the parts.
	cond, err := writeCondition(r.Header)
	if err != nil {
		return err
	}
	if err := a.early(r, cond); err != nil {
		return err
	}
	id, err := meta.NewUploadID(a.Clock.Now(), a.Random)
	if err != nil {
		return err
	}
	ctx, cancel := a.step(r)
	defer cancel()
	err = a.Meta.BeginUpload(ctx, meta.Upload{
		UploadRef: meta.UploadRef{Bucket: r.Bucket.ID, Key: r.Key, ID: id}, Multipart: true,
		Initiator: r.Auth.Identity.ID(), Attributes: attrs, Checksum: sum,
	})
	if err != nil {
		return err
	}
	if sum.Algorithm != "" {
		w.set("x-amz-checksum-algorithm", sum.Algorithm)
		w.set("x-amz-checksum-type", sum.Type)
	}
	doc := xmlapi.New("InitiateMultipartUploadResult")
	doc.Text("Bucket", r.Name)
	doc.Text("Key", r.Key)
	doc.Text("UploadId", id.String())
	doc.Close("InitiateMultipartUploadResult")
	return w.xml(http.StatusOK, doc)
}

// uploadChecksum is the checksum that an upload is to have, or none if the client leaves it to us: then it is a
// CRC64NVME of the full object, and parts may be checked by any algorithm.
func uploadChecksum(h http.Header) (meta.Checksum, error) {
	name := h.Get("X-Amz-Checksum-Algorithm")
	alg := checksum.None
	if name != "" {
		var ok bool
		if alg, ok = checksum.Parse(name); !ok {
			return meta.Checksum{}, s3err.InvalidRequest.Msg("Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
		}
	}
	t, err := alg.TypeFor(h.Get("X-Amz-Checksum-Type"))
	if err != nil {
		return meta.Checksum{}, err
	}
	return meta.Checksum{Algorithm: alg.String(), Type: string(t)}, nil
}

// uploadRef names the upload that a request is about.
func uploadRef(r *Request) (meta.UploadRef, error) {
	v := r.Query.Get("uploadId")
	id, err := uuid.Parse(v)
	if err != nil || id.String() != v {
		return meta.UploadRef{}, s3err.NoSuchUpload.With("UploadId", v)
	}
	return meta.UploadRef{Bucket: r.Bucket.ID, Key: r.Key, ID: id}, nil
}

// upload finds the multipart upload that a request is about. It may be completed.
func (a *API) upload(r *Request) (meta.Upload, error) {
	ref, err := uploadRef(r)
	if err != nil {
		return meta.Upload{}, err
	}
	ctx, cancel := a.step(r)
	defer cancel()
	u, err := a.Meta.Upload(ctx, ref)
	if err == nil && !u.Multipart {
		err = errors.E(errors.NotFound, errors.Upload, ref.ID.String(), "it is no multipart upload")
	}
	return u, withUploadID(err, r)
}

// openUpload finds the upload that a request is about, which must take parts.
func (a *API) openUpload(r *Request) (meta.Upload, error) {
	u, err := a.upload(r)
	if err == nil && u.State != meta.Open {
		err = s3err.NoSuchUpload.With("UploadId", r.Query.Get("uploadId"))
	}
	return u, err
}

// withUploadID says which upload does not exist.
func withUploadID(err error, r *Request) error {
	if errors.IsEntity(err, errors.NotFound, errors.Upload) {
		return s3err.NoSuchUpload.With("UploadId", r.Query.Get("uploadId")).By(err)
	}
	return err
}

// partNumber is the number of the part that a request is about.
func partNumber(r *Request) (int, error) {
	v, ok := r.Query.Lookup("partNumber")
	n, err := r.Query.Int("partNumber", 0, 1, maxParts)
	if !ok || err != nil || n == 0 {
		return 0, argument("partNumber", v, "Part number must be an integer between 1 and %d, inclusive", maxParts)
	}
	return n, nil
}
