package api

import (
	"maps"
	"net/http"
	"strings"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/s3-gateway/body"
	"deuxfleurs.fr/garage/services/s3-gateway/checksum"
	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
	"deuxfleurs.fr/garage/services/s3-gateway/xmlapi"
)

const copySource = "X-Amz-Copy-Source"

// copyObject is CopyObject: references are added, no data moves, unless a checksum is
// asked for that is not known.
func (a *API) copyObject(w *Response, r *Request) error {
	if err := checkVersionID(r); err != nil {
		return err
	}
	cond, err := writeCondition(r.Header)
	if err != nil {
		return err
	}
	if r.Header[copySource+"-Range"] != nil { // only a part is copied from a range
		return notImplementedHeader(copySource + "-Range")
	}
	bucketName, key, err := parseCopySource(r.Header.Get(copySource))
	if err != nil {
		return err
	}
	src, err := a.copySource(r, bucketName, key)
	if err != nil {
		return err
	}
	if src.Size > maxSinglePut {
		return s3err.InvalidRequest.Msg("The specified copy source is larger than the maximum allowable size for a copy source: %d", int64(maxSinglePut))
	}
	attrs, err := copyAttributes(r.Header, &src, bucketName == r.Name && key == r.Key)
	if err != nil {
		return err
	}
	alg, err := copyAlgorithm(r.Header, &src)
	if err != nil {
		return err
	}
	if err := a.early(r, cond); err != nil {
		return err
	}
	put := meta.Put{Bucket: r.Bucket.ID, Key: r.Key, Attributes: attrs, Condition: cond}
	s, err := a.copyBody(r, put, &src, alg)
	if err != nil {
		return err
	}
	v, err := a.commit(r, put, s)
	if err != nil {
		return err
	}
	doc := xmlapi.New("CopyObjectResult")
	doc.Time("LastModified", v.Modified())
	doc.ETag(s.ETag)
	writeChecksum(doc, s.Checksum)
	doc.Close("CopyObjectResult")
	return w.xml(http.StatusOK, doc)
}

// copyBody makes an attempt of the source's body. alg is a checksum to compute, or None to keep the source's.
func (a *API) copyBody(r *Request, put meta.Put, src *meta.Object, alg checksum.Algorithm) (*stored, error) {
	target, err := a.target(r, put, alg)
	if err != nil {
		return nil, err
	}
	s := &stored{ETag: src.ETag, Checksum: src.Checksum}
	if alg == checksum.None {
		s.Attempt, err = a.Bodies.Copy(r.Context(), target, src, 0, src.Size, nil)
		return s, err
	}
	stages := a.Hashers.Stages(src.Size, alg)
	defer stages.Close()
	if s.Attempt, err = a.Bodies.Copy(r.Context(), target, src, 0, src.Size, stages); err != nil {
		return nil, err
	}
	s.Checksum = meta.Checksum{Algorithm: alg.String(), Type: fullObject, Value: stages.Sums().Value(alg)}
	return s, nil
}

var _ body.Stages = (*checksum.Stages)(nil)

// parseCopySource reads x-amz-copy-source: bucket and key, percent-encoded, with or
// without a slash before them.
func parseCopySource(v string) (bucket, key string, err error) {
	v, version, versioned := strings.Cut(v, "?versionId=")
	if versioned {
		if err := checkVersion(version); err != nil {
			return "", "", err
		}
	}
	if v, err = unescape(v); err != nil {
		return "", "", argument("x-amz-copy-source", v, "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
	}
	if strings.HasPrefix(v, "arn:") {
		return "", "", s3err.NotImplemented.Msg("Access points are not implemented.")
	}
	bucket, key, _ = strings.Cut(strings.TrimPrefix(v, "/"), "/")
	if bucket == "" || key == "" {
		return "", "", argument("x-amz-copy-source", v, "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
	}
	return bucket, key, checkKey(key)
}

// copySource finds the object to copy, if who asks may read it and the conditions on it hold.
func (a *API) copySource(r *Request, bucketName, key string) (meta.Object, error) {
	b, err := a.bucket(r, bucketName, need{rights: identity.Read})
	if err != nil {
		return meta.Object{}, onResource(err, "/"+bucketName)
	}
	src, err := a.object(r, b.ID, key)
	if err != nil {
		return src, onResource(err, "/"+bucketName+"/"+key)
	}
	cond := readConditions(r.Header, copySource+"-")
	err = cond.check(&src, a.Clock.Now())
	if errors.IsTarget(err, s3err.NotModified) {
		err = s3err.PreconditionFailed.With("Condition", "x-amz-copy-source-If-None-Match")
	}
	return src, err
}

// onResource says that an error is about another resource than the request's.
func onResource(err error, resource string) error {
	e := *translate(err)
	return e.On(resource).By(err)
}

// copyAttributes says how the copy is described.
func copyAttributes(h http.Header, src *meta.Object, self bool) (meta.Attributes, error) {
	replaced, err := attributes(h)
	if err != nil {
		return replaced, err
	}
	switch v := h.Get("X-Amz-Metadata-Directive"); v {
	case "REPLACE":
		return replaced, nil
	case "", "COPY":
	default:
		return replaced, argument("x-amz-metadata-directive", v, "Unknown metadata directive.")
	}
	const redirect = "X-Amz-Website-Redirect-Location"
	if self && replaced.StorageClass == src.StorageClass && replaced.Headers[redirect] == src.Headers[redirect] {
		return replaced, s3err.InvalidRequest.Msg("This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.")
	}
	kept := meta.Attributes{ContentType: src.ContentType, User: src.User, Tags: src.Tags, StorageClass: replaced.StorageClass}
	kept.Headers = make(map[string]string, len(src.Headers)+1)
	maps.Copy(kept.Headers, src.Headers)
	delete(kept.Headers, redirect) // S3 does not copy it
	if v := replaced.Headers[redirect]; v != "" {
		kept.Headers[redirect] = v
	}
	return kept, nil
}

// copyAlgorithm is the checksum to compute, or None if the source's is kept.
func copyAlgorithm(h http.Header, src *meta.Object) (checksum.Algorithm, error) {
	v := h.Get("X-Amz-Checksum-Algorithm")
	if v == "" {
		return checksum.None, nil
	}
	alg, ok := checksum.Parse(v)
	if !ok {
		return alg, argument("x-amz-checksum-algorithm", v, "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
	}
	if alg.String() == src.Checksum.Algorithm && src.Checksum.Type == fullObject {
		return checksum.None, nil
	}
	return alg, nil
}

func writeChecksum(doc *xmlapi.Writer, c meta.Checksum) {
	if c.Value != "" {
		doc.Text("Checksum"+c.Algorithm, c.Value)
		doc.Text("ChecksumType", c.Type)
	}
}
