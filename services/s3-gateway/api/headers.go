package api

import (
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/s3-gateway/awschunked"
	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

const (
	defaultContentType = "binary/octet-stream"
	// maxUserMetadata is the size of the most user metadata in bytes: names without their prefix, and values.
	maxUserMetadata = 2 << 10
	metaPrefix      = "X-Amz-Meta-"
)

// keptHeaders are kept with an object and sent with it. Canonical names.
var keptHeaders = []string{
	"Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires", "X-Amz-Website-Redirect-Location",
}

// attributes reads what a request says about the object that it makes.
func attributes(h http.Header) (meta.Attributes, error) {
	a := meta.Attributes{ContentType: text(h.Get("Content-Type"))}
	if a.ContentType == "" {
		a.ContentType = defaultContentType
	}
	for _, name := range keptHeaders {
		value := text(h.Get(name))
		if name == "Content-Encoding" {
			value = awschunked.ContentEncoding(value)
		}
		if value == "" {
			continue
		}
		if a.Headers == nil {
			a.Headers = make(map[string]string)
		}
		a.Headers[name] = value
	}
	if v := a.Headers["X-Amz-Website-Redirect-Location"]; v != "" && !strings.HasPrefix(v, "/") && !strings.HasPrefix(v, "http://") && !strings.HasPrefix(v, "https://") {
		return a, argument("x-amz-website-redirect-location", v, "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.")
	}
	var err error
	if a.StorageClass, err = storageClass(h.Get("X-Amz-Storage-Class")); err != nil {
		return a, err
	}
	a.User, err = userMetadata(h)
	return a, err
}

func userMetadata(h http.Header) (map[string]string, error) {
	var user map[string]string
	size := 0
	for name, values := range h {
		if !strings.HasPrefix(name, metaPrefix) {
			continue
		}
		if user == nil {
			user = make(map[string]string)
		}
		name = strings.ToLower(name[len(metaPrefix):])
		value := decodeWords(text(strings.Join(values, ",")))
		user[name] = value
		size += len(name) + len(value)
	}
	if size > maxUserMetadata {
		return nil, s3err.MetadataTooLarge.With("Size", itoa(int64(size))).With("MaxSizeAllowed", itoa(maxUserMetadata))
	}
	return user, nil
}

// storageClass checks a storage class and gives the form in which it is kept.
func storageClass(v string) (string, error) {
	switch v {
	case "", "STANDARD":
		return "", nil
	case "REDUCED_REDUNDANCY":
		return v, nil
	}
	return "", s3err.InvalidStorageClass.With("StorageClassRequested", v)
}

// storageClassName is how S3 names a kept storage class.
func storageClassName(kept string) string {
	if kept == "" {
		return "STANDARD"
	}
	return kept
}

// text makes a header value valid UTF-8: bytes that are not are taken for Latin-1, as HTTP once had it.
func text(v string) string {
	if utf8.ValidString(v) {
		return v
	}
	runes := make([]rune, len(v))
	for i := range len(v) {
		runes[i] = rune(v[i])
	}
	return string(runes)
}

// decodeWords undoes RFC 2047, in which clients send metadata that is not ASCII.
func decodeWords(v string) string {
	if !strings.Contains(v, "=?") {
		return v
	}
	var d mime.WordDecoder
	if out, err := d.DecodeHeader(v); err == nil {
		return out
	}
	return v
}

// encodeWords encodes what is not ASCII by RFC 2047.
func encodeWords(v string) string {
	for i := range len(v) {
		if v[i] >= utf8.RuneSelf {
			return mime.BEncoding.Encode("UTF-8", v)
		}
	}
	return v
}

// object sets the headers that describe an object.
func (w *Response) object(o *meta.Object) {
	w.set("ETag", quote(o.ETag))
	w.set("Last-Modified", httpTime(o.Modified()))
	w.set("Accept-Ranges", "bytes")
	w.set("Content-Type", o.ContentType)
	for name, value := range o.Headers {
		w.set(name, value)
	}
	for name, value := range o.User {
		w.set("x-amz-meta-"+name, encodeWords(value))
	}
	if o.StorageClass != "" {
		w.set("X-Amz-Storage-Class", o.StorageClass)
	}
}

// checksum sets the headers of a checksum.
func (w *Response) checksum(c meta.Checksum) {
	if c.Value == "" {
		return
	}
	w.set("x-amz-checksum-"+strings.ToLower(c.Algorithm), c.Value)
	w.set("x-amz-checksum-type", c.Type)
}

func quote(etag string) string { return `"` + etag + `"` }

func httpTime(t time.Time) string { return t.UTC().Format(http.TimeFormat) }
