package api

import (
	"net/http"
	"strings"

	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/s3-gateway/body"
	"deuxfleurs.fr/garage/services/s3-gateway/checksum"
	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
	"deuxfleurs.fr/garage/services/s3-gateway/xmlapi"
)

// uploadPartCopy is UploadPartCopy: a part made of an object or of a range of it. The ETag of a part is the MD5 of its
// bytes, so the source is read, unless it is copied whole and its MD5 and checksum are known.
func (a *API) uploadPartCopy(w *Response, r *Request) error {
	number, err := partNumber(r)
	if err != nil {
		return err
	}
	if err := unconditional(r.Header); err != nil {
		return err
	}
	bucketName, key, err := parseCopySource(r.Header.Get(copySource))
	if err != nil {
		return err
	}
	u, err := a.openUpload(r)
	if err != nil {
		return err
	}
	src, err := a.copySource(r, bucketName, key)
	if err != nil {
		return err
	}
	rng, err := copyRange(r.Header.Get("X-Amz-Copy-Source-Range"), src.Size)
	if err != nil {
		return err
	}
	if size := rng.to - rng.from; size > maxSinglePut {
		return s3err.InvalidRequest.Msg("The specified copy source is larger than the maximum allowable size for a copy source: %d", int64(maxSinglePut))
	}
	alg := checksum.CRC64NVME
	if u.Checksum.Algorithm != "" {
		alg, _ = checksum.Parse(u.Checksum.Algorithm) // of the upload: it was checked when it was begun
	}
	target, err := a.Bodies.Part(u.UploadRef, number)
	if err != nil {
		return err
	}
	s, err := a.copyPart(r, target, &src, rng, alg)
	if err != nil {
		return withUploadID(err, r)
	}
	part, err := a.finishPart(r, u.UploadRef, number, s)
	if err != nil {
		return err
	}
	doc := xmlapi.New("CopyPartResult")
	doc.Time("LastModified", part.Modified)
	doc.ETag(part.ETag)
	if u.Checksum.Algorithm != "" {
		doc.Text("Checksum"+part.Checksum.Algorithm, part.Checksum.Value)
	}
	doc.Close("CopyPartResult")
	return w.xml(http.StatusOK, doc)
}

func (a *API) copyPart(r *Request, target body.Target, src *meta.Object, rng byteRange, alg checksum.Algorithm) (*stored, error) {
	whole := rng.from == 0 && rng.to == src.Size
	known := src.Checksum.Algorithm == alg.String() && src.Checksum.Type == fullObject
	if whole && known && !src.Multipart {
		attempt, err := a.Bodies.Copy(r.Context(), target, src, rng.from, rng.to, nil)
		return &stored{Attempt: attempt, ETag: src.ETag, Checksum: src.Checksum}, err
	}
	stages := a.Hashers.Stages(rng.to-rng.from, alg)
	defer stages.Close()
	attempt, err := a.Bodies.Copy(r.Context(), target, src, rng.from, rng.to, stages)
	if err != nil {
		return nil, err
	}
	sums := stages.Sums()
	return &stored{
		Attempt: attempt, ETag: sums.ETag(),
		Checksum: meta.Checksum{Algorithm: alg.String(), Type: fullObject, Value: sums.Value(alg)},
	}, nil
}

// copyRange reads x-amz-copy-source-range, which names a first and a last byte of the object, both there.
func copyRange(v string, size int64) (byteRange, error) {
	const name = "x-amz-copy-source-range"
	if v == "" {
		return byteRange{0, size}, nil
	}
	var b byteRange
	first, last, _ := strings.Cut(strings.TrimPrefix(v, "bytes="), "-")
	from, ok1 := digits(first)
	to, ok2 := digits(last)
	switch {
	case !strings.HasPrefix(v, "bytes=") || !ok1 || !ok2 || from > to:
		return b, argument(name, v, "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy")
	case from >= size:
		return b, s3err.InvalidRequest.Msg("The specified copy range is invalid for the source object size: %d", size)
	case to >= size:
		return b, argument(name, v, "Range specified is not valid for source object of size: %d", size)
	}
	return byteRange{from, to + 1}, nil
}
