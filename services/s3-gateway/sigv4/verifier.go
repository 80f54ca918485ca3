package sigv4

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

const (
	// compatibleRegion is the region that clients without a setting sign for; accepted unless strict.
	compatibleRegion = "us-east-1"

	defaultMaxSkew   = 15 * time.Minute
	defaultCacheSize = 4096

	// maxPooled is the size of the largest buffer that is kept for the next request.
	maxPooled = 64 << 10
)

// ErrUnknownKey is what a Lookup answers, possibly wrapped, for an access key that does not exist.
var ErrUnknownKey = errors.New("unknown access key")

// Lookup finds the secret of an access key, and who its owner is. It fails with ErrUnknownKey for a key that does not
// exist or may not be used; any other error is handed to the caller of Verify unchanged.
type Lookup[I any] func(ctx context.Context, accessKey string) (secret string, identity I, err error)

// Config says what a Verifier accepts.
type Config struct {
	Region    string        // the region requests must be signed for
	Strict    bool          // accept no other region; otherwise us-east-1 as well
	MaxSkew   time.Duration // how far a request's time may be from ours; 15 minutes if zero
	CacheSize int           // how many derived signing keys are kept; 4096 if zero
}

// Verifier checks signatures. It is safe for use by several goroutines.
type Verifier[I any] struct {
	lookup  Lookup[I]
	region  string
	strict  bool
	maxSkew time.Duration
	keys    *keyCache
}

// New makes a Verifier that asks lookup for secrets.
func New[I any](c Config, lookup Lookup[I]) *Verifier[I] {
	if c.MaxSkew == 0 {
		c.MaxSkew = defaultMaxSkew
	}
	if c.CacheSize == 0 {
		c.CacheSize = defaultCacheSize
	}
	return &Verifier[I]{lookup: lookup, region: c.Region, strict: c.Strict, maxSkew: c.MaxSkew, keys: newKeyCache(c.CacheSize)}
}

// Result is what a request's signature says.
type Result[I any] struct {
	Anonymous bool    // no signature at all; AccessKey and Identity are empty
	Presigned bool    // the signature was in the query
	AccessKey string  // whose signature it is
	Identity  I       // what Lookup said of its owner
	Payload   Payload // how the body must be read
	Seed      *Seed   // for a body whose chunks are signed, otherwise nil
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// Verify checks the signature of a request as received by an HTTP server at the time now. A request without any
// signature is anonymous, which is no error. What a presigned request has in its query in place of headers is put among
// r.Header. Errors carry S3's codes (package s3err), but for what Lookup failed with.
func (v *Verifier[I]) Verify(ctx context.Context, r *http.Request, now time.Time) (Result[I], error) {
	var none Result[I]
	path, rawQuery := target(r)
	var q query
	if err := q.parse(rawQuery); err != nil {
		return none, err
	}
	authorization, inHead := r.Header["Authorization"]
	inQuery, old := queryAuth(&q)
	switch {
	case len(authorization) > 1 || inHead && (inQuery || old):
		return none, s3err.InvalidArgument.Msg("Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified").
			With("ArgumentName", "Authorization")
	case old:
		return none, oldSignature()
	case !inHead && !inQuery:
		return v.anonymous(r)
	}

	var c claim
	var err error
	if inHead {
		c, err = v.headerClaim(r, authorization[0], now)
	} else if c, err = v.parsePresigned(&q); err == nil {
		err = v.checkPresignedTime(c, now)
	}
	if err != nil {
		return none, err
	}
	if err := checkAllSigned(r, &c); err != nil {
		return none, err
	}
	if c.presigned {
		if err := hoist(r, &q, &c); err != nil {
			return none, err
		}
	}
	if hasToken(r, &q) {
		return none, s3err.InvalidToken
	}
	declared, signed, err := declaredPayload(r, &q, &c)
	if err != nil {
		return none, err
	}
	payload, err := parsePayload(declared)
	if err != nil {
		return none, err
	}
	return v.verifySignature(ctx, r, path, &q, &c, signed, payload)
}

// verifySignature is the last step: find the secret and compare.
func (v *Verifier[I]) verifySignature(ctx context.Context, r *http.Request, path string, q *query, c *claim, declared string, payload Payload) (Result[I], error) {
	var none Result[I]
	key, identity, err := v.signingKey(ctx, c.credential)
	if err != nil {
		return none, err
	}

	q.sort()
	buf := buffers.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= maxPooled {
			buffers.Put(buf)
		}
	}()
	signedPath, ok := appendCanonical((*buf)[:0], path, '/', false)
	if !ok {
		return none, badEscape()
	}
	n := len(signedPath)
	all := appendRequest(signedPath, r, signedPath, q, c, declared)
	canonical := all[n:]
	all = appendStringToSign(all, c, canonical)
	*buf = all
	toSign := all[n+len(canonical):]
	if !Equal(sign(&key, toSign), c.signature) {
		if string(signedPath) == path || !v.signsRawPath(r, path, q, c, declared, &key) {
			return none, mismatch(c, canonical, toSign)
		}
	}

	res := Result[I]{Presigned: c.presigned, AccessKey: c.accessKey, Identity: identity, Payload: payload}
	if payload.Kind == PayloadStreamSigned || payload.Kind == PayloadStreamSignedTrailer {
		res.Seed = &Seed{Key: key, Timestamp: c.timestamp, Scope: c.scope, Signature: c.signature}
	}
	return res, nil
}

