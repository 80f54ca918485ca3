package sigv4

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

// target splits the request target as received into its raw path and raw query. The absolute form, which proxies use,
// loses its scheme and authority.
func target(r *http.Request) (path, rawQuery string) {
	uri := r.RequestURI
	if uri == "" { // a request that no server read
		return r.URL.EscapedPath(), r.URL.RawQuery
	}
	if uri[0] != '/' {
		if i := strings.Index(uri, "://"); i >= 0 {
			uri = uri[i+3:]
			if j := strings.IndexAny(uri, "/?"); j >= 0 {
				uri = uri[j:]
			} else {
				uri = ""
			}
		}
	}
	path, rawQuery, _ = strings.Cut(uri, "?")
	if path == "" {
		path = "/"
	}
	return path, rawQuery
}

// unreserved holds the bytes that AWS does not percent-encode.
var unreserved = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") {
		t[c] = true
	}
	return t
}()

const upperHex = "0123456789ABCDEF"

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// appendCanonical decodes raw once and encodes it once in AWS's way. The byte "plain" is left as it is ('/' in paths; 0
// for none); in a query '+' means a space. It reports whether every percent escape is valid.
func appendCanonical(dst []byte, raw string, plain byte, plusIsSpace bool) ([]byte, bool) {
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c == '%':
			if i+2 >= len(raw) {
				return dst, false
			}
			hi, ok1 := unhex(raw[i+1])
			lo, ok2 := unhex(raw[i+2])
			if !ok1 || !ok2 {
				return dst, false
			}
			c = hi<<4 | lo
			i += 2
		case c == '+' && plusIsSpace:
			c = ' '
		}
		if unreserved[c] || (c == plain && plain != 0) {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return dst, true
}

// canonicalParam is appendCanonical for one name or value of a query; it allocates only if the result differs.
func canonicalParam(raw string) (string, bool) {
	same := true
	for i := 0; i < len(raw); i++ {
		if !unreserved[raw[i]] {
			same = false
			break
		}
	}
	if same {
		return raw, true
	}
	out, ok := appendCanonical(make([]byte, 0, len(raw)+16), raw, 0, true)
	return string(out), ok
}

type param struct{ name, value string } // both in canonical encoding

// query is the query of a request in canonical encoding, in the order received until it is sorted.
type query struct {
	params []param
	room   [12]param
}

func badEscape() error {
	return s3err.InvalidURI.Msg("Couldn't parse the specified URI: it contains an invalid percent escape.")
}

func (q *query) parse(raw string) error {
	q.params = q.room[:0]
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		n, ok1 := canonicalParam(name)
		v, ok2 := canonicalParam(value)
		if !ok1 || !ok2 {
			return badEscape()
		}
		q.params = append(q.params, param{n, v})
	}
	return nil
}

// get gives the decoded value of a parameter and how often it occurs; the name needs no encoding.
func (q *query) get(name string) (value string, count int) {
	for _, p := range q.params {
		if p.name == name {
			if count == 0 {
				value = p.value
			}
			count++
		}
	}
	if strings.IndexByte(value, '%') >= 0 {
		value = decodeCanonical(value)
	}
	return value, count
}

// decodeCanonical undoes canonicalParam, whose escapes are always valid.
func decodeCanonical(s string) string {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			hi, _ := unhex(s[i+1])
			lo, _ := unhex(s[i+2])
			c = hi<<4 | lo
			i += 2
		}
		out = append(out, c)
	}
	return string(out)
}

// sort puts the parameters in the order in which they are signed.
func (q *query) sort() {
	slices.SortFunc(q.params, func(a, b param) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
}

// appendTo writes the canonical query; presigned leaves the signature itself out.
func (q *query) appendTo(dst []byte, presigned bool) []byte {
	first := true
	for _, p := range q.params {
		if presigned && p.name == paramSignature {
			continue
		}
		if !first {
			dst = append(dst, '&')
		}
		first = false
		dst = append(dst, p.name...)
		dst = append(dst, '=')
		dst = append(dst, p.value...)
	}
	return dst
}

// appendRequest writes the canonical request. The path is already in the form in which it is signed.
func appendRequest(dst []byte, r *http.Request, path []byte, q *query, c *claim, payload string) []byte {
	dst = append(dst, r.Method...)
	dst = append(dst, '\n')
	dst = append(dst, path...)
	dst = append(dst, '\n')
	dst = q.appendTo(dst, c.presigned)
	dst = append(dst, '\n')
	for list := c.signedHeaders; list != ""; {
		var name string
		name, list, _ = strings.Cut(list, ";")
		dst = append(dst, name...)
		dst = append(dst, ':')
		dst = appendHeader(dst, r, name)
		dst = append(dst, '\n')
	}
	dst = append(dst, '\n')
	dst = append(dst, c.signedHeaders...)
	dst = append(dst, '\n')
	return append(dst, payload...)
}

// appendHeader writes the canonical value of a header: values trimmed, runs of spaces made one, several values joined
// with commas. What net/http takes out of the header map is put back.
func appendHeader(dst []byte, r *http.Request, lower string) []byte {
	switch lower {
	case "host":
		return append(dst, r.Host...)
	case "transfer-encoding":
		for i, v := range r.TransferEncoding {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, v...)
		}
		return dst
	}
	values, ok := lookup(r.Header, lower)
	if !ok {
		switch {
		case lower == "content-length" && r.ContentLength >= 0:
			return strconv.AppendInt(dst, r.ContentLength, 10)
		case lower == "expect" && r.ProtoMajor >= 2: // HTTP/2 servers answer it themselves and drop it
			return append(dst, "100-continue"...)
		}
	}
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendCollapsed(dst, v)
	}
	return dst
}

func appendCollapsed(dst []byte, v string) []byte {
	v = strings.Trim(v, " \t")
	space := false
	for i := 0; i < len(v); i++ {
		if v[i] == ' ' && space {
			continue
		}
		space = v[i] == ' '
		dst = append(dst, v[i])
	}
	return dst
}

// lookup finds a header by its lower-case name, without allocating.
func lookup(h http.Header, lower string) ([]string, bool) {
	var room [64]byte
	key := room[:0]
	up := true
	for i := 0; i < len(lower); i++ {
		c := lower[i]
		if up && 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		up = c == '-'
		key = append(key, c)
	}
	v, ok := h[string(key)]
	return v, ok
}

// checkAllSigned wants host and every x-amz-* header among the signed ones. A presigned request may say more of its
// body than was known when it was signed.
func checkAllSigned(r *http.Request, c *claim) error {
	var missing []string
	if !signs(c.signedHeaders, "host") {
		missing = append(missing, "host")
	}
	for name := range r.Header {
		if len(name) > 6 && strings.EqualFold(name[:6], "x-amz-") && !signs(c.signedHeaders, name) && !(c.presigned && name == contentSHA256) {
			missing = append(missing, strings.ToLower(name))
		}
	}
	if missing == nil {
		return nil
	}
	slices.Sort(missing)
	return s3err.AccessDenied.Msg("There were headers present in the request which were not signed").
		With("HeadersNotSigned", strings.Join(missing, ", "))
}

func signs(list, name string) bool {
	for list != "" {
		var n string
		n, list, _ = strings.Cut(list, ";")
		if len(n) == len(name) && strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}
