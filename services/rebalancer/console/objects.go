package console

import (
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"time"

	"deuxfleurs.fr/garage/pkg/errors"
)

const (
	// maxLink is how long a link may be good for: S3 allows no more.
	maxLink   = 7 * 24 * time.Hour
	pageLimit = 500 // entries of a listing
)

// version is one version of an object, or a delete marker.
type version struct {
	Key          string `json:"key"`
	VersionID    string `xml:"VersionId" json:"version"`
	Latest       bool   `xml:"IsLatest" json:"latest"`
	LastModified string `json:"modified"`
	Size         int64  `json:"size"`
	ETag         string `json:"etag"`
	StorageClass string `json:"class"`
	Deleted      bool   `json:"deleted"` // a delete marker
}

// listing is what S3 lists, with and without versions.
type listing struct {
	Contents []version `json:"-"`
	Version  []version `json:"-"`
	Marker   []version `xml:"DeleteMarker" json:"-"`
	Prefixes []struct {
		Prefix string
	} `xml:"CommonPrefixes" json:"-"`
	Truncated   bool   `xml:"IsTruncated" json:"-"`
	Token       string `xml:"NextContinuationToken" json:"-"`
	NextKey     string `xml:"NextKeyMarker" json:"-"`
	NextVersion string `xml:"NextVersionIdMarker" json:"-"`
}

// about reads which object the address speaks of. The names are in the query, where a path cannot be tidied up.
func about(r *http.Request) (q url.Values, s s3Request) {
	q = r.URL.Query()
	s = s3Request{method: r.Method, key: q.Get("key"), bucket: q.Get("bucket"), object: q.Get("object"), query: url.Values{}, header: http.Header{}}
	if v := q.Get("version"); v != "" {
		s.query.Set("versionId", v)
	}
	return q, s
}

// action notes what was done to an object.
func (c *Console) action(r *http.Request, s *session, name string, what s3Request, result error) {
	request, err := json.Marshal(struct {
		Key     string `json:"key"`
		Bucket  string `json:"bucket"`
		Object  string `json:"object"`
		Version string `json:"version,omitempty"`
		Upload  string `json:"upload,omitempty"`
		Seconds string `json:"seconds,omitempty"` // how long a link is good for
	}{what.key, what.bucket, what.object, what.query.Get("versionId"), what.query.Get("uploadId"), what.query.Get("X-Amz-Expires")})
	if err != nil {
		request = []byte("{}") // texts can always be written
	}
	c.record(r.Context(), Entry{Operator: s.operator.Name, From: remote(r), Action: name, Request: string(request)}, result)
}

// listObjects lists what is below a prefix, with all versions if asked for.
func (c *Console) listObjects(w http.ResponseWriter, r *http.Request, s *session) {
	q, ask := about(r)
	ask.object, ask.query = "", url.Values{"delimiter": {"/"}, "max-keys": {strconv.Itoa(pageLimit)}}
	set := func(name, value string) {
		if value != "" {
			ask.query.Set(name, value)
		}
	}
	set("prefix", q.Get("prefix"))
	if q.Has("versions") {
		ask.query.Set("versions", "")
		set("key-marker", q.Get("after"))
		set("version-id-marker", q.Get("afterVersion"))
	} else {
		ask.query.Set("list-type", "2")
		set("continuation-token", q.Get("after"))
	}
	var l listing
	if err := c.askDocument(r.Context(), ask, &l); err != nil {
		fail(w, err)
		return
	}
	out := struct {
		Prefixes     []string  `json:"prefixes"`
		Objects      []version `json:"objects"`
		After        string    `json:"after,omitempty"`
		AfterVersion string    `json:"afterVersion,omitempty"`
	}{Prefixes: []string{}, Objects: append(append([]version{}, l.Contents...), l.Version...)}
	for _, p := range l.Prefixes {
		out.Prefixes = append(out.Prefixes, p.Prefix)
	}
	for _, m := range l.Marker {
		m.Deleted = true
		out.Objects = append(out.Objects, m)
	}
	if l.Truncated {
		out.After, out.AfterVersion = l.Token, l.NextVersion
		if l.NextKey != "" {
			out.After = l.NextKey
		}
	}
	answer(w, out)
}

// passed are the headers of S3's answer that a download has.
var passed = []string{"Content-Length", "Content-Range", "Accept-Ranges", "Etag", "Last-Modified"}

// download hands an object over, as a file.
func (c *Console) download(w http.ResponseWriter, r *http.Request, s *session) {
	_, ask := about(r)
	if ask.object == "" {
		fail(w, errors.Newf(errors.Invalid, "say which object"))
		return
	}
	if ranged := r.Header.Get("Range"); ranged != "" {
		ask.header.Set("Range", ranged)
	}
	reply, err := c.ask(r.Context(), ask)
	c.action(r, s, "GetObject", ask, err)
	if err != nil {
		fail(w, err)
		return
	}
	defer reply.Body.Close()
	for _, name := range passed {
		if value := reply.Header.Get(name); value != "" {
			w.Header().Set(name, value)
		}
	}
	// Whatever it is, it must not act in the name of this page.
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
	disposition := mime.FormatMediaType("attachment", map[string]string{"filename": path.Base(ask.object)})
	if disposition == "" {
		disposition = "attachment"
	}
	w.Header().Set("Content-Disposition", disposition)
	w.WriteHeader(reply.StatusCode)
	if _, err := io.Copy(w, reply.Body); err != nil {
		c.deps.Logger.DebugContext(r.Context(), "a download was cut", "bucket", ask.bucket, "error", err)
		panic(http.ErrAbortHandler) // so that the browser knows that it is not whole
	}
}

// remove deletes an object, or one version of it.
func (c *Console) remove(w http.ResponseWriter, r *http.Request, s *session) {
	_, ask := about(r)
	if ask.object == "" {
		fail(w, errors.Newf(errors.Invalid, "say which object"))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), c.callTimeout)
	defer cancel()
	reply, err := c.ask(ctx, ask)
	c.action(r, s, "DeleteObject", ask, err)
	c.changed(w, reply, err)
}

// changed answers with what S3 says of an object that it has changed.
func (c *Console) changed(w http.ResponseWriter, reply *http.Response, err error) {
	if err != nil {
		fail(w, err)
		return
	}
	defer reply.Body.Close()
	answer(w, map[string]string{"etag": reply.Header.Get("Etag"), "version": reply.Header.Get("X-Amz-Version-Id")})
}

// link makes an address that anybody may read an object at for some time.
func (c *Console) link(w http.ResponseWriter, r *http.Request, s *session) {
	q, ask := about(r)
	ask.method = http.MethodGet
	expires, err := strconv.Atoi(q.Get("seconds"))
	if err != nil || expires < 1 || expires > int(maxLink/time.Second) || ask.object == "" {
		fail(w, errors.Newf(errors.Invalid, "say which object, and for how many seconds, from 1 to %d", int(maxLink/time.Second)))
		return
	}
	ask.query.Set("X-Amz-Expires", strconv.Itoa(expires))
	url, err := c.presign(r.Context(), ask)
	c.action(r, s, "PresignGetObject", ask, err)
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, map[string]string{"url": url})
}
