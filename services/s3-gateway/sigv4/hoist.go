package sigv4

import (
	"net/http"
	"net/textproto"
	"strings"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

// hoist puts back among the headers what a presigned request has in its query in their place: some SDKs move all
// x-amz-* headers there, where the signature covers them as well. A header that was sent stays.
//
// The checksum of the body is left where it is, unless it is named as a signed header: SDKs put that of an empty body
// there, because they do not know the body yet, and S3 ignores it.
func hoist(r *http.Request, q *query, c *claim) error {
	for _, p := range q.params {
		name := strings.ToLower(decodeCanonical(p.name))
		if !hoisted(name) {
			continue
		}
		isSum := strings.HasPrefix(name, "x-amz-checksum-") && name != "x-amz-checksum-mode" || name == "x-amz-sdk-checksum-algorithm"
		if isSum && !signs(c.signedHeaders, name) {
			continue
		}
		key := textproto.CanonicalMIMEHeaderKey(name)
		if _, sent := r.Header[key]; sent {
			continue
		}
		value := decodeCanonical(p.value)
		if !validHeader(name, value) {
			return s3err.InvalidArgument.Msg("The query parameter %s is no valid header.", name).With("ArgumentName", name)
		}
		r.Header[key] = []string{value}
	}
	return nil
}

// hoisted reports whether a query parameter (lower-case name) of a presigned request stands for a header.
func hoisted(name string) bool {
	switch name {
	case "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders", "x-amz-signature",
		"x-amz-security-token", "x-amz-content-sha256":
		return false
	case "if-match", "if-none-match":
		return true
	}
	return strings.HasPrefix(name, "x-amz-")
}

func validHeader(name, value string) bool {
	for i := range len(name) {
		if !lowerToken[name[i]] {
			return false
		}
	}
	for i := range len(value) {
		if value[i] < ' ' && value[i] != '\t' || value[i] == 0x7f {
			return false
		}
	}
	return true
}
