package api

import (
	"net/http"
	"strconv"
	"strings"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
	"deuxfleurs.fr/garage/services/s3-gateway/xmlapi"
)

// getObjectAttributes is GetObjectAttributes.
func (a *API) getObjectAttributes(w *Response, r *Request) error {
	if err := checkVersionID(r); err != nil {
		return err
	}
	wanted, err := wantedAttributes(r.Header)
	if err != nil {
		return err
	}
	maxParts, err := headerInt(r.Header, "X-Amz-Max-Parts", maxKeys)
	if err != nil {
		return err
	}
	marker, err := headerInt(r.Header, "X-Amz-Part-Number-Marker", 0)
	if err != nil {
		return err
	}
	o, err := a.object(r, r.Bucket.ID, r.Key)
	if err != nil {
		return err
	}
	cond := readConditions(r.Header, "")
	if err := cond.check(&o, a.Clock.Now()); err != nil {
		if errors.IsTarget(err, s3err.NotModified) {
			w.set("ETag", quote(o.ETag))
		}
		return err
	}
	doc := xmlapi.New("GetObjectAttributesResponse")
	if wanted["ETag"] {
		doc.Text("ETag", o.ETag)
	}
	if wanted["Checksum"] && o.Checksum.Value != "" {
		doc.Open("Checksum")
		writeChecksum(doc, o.Checksum)
		doc.Close("Checksum")
	}
	if wanted["ObjectParts"] && o.Multipart {
		writeParts(doc, &o, marker, min(maxParts, maxKeys))
	}
	if wanted["StorageClass"] {
		doc.Text("StorageClass", storageClassName(o.StorageClass))
	}
	if wanted["ObjectSize"] {
		doc.Int("ObjectSize", o.Size)
	}
	doc.Close("GetObjectAttributesResponse")
	w.set("Last-Modified", httpTime(o.Modified()))
	return w.xml(http.StatusOK, doc)
}

func wantedAttributes(h http.Header) (map[string]bool, error) {
	const name = "x-amz-object-attributes"
	wanted := make(map[string]bool)
	for _, line := range h.Values(name) {
		for v := range strings.SplitSeq(line, ",") {
			switch v = strings.TrimSpace(v); v {
			case "":
			case "ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize":
				wanted[v] = true
			default:
				return nil, argument(name, v, "Invalid attribute name specified.")
			}
		}
	}
	if len(wanted) == 0 {
		return nil, s3err.InvalidRequest.Msg("The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty")
	}
	return wanted, nil
}

func headerInt(h http.Header, name string, def int) (int, error) {
	v := h.Get(name)
	if v == "" {
		return def, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return 0, argument(strings.ToLower(name), v, "%s must be a number that is not negative", strings.ToLower(name))
	}
	return n, nil
}

func writeParts(doc *xmlapi.Writer, o *meta.Object, marker, limit int) {
	doc.Open("ObjectParts")
	doc.Int("PartsCount", int64(len(o.Parts)))
	doc.Int("PartNumberMarker", int64(marker))
	var shown []meta.ObjectPart
	more := false
	for _, p := range o.Parts {
		if p.Number <= marker {
			continue
		}
		if more = len(shown) == limit; more {
			break
		}
		shown = append(shown, p)
	}
	next := marker
	if len(shown) > 0 {
		next = shown[len(shown)-1].Number
	}
	doc.Int("NextPartNumberMarker", int64(next))
	doc.Int("MaxParts", int64(limit))
	doc.Bool("IsTruncated", more)
	for _, p := range shown {
		doc.Open("Part")
		doc.Int("PartNumber", int64(p.Number))
		doc.Int("Size", p.Size)
		if p.Checksum != "" {
			doc.Text("Checksum"+o.Checksum.Algorithm, p.Checksum)
		}
		doc.Close("Part")
	}
	doc.Close("ObjectParts")
}