// signsRawPath is for a client that signs the path in the encoding in which it sends it, where that is not AWS's own. It
// decodes to the same key.
func (v *Verifier[I]) signsRawPath(r *http.Request, path string, q *query, c *claim, declared string, key *[32]byte) bool {
	canonical := appendRequest(nil, r, []byte(path), q, c, declared)
	return Equal(sign(key, appendStringToSign(nil, c, canonical)), c.signature)
}

func (v *Verifier[I]) signingKey(ctx context.Context, c credential) (key [32]byte, identity I, err error) {
	secret, identity, err := v.lookup(ctx, c.accessKey)
	if errors.Is(err, ErrUnknownKey) {
		return key, identity, s3err.InvalidAccessKeyId.With("AWSAccessKeyId", c.accessKey).By(err)
	}
	if err != nil {
		return key, identity, fmt.Errorf("look up the secret of access key %q: %w", c.accessKey, err)
	}
	return v.keys.get(keyID{c.accessKey, secret, c.date, c.region}), identity, nil
}

// mismatch tells the client what we signed, as S3 does, so that it can compare. Nothing in it is secret.
func mismatch(c *claim, canonical, toSign []byte) error {
	return s3err.SignatureDoesNotMatch.With("AWSAccessKeyId", c.accessKey).
		With("StringToSign", string(toSign)).
		With("SignatureProvided", c.signature).
		With("CanonicalRequest", string(canonical))
}

// queryAuth reports whether the query carries a signature of version 4, or of version 2.
func queryAuth(q *query) (v4, v2 bool) {
	var oldKey, oldSignature bool
	for _, p := range q.params {
		switch p.name {
		case paramAlgorithm, paramCredential, paramSignature:
			v4 = true
		case "AWSAccessKeyId":
			oldKey = true
		case "Signature":
			oldSignature = true
		}
	}
	return v4, oldKey && oldSignature
}

func (v *Verifier[I]) anonymous(r *http.Request) (Result[I], error) {
	res := Result[I]{Anonymous: true}
	if value := r.Header.Get(contentSHA256); value != "" {
		var err error
		if res.Payload, err = parsePayload(value); err != nil {
			return Result[I]{}, err
		}
		if k := res.Payload.Kind; k == PayloadStreamSigned || k == PayloadStreamSignedTrailer {
			return Result[I]{}, s3err.AccessDenied.Msg("Access Denied: the chunks of the body are signed, but the request is not")
		}
	}
	return res, nil
}

// headerClaim reads the Authorization header and the time of the request, and checks the time.
func (v *Verifier[I]) headerClaim(r *http.Request, authorization string, now time.Time) (claim, error) {
	c, err := v.parseAuthorization(authorization)
	if err != nil {
		return c, err
	}
	sent := r.Header.Get("X-Amz-Date")
	if sent == "" {
		sent = r.Header.Get("Date")
	}
	if sent == "" {
		return c, s3err.AccessDenied.Msg("AWS authentication requires a valid Date or x-amz-date header")
	}
	if c.time, err = time.Parse(timeFormat, sent); err != nil {
		if c.time, err = http.ParseTime(sent); err != nil {
			return c, s3err.AccessDenied.Msg("AWS authentication requires a valid Date or x-amz-date header")
		}
	}
	c.timestamp = sent
	if len(sent) != len(timeFormat) {
		c.timestamp = c.time.UTC().Format(timeFormat)
	}
	if day := c.timestamp[:len(dateFormat)]; c.date != day {
		return c, inHeader.err("Invalid credential date \"%s\". This date is not the same as X-Amz-Date: \"%s\".", c.date, day)
	}
	if d := now.Sub(c.time); d > v.maxSkew || d < -v.maxSkew {
		return c, s3err.RequestTimeTooSkewed.With("RequestTime", sent).
			With("ServerTime", now.UTC().Format(time.RFC3339)).
			With("MaxAllowedSkewMilliseconds", fmt.Sprint(v.maxSkew.Milliseconds()))
	}
	return c, nil
}

// hasToken reports a token of temporary credentials, which do not exist here: every key is a long-term one.
func hasToken(r *http.Request, q *query) bool {
	if r.Header.Get(paramToken) != "" {
		return true
	}
	value, _ := q.get(paramToken)
	return value != ""
}

// declaredPayload is what the request says of its body, and what of it is the last line of the canonical request. A
// presigned request may leave it out, or say it without signing it.
func declaredPayload(r *http.Request, q *query, c *claim) (declared, signed string, err error) {
	values := r.Header[contentSHA256]
	if len(values) > 1 {
		return "", "", s3err.InvalidArgument.Msg("x-amz-content-sha256 must be given once.").With("ArgumentName", "x-amz-content-sha256")
	}
	if len(values) == 1 {
		declared = strings.Trim(values[0], " \t")
		if !c.presigned || signs(c.signedHeaders, contentSHA256) {
			return declared, declared, nil
		}
	} else if !c.presigned {
		return "", "", s3err.InvalidRequest.Msg("Missing required header for this request: x-amz-content-sha256")
	}
	signed, n := q.get(paramContentSHA256)
	switch {
	case n > 1:
		return "", "", queryErr("The query parameter %s must be given once.", paramContentSHA256)
	case n == 0:
		signed = unsignedPayload
	case signed != unsignedPayload && declared != "" && declared != signed:
		return "", "", s3err.AccessDenied.Msg("The header x-amz-content-sha256 is not signed, and differs from the query parameter, which is.")
	}
	if declared == "" {
		declared = signed
	}
	return declared, signed, nil
}
