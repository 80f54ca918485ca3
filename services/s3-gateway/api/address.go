package api

import (
	"net"
	"net/url"
	"strings"
	"unicode/utf8"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

// maxKey is the length of the longest key in bytes.
const maxKey = 1024

// address takes a request's target and host apart into bucket and key, which are
// kept byte for byte: nothing is cleaned or redirected.
func (a *API) address(r *Request) error {
	target := r.RequestURI
	if !strings.HasPrefix(target, "/") { // the absolute form of proxies, or "*"
		if _, rest, ok := strings.Cut(target, "://"); ok {
			target = ""
			if i := strings.IndexAny(rest, "/?"); i >= 0 {
				target = rest[i:]
			}
		}
		if !strings.HasPrefix(target, "/") {
			target = "/" + strings.TrimPrefix(target, "*")
		}
	}
	path, rawQuery, _ := strings.Cut(target, "?")
	r.Path = path
	var err error
	if r.Query, err = parseQuery(rawQuery); err != nil {
		return err
	}
	bucket, key := a.hostBucket(r.Host), path[1:]
	if bucket == "" {
		bucket, key, _ = strings.Cut(key, "/")
		if bucket, err = unescape(bucket); err != nil {
			return err
		}
	}
	r.Name = bucket
	if r.Key, err = unescape(key); err != nil {
		return err
	}
	if r.Name == "" && r.Key != "" { // "//key"
		return s3err.InvalidBucketName
	}
	return checkKey(r.Key)
}

func unescape(s string) (string, error) {
	out, err := url.PathUnescape(s)
	if err != nil {
		return "", s3err.InvalidURI
	}
	return out, nil
}

// hostBucket is the bucket that a host names, or "" if it is the service's own.
func (a *API) hostBucket(host string) string {
	if len(a.RootDomains) == 0 {
		return ""
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, root := range a.RootDomains {
		if bucket, ok := strings.CutSuffix(host, "."+root); ok {
			return bucket
		}
	}
	return ""
}

// checkKey refuses keys that S3 refuses.
func checkKey(key string) error {
	if len(key) > maxKey {
		return s3err.KeyTooLongError.With("Size", itoa(int64(len(key)))).With("MaxSizeAllowed", itoa(maxKey))
	}
	if !utf8.ValidString(key) {
		return s3err.InvalidURI.Msg("The key is not valid UTF-8.")
	}
	if climbs(key) {
		return s3err.InvalidURI.Msg("The key climbs above its root.")
	}
	return nil
}

// climbs reports whether a key, read as a path, leaves its root at some point.
func climbs(key string) bool {
	if !strings.Contains(key, "..") {
		return false
	}
	depth := 0
	for segment := range strings.SplitSeq(key, "/") {
		switch segment {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return true
			}
		default:
			depth++
		}
	}
	return false
}
