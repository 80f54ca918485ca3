package api

import (
	"maps"
	"net/http"
	"slices"

	"deuxfleurs.fr/garage/services/s3-gateway/xmlapi"
)

// getObjectTagging is GetObjectTagging. Tags cannot be set, so there are none; clients ask before they copy.
func (a *API) getObjectTagging(w *Response, r *Request) error {
	if err := checkVersionID(r); err != nil {
		return err
	}
	o, err := a.object(r, r.Bucket.ID, r.Key)
	if err != nil {
		return err
	}
	doc := xmlapi.New("Tagging")
	doc.Open("TagSet")
	for _, key := range slices.Sorted(maps.Keys(o.Tags)) {
		doc.Open("Tag")
		doc.Text("Key", key)
		doc.Text("Value", o.Tags[key])
		doc.Close("Tag")
	}
	doc.Close("TagSet")
	doc.Close("Tagging")
	return w.xml(http.StatusOK, doc)
}
