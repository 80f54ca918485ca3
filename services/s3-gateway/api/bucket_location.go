package api

import (
	"net/http"

	"deuxfleurs.fr/garage/services/s3-gateway/xmlapi"
)

// getBucketLocation is GetBucketLocation.
func (a *API) getBucketLocation(w *Response, _ *Request) error {
	doc := xmlapi.New("LocationConstraint")
	if a.Region != "us-east-1" { // which S3 leaves empty
		doc.Raw(a.Region)
	}
	doc.Close("LocationConstraint")
	return w.xml(http.StatusOK, doc)
}
