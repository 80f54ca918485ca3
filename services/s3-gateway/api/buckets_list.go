package api

import (
	"encoding/base64"
	"net/http"

	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/s3-gateway/xmlapi"
)

// maxBuckets is how many buckets one page of ListBuckets has at most.
const maxBuckets = 10000

// listBuckets is ListBuckets: those on which who signed has any right. Without max-buckets it
// lists all, as S3 does.
func (a *API) listBuckets(w *Response, r *Request) error {
	limit, err := r.Query.Int("max-buckets", maxBuckets, 1, maxBuckets)
	if err != nil {
		return err
	}
	after, err := decodeToken(r.Query, "continuation-token")
	if err != nil {
		return err
	}
	if region := r.Query.Get("bucket-region"); region != "" && region != a.Region {
		return argument("bucket-region", region, "Argument value %s is not a valid AWS Region", region)
	}
	ctx, cancel := a.step(r)
	defer cancel()
	var page meta.BucketPage
	query := meta.ListBuckets{Prefix: r.Query.Get("prefix"), After: after, Limit: limit}
	if shown(&r.Auth.Identity, &query) {
		if page, err = a.Meta.ListBuckets(ctx, query); err != nil {
			return err
		}
	}
	doc := xmlapi.New("ListAllMyBucketsResult")
	writeOwner(doc, "Owner", r.Auth.Identity.ID())
	doc.Open("Buckets")
	for _, b := range page.Buckets {
		doc.Open("Bucket")
		doc.Text("Name", b.Name)
		doc.Time("CreationDate", b.Created)
		doc.Text("BucketRegion", a.Region)
		doc.Close("Bucket")
	}
	doc.Close("Buckets")
	if page.More && len(page.Buckets) > 0 {
		doc.Text("ContinuationToken", encodeToken(page.Buckets[len(page.Buckets)-1].Name))
	}
	doc.Optional("Prefix", r.Query.Get("prefix"))
	doc.Close("ListAllMyBucketsResult")
	return w.xml(http.StatusOK, doc)
}

// shown makes the query choose the buckets on which somebody has any right, or reports that there can be none.
func shown(who *identity.Identity, q *meta.ListBuckets) bool {
	if who.BucketRights(identity.EveryBucket) != 0 {
		return true // without a choice, the query is for all
	}
	for name, r := range who.Buckets {
		if r != 0 {
			q.Names = append(q.Names, name)
		}
	}
	q.Grantees = who.Principals
	return len(q.Names)+len(q.Grantees) > 0
}

func writeOwner(doc *xmlapi.Writer, element, owner string) {
	doc.Open(element)
	doc.Text("ID", owner)
	doc.Text("DisplayName", owner)
	doc.Close(element)
}

// encodeToken makes a continuation token of the last name that was listed.
func encodeToken(last string) string { return base64.URLEncoding.EncodeToString([]byte(last)) }

// decodeToken reads a continuation token, or "" if there is none.
func decodeToken(q Query, name string) (string, error) {
	v, ok := q.Lookup(name)
	if !ok {
		return "", nil
	}
	p, err := base64.URLEncoding.DecodeString(v)
	if err != nil || v == "" {
		return "", argument(name, v, "The continuation token provided is incorrect")
	}
	return string(p), nil
}
