package sigv4

import (
	"strconv"
	"time"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

// maxExpires is S3's limit for a presigned request: seven days.
const maxExpires = 7 * 24 * time.Hour

// The parameters of a presigned request.
const (
	paramAlgorithm     = "X-Amz-Algorithm"
	paramCredential    = "X-Amz-Credential"
	paramDate          = "X-Amz-Date"
	paramExpires       = "X-Amz-Expires"
	paramSignedHeaders = "X-Amz-SignedHeaders"
	paramSignature     = "X-Amz-Signature"
	paramToken         = "X-Amz-Security-Token"
	paramContentSHA256 = "X-Amz-Content-Sha256"
)

func queryErr(format string, args ...any) *s3err.Error {
	return s3err.AuthorizationQueryParametersError.Msg(format, args...)
}

// parsePresigned reads the parameters of a presigned request and its times.
func (v *Verifier[I]) parsePresigned(q *query) (claim, error) {
	c := claim{presigned: true}
	var alg, cred, expires string
	for _, p := range []struct {
		name string
		to   *string
	}{
		{paramAlgorithm, &alg},
		{paramCredential, &cred},
		{paramSignature, &c.signature},
		{paramDate, &c.timestamp},
		{paramSignedHeaders, &c.signedHeaders},
		{paramExpires, &expires},
	} {
		value, n := q.get(p.name)
		if n > 1 {
			return c, queryErr("The query parameter %s must be given once.", p.name)
		}
		if n == 0 || value == "" {
			return c, queryErr("Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.")
		}
		*p.to = value
	}
	if alg != algorithm {
		return c, queryErr("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"")
	}
	if err := checkSignedHeaders(c.signedHeaders, inQuery); err != nil {
		return c, err
	}

	seconds, err := strconv.ParseInt(expires, 10, 64)
	switch {
	case err != nil:
		return c, queryErr("X-Amz-Expires should be a number")
	case seconds < 0:
		return c, queryErr("X-Amz-Expires must be non-negative")
	case seconds == 0:
		return c, queryErr("X-Amz-Expires must be at least 1 second")
	case seconds > int64(maxExpires/time.Second):
		return c, queryErr("X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds")
	}
	c.expires = time.Duration(seconds) * time.Second

	if c.time, err = time.Parse(timeFormat, c.timestamp); err != nil {
		return c, queryErr("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
	}
	if c.credential, err = v.parseCredential(cred, inQuery); err != nil {
		return c, err
	}
	if c.date != c.timestamp[:len(dateFormat)] {
		return c, inQuery.err("incorrect date \"%s\". This date must be the same as X-Amz-Date: \"%s\".", c.date, c.timestamp[:len(dateFormat)])
	}
	return c, nil
}

// checkPresignedTime refuses a presigned request before and after its time.
func (v *Verifier[I]) checkPresignedTime(c claim, now time.Time) error {
	if c.time.After(now.Add(v.maxSkew)) {
		return s3err.AccessDenied.Msg("Request is not valid yet").
			With("X-Amz-Date", c.timestamp).
			With("ServerTime", now.UTC().Format(time.RFC3339))
	}
	if end := c.time.Add(c.expires); !now.Before(end) {
		return s3err.AccessDenied.Msg("Request has expired").
			With("X-Amz-Expires", strconv.FormatInt(int64(c.expires/time.Second), 10)).
			With("Expires", end.UTC().Format(time.RFC3339)).
			With("ServerTime", now.UTC().Format(time.RFC3339))
	}
	return nil
}
