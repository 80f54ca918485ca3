package api

import (
	"net/http"

	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/s3-gateway/xmlapi"
)

// listParts is ListParts.
func (a *API) listParts(w *Response, r *Request) error {
	limit, err := r.Query.Int("max-parts", maxKeys, 0, 1<<31-1)
	if err != nil {
		return err
	}
	limit = min(limit, maxKeys)
	marker, err := r.Query.Int("part-number-marker", 0, 0, 1<<31-1)
	if err != nil {
		return err
	}
	u, err := a.openUpload(r)
	if err != nil {
		return err
	}
	var page meta.PartPage
	if limit > 0 {
		ctx, cancel := a.step(r)
		page, err = a.Meta.ListParts(ctx, u.UploadRef, marker, limit)
		cancel()
		if err != nil {
			return withUploadID(err, r)
		}
	}
	next := marker
	if n := len(page.Parts); n > 0 {
		next = page.Parts[n-1].Number
	}
	doc := xmlapi.New("ListPartsResult")
	doc.Text("Bucket", r.Name)
	doc.Text("Key", r.Key)
	doc.Text("UploadId", u.ID.String())
	writeOwner(doc, "Initiator", u.Initiator)
	writeOwner(doc, "Owner", r.Bucket.Owner)
	doc.Text("StorageClass", storageClassName(u.StorageClass))
	doc.Int("PartNumberMarker", int64(marker))
	doc.Int("NextPartNumberMarker", int64(next))
	doc.Int("MaxParts", int64(limit))
	doc.Bool("IsTruncated", page.More)
	if u.Checksum.Algorithm != "" {
		doc.Text("ChecksumAlgorithm", u.Checksum.Algorithm)
		doc.Text("ChecksumType", u.Checksum.Type)
	}
	for _, p := range page.Parts {
		doc.Open("Part")
		doc.Int("PartNumber", int64(p.Number))
		doc.Time("LastModified", p.Modified)
		doc.ETag(p.ETag)
		doc.Int("Size", p.Size)
		if u.Checksum.Algorithm != "" {
			doc.Text("Checksum"+p.Checksum.Algorithm, p.Checksum.Value)
		}
		doc.Close("Part")
	}
	doc.Close("ListPartsResult")
	return w.xml(http.StatusOK, doc)
}
