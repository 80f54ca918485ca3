package api

import (
	"net/http"
	"strings"

	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/s3-gateway/xmlapi"
)

// maxKeys is how many entries a page of a listing has at most.
const maxKeys = 1000

// listing is what ListObjects and ListObjectsV2 have in common.
type listing struct {
	prefix, delimiter string
	max               int
	encode            bool
	owner             bool // say whose the objects are
	page              meta.Page
}

func readListing(q Query) (*listing, error) {
	l := &listing{prefix: q.Get("prefix"), delimiter: q.Get("delimiter")}
	var err error
	if l.max, err = q.Int("max-keys", maxKeys, 0, 1<<31-1); err != nil {
		return nil, err
	}
	l.max = min(l.max, maxKeys)
	if v, ok := q.Lookup("encoding-type"); ok {
		if !strings.EqualFold(v, "url") {
			return nil, argument("encoding-type", v, "Invalid Encoding Method specified in Request")
		}
		l.encode = true
	}
	return l, nil
}

// fetch asks for the page behind after.
func (a *API) fetch(r *Request, l *listing, after string) error {
	if l.max == 0 {
		return nil
	}
	ctx, cancel := a.step(r)
	defer cancel()
	var err error
	l.page, err = a.Meta.List(ctx, meta.List{Bucket: r.Bucket.ID, Prefix: l.prefix, Delimiter: l.delimiter, After: after, Limit: l.max})
	return err
}

// fetchFrom is fetch for start-after, which, unlike a marker, may lie inside a common prefix without
// having listed it: then the prefix is shown if it has keys behind.
func (a *API) fetchFrom(r *Request, l *listing, startAfter string) error {
	rest, inside := strings.CutPrefix(startAfter, l.prefix)
	head, _, found := strings.Cut(rest, l.delimiter)
	if l.delimiter == "" || !inside || !found || l.max == 0 {
		return a.fetch(r, l, startAfter)
	}
	common := l.prefix + head + l.delimiter
	ctx, cancel := a.step(r)
	defer cancel()
	behind := meta.Page{More: true, Next: startAfter}
	for len(behind.Objects) == 0 && behind.More {
		var err error
		if behind, err = a.Meta.List(ctx, meta.List{Bucket: r.Bucket.ID, Prefix: common, After: behind.Next, Limit: 1}); err != nil {
			return err
		}
	}
	if len(behind.Objects) == 0 {
		return a.fetch(r, l, common)
	}
	all := l.max
	defer func() { l.max = all }()
	// With room for the prefix alone, the next entry only says whether there is more.
	l.max = max(all-1, 1)
	if err := a.fetch(r, l, common); err != nil {
		return err
	}
	if all == 1 {
		l.page = meta.Page{More: l.page.More || len(l.page.Objects)+len(l.page.Prefixes) > 0, Next: common}
	}
	l.page.Prefixes = append([]string{common}, l.page.Prefixes...)
	return nil
}

// listObjects is ListObjects, the first version.
func (a *API) listObjects(w *Response, r *Request) error {
	l, err := readListing(r.Query)
	if err != nil {
		return err
	}
	l.owner = true
	marker := r.Query.Get("marker")
	if err := a.fetch(r, l, marker); err != nil {
		return err
	}
	doc := xmlapi.New("ListBucketResult")
	doc.Text("Name", r.Name)
	doc.Text("Prefix", l.text(l.prefix))
	doc.Text("Marker", l.text(marker))
	if l.page.More && (l.delimiter != "" || l.endsBehind()) { // otherwise the last key is the next marker
		doc.Text("NextMarker", l.text(l.page.Next))
	}
	l.write(doc, r)
	doc.Close("ListBucketResult")
	w.set("x-amz-bucket-region", a.Region)
	return w.xml(http.StatusOK, doc)
}

// listObjectsV2 is ListObjectsV2.
func (a *API) listObjectsV2(w *Response, r *Request) error {
	if v := r.Query.Get("list-type"); v != "2" {
		return argument("list-type", v, "Invalid List Type specified in Request")
	}
	l, err := readListing(r.Query)
	if err != nil {
		return err
	}
	l.owner = r.Query.Get("fetch-owner") == "true"
	startAfter := r.Query.Get("start-after")
	after, err := decodeToken(r.Query, "continuation-token")
	if err != nil {
		return err
	}
	if r.Query.Has("continuation-token") {
		err = a.fetch(r, l, after)
	} else {
		err = a.fetchFrom(r, l, startAfter)
	}
	if err != nil {
		return err
	}
	doc := xmlapi.New("ListBucketResult")
	doc.Text("Name", r.Name)
	doc.Text("Prefix", l.text(l.prefix))
	doc.Optional("StartAfter", l.text(startAfter))
	doc.Optional("ContinuationToken", r.Query.Get("continuation-token"))
	if l.page.More {
		doc.Text("NextContinuationToken", encodeToken(l.page.Next))
	}
	doc.Int("KeyCount", int64(len(l.page.Objects)+len(l.page.Prefixes)))
	l.write(doc, r)
	doc.Close("ListBucketResult")
	w.set("x-amz-bucket-region", a.Region)
	return w.xml(http.StatusOK, doc)
}

// endsBehind says whether the page ends behind its last key, or has none, though there may be more.
func (l *listing) endsBehind() bool {
	n := len(l.page.Objects)
	return n == 0 || l.page.Objects[n-1].Key != l.page.Next
}

func (l *listing) write(doc *xmlapi.Writer, r *Request) {
	doc.Int("MaxKeys", int64(l.max))
	doc.Optional("Delimiter", l.text(l.delimiter))
	if l.encode {
		doc.Text("EncodingType", "url")
	}
	doc.Bool("IsTruncated", l.page.More)
	for i := range l.page.Objects {
		l.writeObject(doc, &l.page.Objects[i], r)
	}
	for _, p := range l.page.Prefixes {
		doc.Open("CommonPrefixes")
		doc.Text("Prefix", l.text(p))
		doc.Close("CommonPrefixes")
	}
}

func (l *listing) writeObject(doc *xmlapi.Writer, o *meta.Listed, r *Request) {
	doc.Open("Contents")
	doc.Text("Key", l.text(o.Key))
	doc.Time("LastModified", o.Modified())
	doc.ETag(o.ETag)
	if o.Checksum.Algorithm != "" {
		doc.Text("ChecksumAlgorithm", o.Checksum.Algorithm)
		doc.Text("ChecksumType", o.Checksum.Type)
	}
	doc.Int("Size", o.Size)
	if l.owner {
		writeOwner(doc, "Owner", r.Bucket.Owner)
	}
	doc.Text("StorageClass", storageClassName(o.StorageClass))
	doc.Close("Contents")
}

// text is a key as the listing shows it.
func (l *listing) text(s string) string {
	if !l.encode {
		return s
	}
	return urlEncode(s)
}

// urlEncode is the encoding-type url: all is percent-encoded but what never needs it, and '/'.
func urlEncode(s string) string {
	plain := func(c byte) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~/", c) >= 0
	}
	n := 0
	for i := range len(s) {
		if !plain(s[i]) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	out := make([]byte, 0, len(s)+2*n)
	for i := range len(s) {
		if c := s[i]; plain(c) {
			out = append(out, c)
		} else {
			out = append(out, '%', "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15])
		}
	}
	return string(out)
}
