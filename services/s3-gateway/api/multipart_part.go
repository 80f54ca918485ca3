package api

import (
	"net/http"
	"strings"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/s3-gateway/checksum"
	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

// uploadPart is UploadPart.
func (a *API) uploadPart(w *Response, r *Request) error {
	number, err := partNumber(r)
	if err != nil {
		return err
	}
	if err := unconditional(r.Header); err != nil {
		return err
	}
	p, err := a.payload(r)
	if err != nil {
		return err
	}
	u, err := a.openUpload(r)
	if err != nil {
		return err
	}
	alg, err := partAlgorithm(u, p.asked.Algorithm)
	if err != nil {
		return err
	}
	target, err := a.Bodies.Part(u.UploadRef, number)
	if err != nil {
		return err
	}
	s, err := a.store(r, target, p, alg)
	if err != nil {
		return withUploadID(err, r)
	}
	if _, err := a.finishPart(r, u.UploadRef, number, s); err != nil {
		return err
	}
	w.set("ETag", quote(s.ETag))
	if p.asked.Trailer {
		w.set(p.asked.Algorithm.Header(), p.Trailer(p.asked.Algorithm.Header()))
	} else if p.asked.Algorithm != checksum.None {
		w.set(p.asked.Algorithm.Header(), p.asked.Value)
	}
	return w.empty(http.StatusOK)
}

// partAlgorithm is the checksum to keep of a part. If the upload was begun with one, every part must come with it, as
// S3 has it.
func partAlgorithm(u meta.Upload, asked checksum.Algorithm) (checksum.Algorithm, error) {
	if u.Checksum.Algorithm == "" {
		return checksum.CRC64NVME, nil
	}
	want, ok := checksum.Parse(u.Checksum.Algorithm)
	if !ok {
		return want, errors.E(errors.Corrupted, errors.Upload, u.ID.String(), "it has the unknown checksum %q", u.Checksum.Algorithm)
	}
	if asked != want {
		actual := strings.ToLower(asked.String())
		if asked == checksum.None {
			actual = "null"
		}
		return want, s3err.InvalidRequest.Msg("Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum Type: %s", strings.ToLower(want.String()), actual)
	}
	return want, nil
}

// finishPart makes a stored body the part of its number.
func (a *API) finishPart(r *Request, ref meta.UploadRef, number int, s *stored) (meta.Part, error) {
	part := meta.Part{Number: number, Attempt: s.ID, Size: s.Size, ETag: s.ETag, Checksum: s.Checksum, First: s.First}
	ctx, cancel := a.step(r)
	defer cancel()
	var err error
	if part.Attempt == uuid.Nil { // an empty part: nothing was begun for it
		if part.Attempt, err = clock.NewUUID(a.Random); err == nil {
			err = a.Meta.BeginPart(ctx, ref, number, part.Attempt)
		}
	}
	if err == nil {
		part, err = a.Meta.FinishPart(ctx, ref, part, s.Rows)
	}
	if err != nil {
		s.Discard(r.Context())
	}
	return part, withUploadID(err, r)
}
