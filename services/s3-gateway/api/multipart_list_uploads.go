package api

import (
	"net/http"
	"strings"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/s3-gateway/xmlapi"
)

// listMultipartUploads is ListMultipartUploads.
func (a *API) listMultipartUploads(w *Response, r *Request) error {
	limit, err := r.Query.Int("max-uploads", maxKeys, 0, 1<<31-1)
	if err != nil {
		return err
	}
	limit = min(limit, maxKeys)
	text := func(s string) string { return s }
	encoding, encoded := r.Query.Lookup("encoding-type")
	if encoded {
		if !strings.EqualFold(encoding, "url") {
			return argument("encoding-type", encoding, "Invalid Encoding Method specified in Request")
		}
		text = urlEncode
	}
	q := meta.ListUploads{
		Bucket: r.Bucket.ID, Prefix: r.Query.Get("prefix"), Delimiter: r.Query.Get("delimiter"), After: r.Query.Get("key-marker"), Limit: limit,
	}
	idMarker := r.Query.Get("upload-id-marker")
	if q.After == "" {
		idMarker = "" // S3 ignores it then
	}
	if idMarker != "" {
		if q.AfterID, err = uuid.Parse(idMarker); err != nil {
			return argument("upload-id-marker", idMarker, "Invalid uploadId marker")
		}
	}
	var page meta.UploadPage
	if limit > 0 {
		ctx, cancel := a.step(r)
		page, err = a.Meta.ListUploads(ctx, q)
		cancel()
		if err != nil {
			return err
		}
	}

	doc := xmlapi.New("ListMultipartUploadsResult")
	doc.Text("Bucket", r.Name)
	doc.Text("KeyMarker", text(q.After))
	doc.Text("UploadIdMarker", idMarker)
	next := ""
	if page.NextID != uuid.Nil {
		next = page.NextID.String()
	}
	doc.Text("NextKeyMarker", text(page.Next)) // also on the last page, as S3 has it
	doc.Text("NextUploadIdMarker", next)
	doc.Text("Prefix", text(q.Prefix))
	doc.Optional("Delimiter", text(q.Delimiter))
	doc.Int("MaxUploads", int64(limit))
	if encoded {
		doc.Text("EncodingType", "url")
	}
	doc.Bool("IsTruncated", page.More)
	for i := range page.Uploads {
		writeUpload(doc, &page.Uploads[i], r, text)
	}
	for _, p := range page.Prefixes {
		doc.Open("CommonPrefixes")
		doc.Text("Prefix", text(p))
		doc.Close("CommonPrefixes")
	}
	doc.Close("ListMultipartUploadsResult")
	return w.xml(http.StatusOK, doc)
}

func writeUpload(doc *xmlapi.Writer, u *meta.Upload, r *Request, text func(string) string) {
	doc.Open("Upload")
	doc.Text("Key", text(u.Key))
	doc.Text("UploadId", u.ID.String())
	writeOwner(doc, "Initiator", u.Initiator)
	writeOwner(doc, "Owner", r.Bucket.Owner)
	doc.Text("StorageClass", storageClassName(u.StorageClass))
	doc.Time("Initiated", u.Begun)
	if u.Checksum.Algorithm != "" {
		doc.Text("ChecksumAlgorithm", u.Checksum.Algorithm)
		doc.Text("ChecksumType", u.Checksum.Type)
	}
	doc.Close("Upload")
}
