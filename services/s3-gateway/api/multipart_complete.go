package api

import (
	"net/http"
	"strconv"
	"strings"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/s3-gateway/checksum"
	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
	"deuxfleurs.fr/garage/services/s3-gateway/xmlapi"
)

const (
	// minPart is the size of the smallest part in bytes, but for the last one.
	minPart = 5 << 20
	// maxObject is the size of the largest object in bytes.
	maxObject = 5 << 40
)

// completeMultipartUpload is CompleteMultipartUpload. Completing again what was completed with the same parts gives the
// same answer, as a client needs that did not get the first one.
func (a *API) completeMultipartUpload(w *Response, r *Request) error {
	cond, err := writeCondition(r.Header)
	if err != nil {
		return err
	}
	var req xmlapi.CompleteMultipartUpload
	if err := a.readCompletion(r, &req); err != nil {
		return err
	}
	u, err := a.upload(r)
	if err != nil {
		return err
	}
	c := meta.Complete{UploadRef: u.UploadRef, Condition: cond}
	if err := listed(&c, req.Parts, r); err != nil {
		return err
	}
	if c.ETag, err = etagOf(c.Parts, r); err != nil {
		return err
	}
	if u.State == meta.Open {
		err = a.complete(r, u, &c, req.Parts)
	}
	if u.State != meta.Open || errors.Is(err, errors.NotFound) && errors.EntityOf(err) == errors.Upload {
		err = a.completedBefore(r, &c)
	}
	if err != nil {
		return err
	}
	doc := xmlapi.New("CompleteMultipartUploadResult")
	doc.Text("Location", a.location(r, r.Key))
	doc.Text("Bucket", r.Name)
	doc.Text("Key", r.Key)
	doc.ETag(c.ETag)
	writeChecksum(doc, c.Checksum)
	doc.Close("CompleteMultipartUploadResult")
	return w.xml(http.StatusOK, doc)
}

// readCompletion reads the body. Its checksum headers are the object's, not the body's, so the body has only its
// signature and Content-MD5 to be checked against.
func (a *API) readCompletion(r *Request, req *xmlapi.CompleteMultipartUpload) error {
	own := http.Header{}
	for name, values := range r.Header {
		if !strings.HasPrefix(name, "X-Amz-Checksum-") && name != "X-Amz-Sdk-Checksum-Algorithm" {
			own[name] = values
		}
	}
	inner := *r
	inner.Request = r.WithContext(r.Context())
	inner.Request.Header = own
	defer func() { r.bodyDone, r.xmlRoom = inner.bodyDone, inner.xmlRoom }()
	_, err := a.readXML(&inner, "CompleteMultipartUpload", req)
	return err
}

// listed takes over the numbers and ETags that the client names.
func listed(c *meta.Complete, parts []xmlapi.CompletedPart, r *Request) error {
	if len(parts) == 0 {
		return s3err.InvalidRequest.Msg("You must specify at least one part")
	}
	if len(parts) > maxParts {
		return s3err.MalformedXML
	}
	c.Parts = make([]meta.Part, len(parts))
	for i, p := range parts {
		if p.PartNumber < 1 || p.PartNumber > maxParts {
			return argument("partNumber", strconv.Itoa(p.PartNumber), "PartNumber must be >= 1 and <= %d", maxParts)
		}
		if i > 0 && p.PartNumber <= parts[i-1].PartNumber {
			return s3err.InvalidPartOrder.With("UploadId", r.Query.Get("uploadId"))
		}
		c.Parts[i] = meta.Part{Number: p.PartNumber, ETag: strings.Trim(strings.TrimSpace(p.ETag), `"`)}
	}
	return nil
}

// etagOf is the ETag of the object. An ETag in the list that is none of ours belongs to no part.
func etagOf(parts []meta.Part, r *Request) (string, error) {
	tags := make([]string, len(parts))
	for i, p := range parts {
		tags[i] = p.ETag
		if _, err := checksum.ETag(tags[i : i+1]); err != nil {
			return "", invalidPart(p, r)
		}
	}
	return checksum.ETag(tags)
}

func invalidPart(p meta.Part, r *Request) error {
	return s3err.InvalidPart.With("UploadId", r.Query.Get("uploadId")).With("PartNumber", strconv.Itoa(p.Number)).With("ETag", p.ETag)
}

