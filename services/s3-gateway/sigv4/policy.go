package sigv4

import (
	"context"
	"time"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

// PolicyAuth is what a POST form says of the signature of its policy.
type PolicyAuth struct {
	Algorithm  string // x-amz-algorithm
	Credential string // x-amz-credential
	Date       string // x-amz-date
	Signature  string // x-amz-signature
	Token      string // x-amz-security-token; must be empty
	Policy     string // policy, in base64 as sent: this is what is signed
}

// VerifyPolicy checks the signature of a form's policy. The time of the form is checked only against its credential:
// the policy says itself how long it holds.
func (v *Verifier[I]) VerifyPolicy(ctx context.Context, a PolicyAuth) (Result[I], error) {
	var none Result[I]
	for _, f := range []struct{ name, value string }{
		{"X-Amz-Algorithm", a.Algorithm}, {"X-Amz-Credential", a.Credential},
		{"X-Amz-Date", a.Date}, {"X-Amz-Signature", a.Signature},
	} {
		if f.value == "" {
			return none, s3err.InvalidArgument.Msg("Bucket POST must contain a field named '%s'.  If it is specified, please check the order of the fields.", f.name).
				With("ArgumentName", f.name)
		}
	}
	if a.Algorithm != algorithm {
		return none, s3err.InvalidArgument.Msg("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"").
			With("ArgumentName", "X-Amz-Algorithm").With("ArgumentValue", a.Algorithm)
	}
	if a.Token != "" {
		return none, s3err.InvalidToken
	}
	if _, err := time.Parse(timeFormat, a.Date); err != nil {
		return none, s3err.InvalidArgument.Msg("X-Amz-Date must be formatted as ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"").
			With("ArgumentName", "X-Amz-Date").With("ArgumentValue", a.Date)
	}
	c, err := v.parseCredential(a.Credential, inPolicy)
	if err != nil {
		return none, err
	}
	if day := a.Date[:len(dateFormat)]; c.date != day {
		return none, inPolicy.err("incorrect date \"%s\". This date must be the same as X-Amz-Date: \"%s\".", c.date, day)
	}
	key, identity, err := v.signingKey(ctx, c)
	if err != nil {
		return none, err
	}
	if !Equal(sign(&key, []byte(a.Policy)), a.Signature) {
		return none, s3err.SignatureDoesNotMatch.With("AWSAccessKeyId", c.accessKey).
			With("StringToSign", a.Policy).With("SignatureProvided", a.Signature)
	}
	return Result[I]{AccessKey: c.accessKey, Identity: identity}, nil
}
