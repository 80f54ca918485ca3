package sigv4

import (
	"strings"
	"time"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	service    = "s3"
	terminator = "aws4_request"

	timeFormat = "20060102T150405Z"
	dateFormat = "20060102"

	// maxSignedHeaders bounds the work of comparing sent headers with signed ones.
	maxSignedHeaders = 128
)

// credential is the credential scope with the access key before it: KEY/20130524/us-east-1/s3/aws4_request.
type credential struct {
	accessKey, date, region string
	scope                   string // all after the access key
}

// claim is what a request says of its signature, in the header or in the query.
type claim struct {
	credential
	signedHeaders string
	signature     string
	timestamp     string // as in timeFormat
	time          time.Time
	expires       time.Duration // presigned only
	presigned     bool
}

// malformed words an error about the header or the query in S3's manner.
type malformed struct {
	code  s3err.Code
	intro string
}

var (
	inHeader = malformed{s3err.AuthorizationHeaderMalformed, "The authorization header is malformed; "}
	inQuery  = malformed{s3err.AuthorizationQueryParametersError, "Error parsing the X-Amz-Credential parameter; "}
	inPolicy = malformed{s3err.InvalidArgument, "Error parsing the X-Amz-Credential field; "}
)

func (m malformed) err(format string, args ...any) *s3err.Error {
	return m.code.Msg(m.intro+format, args...)
}

// parseCredential splits from the right, so that an access key may contain a slash.
func (v *Verifier[I]) parseCredential(s string, m malformed) (credential, error) {
	var c credential
	rest, last, ok4 := cutLast(s)
	rest, svc, ok3 := cutLast(rest)
	rest, region, ok2 := cutLast(rest)
	key, date, ok1 := cutLast(rest)
	if !ok1 || !ok2 || !ok3 || !ok4 || key == "" {
		return c, m.err("the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".")
	}
	if _, err := time.Parse(dateFormat, date); err != nil {
		return c, m.err("incorrect date format \"%s\". This date in the credential must be in the format \"yyyyMMdd\".", date)
	}
	if region != v.region && (v.strict || region != compatibleRegion) {
		return c, m.err("the region '%s' is wrong; expecting '%s'", region, v.region).With("Region", v.region)
	}
	if svc != service {
		return c, m.err("incorrect service \"%s\". This endpoint belongs to \"%s\".", svc, service)
	}
	if last != terminator {
		return c, m.err("incorrect terminal \"%s\". This endpoint uses \"%s\".", last, terminator)
	}
	return credential{accessKey: key, date: date, region: region, scope: s[len(key)+1:]}, nil
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}

func oldSignature() error {
	return s3err.InvalidRequest.Msg("The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.")
}

// parseAuthorization reads "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…". The times are not set yet.
func (v *Verifier[I]) parseAuthorization(value string) (claim, error) {
	var c claim
	scheme, rest, _ := strings.Cut(strings.Trim(value, " \t"), " ")
	switch {
	case scheme == algorithm:
	case scheme == "AWS":
		return c, oldSignature()
	case strings.HasPrefix(scheme, "AWS4-ECDSA-"):
		return c, s3err.NotImplemented.Msg("Asymmetric signatures (AWS4-ECDSA-P256-SHA256) are not supported. Please use AWS4-HMAC-SHA256.")
	default:
		return c, s3err.InvalidArgument.Msg("Unsupported Authorization Type").With("ArgumentName", "Authorization").With("ArgumentValue", scheme)
	}

	var cred string
	for rest != "" {
		var field string
		field, rest, _ = strings.Cut(rest, ",")
		name, val, ok := strings.Cut(strings.Trim(field, " \t"), "=")
		var to *string
		switch name {
		case "Credential":
			to = &cred
		case "SignedHeaders":
			to = &c.signedHeaders
		case "Signature":
			to = &c.signature
		}
		if !ok || to == nil || *to != "" {
			return c, inHeader.err("expecting one each of Credential, SignedHeaders and Signature.")
		}
		*to = val
	}
	switch {
	case cred == "":
		return c, inHeader.err("missing Credential.")
	case c.signedHeaders == "":
		return c, inHeader.err("missing SignedHeaders.")
	case c.signature == "":
		return c, inHeader.err("missing Signature.")
	}
	if err := checkSignedHeaders(c.signedHeaders, inHeader); err != nil {
		return c, err
	}
	var err error
	c.credential, err = v.parseCredential(cred, inHeader)
	return c, err
}

// checkSignedHeaders wants lower-case header names separated by semicolons, and no more than a request needs.
func checkSignedHeaders(list string, m malformed) error {
	names, length := 1, 0
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == ';' && length > 0:
			names++
			length = 0
		case lowerToken[c]:
			length++
		default:
			return m.code.Msg("SignedHeaders must be lower-case header names separated by semicolons.")
		}
	}
	if length == 0 || names > maxSignedHeaders {
		return m.code.Msg("SignedHeaders must be between 1 and %d lower-case header names separated by semicolons.", maxSignedHeaders)
	}
	return nil
}

// lowerToken holds the bytes of a header's name (RFC 9110, token) but for capital letters.
var lowerToken = func() (t [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~") {
		t[c] = true
	}
	return t
}()