// complete checks the parts and makes the object of them.
func (a *API) complete(r *Request, u meta.Upload, c *meta.Complete, named []xmlapi.CompletedPart) error {
	stored, err := a.allParts(r, u.UploadRef)
	if err != nil {
		return err
	}
	var size int64
	for i := range c.Parts {
		p, ok := stored[c.Parts[i].Number]
		if !ok || p.ETag != c.Parts[i].ETag {
			return invalidPart(c.Parts[i], r)
		}
		if err := checkPartSum(u, p, &named[i], r); err != nil {
			return err
		}
		if i < len(c.Parts)-1 && p.Size < minPart {
			return s3err.EntityTooSmall.With("ETag", p.ETag).With("PartNumber", strconv.Itoa(p.Number)).
				With("MinSizeAllowed", itoa(minPart)).With("ProposedSize", itoa(p.Size))
		}
		c.Parts[i] = p
		size += p.Size
	}
	if size > maxObject {
		return s3err.EntityTooLarge.With("ProposedSize", itoa(size)).With("MaxSizeAllowed", itoa(maxObject))
	}
	if v := r.Header.Get("X-Amz-Mp-Object-Size"); v != "" && v != itoa(size) {
		return s3err.InvalidRequest.Msg("The provided 'x-amz-mp-object-size' header value %s does not match what was computed: %d", v, size)
	}
	if c.Checksum, err = objectSum(r.Header, u, c.Parts); err != nil {
		return err
	}
	ctx, cancel := a.step(r)
	defer cancel()
	_, err = a.Meta.CompleteUpload(ctx, *c)
	if errors.Is(err, errors.PreconditionFailed) {
		name := "If-Match"
		if c.Condition.IfMatch == nil {
			name = "If-None-Match"
		}
		err = s3err.PreconditionFailed.With("Condition", name).By(err)
	}
	return err
}

// allParts lists the finished parts of an upload by number.
func (a *API) allParts(r *Request, ref meta.UploadRef) (map[int]meta.Part, error) {
	parts := make(map[int]meta.Part)
	for after := 0; ; {
		ctx, cancel := a.step(r)
		page, err := a.Meta.ListParts(ctx, ref, after, maxKeys)
		cancel()
		if err != nil {
			return nil, err
		}
		for _, p := range page.Parts {
			parts[p.Number] = p
			after = p.Number
		}
		if !page.More || len(page.Parts) == 0 {
			return parts, nil
		}
	}
}

// checkPartSum compares the checksum that the client names for a part with the stored one.
func checkPartSum(u meta.Upload, p meta.Part, named *xmlapi.CompletedPart, r *Request) error {
	switch value := named.Checksum(p.Checksum.Algorithm); {
	case value != "" && value != p.Checksum.Value, value == "" && named.HasChecksum():
		return invalidPart(p, r)
	case value != "":
	case u.Checksum.Type == string(checksum.Composite):
		return s3err.InvalidRequest.Msg("The upload was created using a %s checksum. The complete request must include the checksum for each part. It was missing for part %d in the request.",
			strings.ToLower(u.Checksum.Algorithm), p.Number)
	}
	return nil
}

// objectSum computes the checksum of the object from those of its parts, and compares it with what the client names.
func objectSum(h http.Header, u meta.Upload, parts []meta.Part) (meta.Checksum, error) {
	sum := u.Checksum
	if sum.Algorithm == "" {
		sum = meta.Checksum{Algorithm: checksum.CRC64NVME.String(), Type: fullObject}
	}
	if t := h.Get("X-Amz-Checksum-Type"); t != "" && t != sum.Type {
		return sum, s3err.InvalidRequest.Msg("The upload was created using the %s checksum mode. The complete request must use the same checksum mode.", sum.Type)
	}
	alg, ok := checksum.Parse(sum.Algorithm)
	if !ok {
		return sum, errors.E(errors.Corrupted, errors.Upload, u.ID.String(), "it has the unknown checksum %q", sum.Algorithm)
	}
	list := make([]checksum.Part, len(parts))
	for i, p := range parts {
		list[i] = checksum.Part{Value: p.Checksum.Value, Size: p.Size}
	}
	var err error
	if sum.Value, err = alg.OfParts(checksum.Type(sum.Type), list); err != nil {
		return sum, errors.Wrap(errors.Corrupted, err, "computing the checksum of upload %s", u.ID)
	}
	for name, values := range h {
		value, isSum := strings.CutPrefix(name, "X-Amz-Checksum-")
		if !isSum || value == "Type" || value == "Algorithm" {
			continue
		}
		// Of a composite checksum, clients leave out the number of parts behind it.
		bare, _, _ := strings.Cut(sum.Value, "-")
		if !strings.EqualFold(value, sum.Algorithm) || values[0] != sum.Value && values[0] != bare {
			return sum, s3err.BadDigest.Msg("The %s you specified did not match the calculated checksum.", strings.ToLower(value))
		}
	}
	return sum, nil
}

// completedBefore is for an upload that was completed: with the same parts, the answer is the same.
func (a *API) completedBefore(r *Request, c *meta.Complete) error {
	ctx, cancel := a.step(r)
	defer cancel()
	v, err := a.Meta.CompleteUpload(ctx, *c)
	if err != nil {
		return withUploadID(err, r)
	}
	o, err := a.Meta.Object(ctx, c.Bucket, c.Key)
	if err == nil && o.Version == v {
		c.Checksum = o.Checksum // if the object was replaced since, the answer goes without
	}
	if errors.IsEntity(err, errors.NotFound, errors.Object) {
		return nil
	}
	return err
}
