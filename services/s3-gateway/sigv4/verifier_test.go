package sigv4

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
	"deuxfleurs.fr/garage/services/s3-gateway/sigv4/sigtest"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func garageSigner() sigtest.Signer {
	return sigtest.Signer{AccessKey: exampleKey, Secret: exampleSecret, Region: "garage", Time: now}
}

func garageVerifier() *Verifier[string] { return New(Config{Region: "garage"}, oneKey) }

func verify(t testing.TB, r *http.Request) (Result[string], error) {
	return garageVerifier().Verify(t.Context(), r, now)
}

func signed(method, target string, change func(r *http.Request)) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	if change != nil {
		change(r)
	}
	garageSigner().Sign(r, sigtest.Unsigned)
	return r
}

func TestASignedRequestIsItsOwners(t *testing.T) {
	res, err := verify(t, signed("GET", "http://s3.example/bucket/key?partNumber=1&versionId=a%2Fb", func(r *http.Request) {
		r.Header.Set("X-Amz-Meta-Note", "  two   spaces ")
		r.Header.Add("X-Amz-Meta-Many", "a")
		r.Header.Add("X-Amz-Meta-Many", "b")
	}))
	require.NoError(t, err)
	require.Equal(t, exampleKey, res.AccessKey)
	require.Equal(t, "the owner", res.Identity)
	require.Nil(t, res.Seed)
}

func TestThePathIsSignedAsReceived(t *testing.T) {
	for _, path := range []string{
		"/", "/b", "/b/", "/b/a/../b", "/b/a//b", "/b/./a", "/b/../../x", "/b/a+b", "/b/a%2Bb", "/b/a%2Fb", "/b/a%252Fb",
		"/b/%25", "/b/caf%C3%A9", "/b/%ff%fe", "/b/a%20b", "/b/a%0Ab", "/b/a(b)!*'", "/b/a%28b", "/b/~", "/b/%7e", "/b//",
		"/b/a=b&c;d", "/b/a:b@c,d$",
	} {
		r := signed("PUT", "http://s3.example"+path, nil)
		_, err := verify(t, r)
		require.NoError(t, err, path)
	}
}

func TestAPathMayBeSignedInTheEncodingInWhichItIsSent(t *testing.T) {
	// A client that leaves '!' and '%2f' alone, signing what it sends.
	s := garageSigner()
	r := httptest.NewRequest("GET", "http://s3.example/b/a!b%2fc", nil)
	r.Header.Set("X-Amz-Date", "20260301T120000Z")
	r.Header.Set("X-Amz-Content-Sha256", sigtest.Unsigned)
	canonical := "GET\n/b/a!b%2fc\n\nhost:s3.example\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:20260301T120000Z\n\nhost;x-amz-content-sha256;x-amz-date\nUNSIGNED-PAYLOAD"
	sig := s.Over("AWS4-HMAC-SHA256\n20260301T120000Z\n20260301/garage/s3/aws4_request\n" + sigtest.Hash([]byte(canonical)))
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+exampleKey+"/20260301/garage/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature="+sig)
	_, err := verify(t, r)
	require.NoError(t, err)

	r.RequestURI = "/b/a!b%2fd"
	_, err = verify(t, r)
	require.ErrorIs(t, err, s3err.SignatureDoesNotMatch)
}

func TestTheQueryIsSortedAndEncoded(t *testing.T) {
	for _, query := range []string{
		"b=2&a=1", "a=2&a=1&a=10", "uploads", "uploads=", "prefix=a+b", "prefix=a%20b", "prefix=%2B", "marker=a/b", "a-b=1&a=2&aB=3",
		"prefix=caf%C3%A9", "&&a=1&", "list-type=2&continuation-token=x==", "prefix=%ff",
	} {
		_, err := verify(t, signed("GET", "http://s3.example/bucket?"+query, nil))
		require.NoError(t, err, query)
	}
}

func TestWhatIsAlteredAfterSigningIsRefused(t *testing.T) {
	for name, alter := range map[string]func(r *http.Request){
		"method":            func(r *http.Request) { r.Method = "DELETE" },
		"host":              func(r *http.Request) { r.Host = "other.example" },
		"path":              func(r *http.Request) { r.RequestURI = "/bucket/keY?a=1" },
		"path's slashes":    func(r *http.Request) { r.RequestURI = "/bucket//key?a=1" },
		"query value":       func(r *http.Request) { r.RequestURI = "/bucket/key?a=2" },
		"query more":        func(r *http.Request) { r.RequestURI = "/bucket/key?a=1&b" },
		"query less":        func(r *http.Request) { r.RequestURI = "/bucket/key" },
		"signed header":     func(r *http.Request) { r.Header.Set("X-Amz-Acl", "public-read") },
		"removed header":    func(r *http.Request) { r.Header.Del("X-Amz-Acl") },
		"doubled header":    func(r *http.Request) { r.Header.Add("X-Amz-Acl", "private") },
		"payload hash":      func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", sigtest.Hash(nil)) },
		"time":              func(r *http.Request) { r.Header.Set("X-Amz-Date", "20260301T120001Z") },
		"signature":         func(r *http.Request) { alterAuthorization(r, "Signature=", "Signature=0") },
		"shorter signature": func(r *http.Request) { h := r.Header; h.Set("Authorization", h.Get("Authorization")[:210]) },
		"signed header list": func(r *http.Request) {
			alterAuthorization(r, "SignedHeaders=host;", "SignedHeaders=host;user-agent;")
		},
		"other region, same key": func(r *http.Request) { alterAuthorization(r, "/garage/", "/us-east-1/") },
	} {
		t.Run(name, func(t *testing.T) {
			r := signed("PUT", "http://s3.example/bucket/key?a=1", func(r *http.Request) { r.Header.Set("X-Amz-Acl", "private") })
			_, err := verify(t, r)
			require.NoError(t, err)
			alter(r)
			_, err = verify(t, r)
			require.ErrorIs(t, err, s3err.SignatureDoesNotMatch)
			e, _ := s3err.From(err)
			require.Equal(t, 403, e.Status())
		})
	}
}

func alterAuthorization(r *http.Request, from, to string) {
	r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), from, to, 1))
}

func TestErrorsOfTheHeader(t *testing.T) {
	change := func(from, to string) func(r *http.Request) {
		return func(r *http.Request) { alterAuthorization(r, from, to) }
	}
	for name, tc := range map[string]struct {
		alter func(r *http.Request)
		want  s3err.Code
		says  string
	}{
		"unknown key":       {change(exampleKey, "AKIANOBODY"), s3err.InvalidAccessKeyId, "does not exist"},
		"region":            {change("/garage/", "/eu-west-1/"), s3err.AuthorizationHeaderMalformed, "the region 'eu-west-1' is wrong; expecting 'garage'"},
		"service":           {change("/s3/", "/ec2/"), s3err.AuthorizationHeaderMalformed, "incorrect service"},
		"terminator":        {change("aws4_request", "aws4"), s3err.AuthorizationHeaderMalformed, "incorrect terminal"},
		"scope's date":      {change("/20260301/", "/20260302/"), s3err.AuthorizationHeaderMalformed, "Invalid credential date"},
		"date's format":     {change("/20260301/", "/2026-03-01/"), s3err.AuthorizationHeaderMalformed, "incorrect date format"},
		"short scope":       {change("/20260301/garage/s3", ""), s3err.AuthorizationHeaderMalformed, "mal-formed"},
		"empty key":         {change(exampleKey, ""), s3err.AuthorizationHeaderMalformed, "mal-formed"},
		"no credential":     {change("Credential=", "Credentials="), s3err.AuthorizationHeaderMalformed, "expecting one each"},
		"twice":             {change("Signature=", "Signature=a, Signature="), s3err.AuthorizationHeaderMalformed, "expecting one each"},
		"no signature":      {func(r *http.Request) { cutAuthorization(r, ", Signature") }, s3err.AuthorizationHeaderMalformed, "missing Signature"},
		"nothing":           {func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256") }, s3err.AuthorizationHeaderMalformed, "missing Credential"},
		"capital header":    {change("host;", "Host;"), s3err.AuthorizationHeaderMalformed, "lower-case"},
		"empty header name": {change("host;", "host;;"), s3err.AuthorizationHeaderMalformed, "lower-case"},
		"too many headers":  {change("host;", strings.Repeat("host;", 200)), s3err.AuthorizationHeaderMalformed, "between 1 and"},
		"host not signed":   {change("host;", ""), s3err.AccessDenied, "not signed"},
		"x-amz not signed":  {func(r *http.Request) { r.Header.Set("X-Amz-Meta-A", "b") }, s3err.AccessDenied, "not signed"},
		"old signature":     {func(r *http.Request) { r.Header.Set("Authorization", "AWS AKIA:c2ln") }, s3err.InvalidRequest, "AWS4-HMAC-SHA256"},
		"asymmetric":        {change("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), s3err.NotImplemented, "Asymmetric"},
		"basic":             {func(r *http.Request) { r.SetBasicAuth("a", "b") }, s3err.InvalidArgument, "Unsupported Authorization Type"},
		"empty":             {func(r *http.Request) { r.Header.Set("Authorization", "") }, s3err.InvalidArgument, "Unsupported Authorization Type"},
		"two headers":       {func(r *http.Request) { r.Header.Add("Authorization", "x") }, s3err.InvalidArgument, "Only one auth mechanism"},
		"also in the query": {func(r *http.Request) { r.RequestURI += "?X-Amz-Signature=00" }, s3err.InvalidArgument, "Only one auth mechanism"},
		"also version 2":    {func(r *http.Request) { r.RequestURI += "?AWSAccessKeyId=a&Signature=00" }, s3err.InvalidArgument, "Only one auth mechanism"},
		"no payload hash":   {func(r *http.Request) { r.Header.Del("X-Amz-Content-Sha256") }, s3err.InvalidRequest, "Missing required header"},
		"bad payload hash":  {func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "zz") }, s3err.InvalidArgument, "x-amz-content-sha256 must be"},
		"two payload hashes": {func(r *http.Request) { r.Header.Add("X-Amz-Content-Sha256", "zz") },
			s3err.InvalidArgument, "given once"},
		"asymmetric payload": {func(r *http.Request) {
			r.Header.Set("X-Amz-Content-Sha256", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD")
		}, s3err.NotImplemented, "Asymmetric"},
		"no date":         {func(r *http.Request) { r.Header.Del("X-Amz-Date") }, s3err.AccessDenied, "valid Date"},
		"bad date":        {func(r *http.Request) { r.Header.Set("X-Amz-Date", "yesterday") }, s3err.AccessDenied, "valid Date"},
		"token":           {signedToken, s3err.InvalidToken, "token"},
		"bad path escape": {func(r *http.Request) { r.RequestURI = "/bucket/%zz" }, s3err.InvalidURI, "percent escape"},
		"cut path escape": {func(r *http.Request) { r.RequestURI = "/bucket/%2" }, s3err.InvalidURI, "percent escape"},
		"bad query":       {func(r *http.Request) { r.RequestURI = "/bucket?a=%zz" }, s3err.InvalidURI, "percent escape"},
	} {
		t.Run(name, func(t *testing.T) {
			r := signed("GET", "http://s3.example/bucket/key", nil)
			tc.alter(r)
			_, err := verify(t, r)
			require.ErrorIs(t, err, tc.want)
			e, _ := s3err.From(err)
			require.Contains(t, e.Message, tc.says)
			if name == "region" {
				require.Contains(t, e.Fields, s3err.Field{Name: "Region", Value: "garage"})
			}
		})
	}
}

func signedToken(r *http.Request) {
	r.Header.Set("X-Amz-Security-Token", "temporary")
	garageSigner().Sign(r, sigtest.Unsigned)
}

func cutAuthorization(r *http.Request, from string) {
	before, _, _ := strings.Cut(r.Header.Get("Authorization"), from)
	r.Header.Set("Authorization", before)
}

func TestTheClockMayBeQuarterOfAnHourApart(t *testing.T) {
	v := garageVerifier()
	for _, skew := range []time.Duration{-15 * time.Minute, 0, 15 * time.Minute} {
		_, err := v.Verify(t.Context(), signed("GET", "http://s3.example/", nil), now.Add(skew))
		require.NoError(t, err, skew)
	}
	for _, skew := range []time.Duration{-15*time.Minute - time.Second, 15*time.Minute + time.Second, 48 * time.Hour} {
		_, err := v.Verify(t.Context(), signed("GET", "http://s3.example/", nil), now.Add(skew))
		require.ErrorIs(t, err, s3err.RequestTimeTooSkewed, skew)
		e, _ := s3err.From(err)
		require.Equal(t, "RequestTime", e.Fields[0].Name)
	}
}

func TestTheDateHeaderServesWhereThereIsNoAmzDate(t *testing.T) {
	s := garageSigner()
	r := httptest.NewRequest("GET", "http://s3.example/", nil)
	r.Header.Set("Date", now.Format(http.TimeFormat))
	r.Header.Set("X-Amz-Content-Sha256", sigtest.Unsigned)
	canonical := "GET\n/\n\ndate:" + now.Format(http.TimeFormat) + "\nhost:s3.example\nx-amz-content-sha256:UNSIGNED-PAYLOAD\n\ndate;host;x-amz-content-sha256\nUNSIGNED-PAYLOAD"
	sig := s.Over("AWS4-HMAC-SHA256\n20260301T120000Z\n20260301/garage/s3/aws4_request\n" + sigtest.Hash([]byte(canonical)))
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+exampleKey+"/20260301/garage/s3/aws4_request,SignedHeaders=date;host;x-amz-content-sha256,Signature="+sig)
	_, err := verify(t, r)
	require.NoError(t, err)
}

func TestUsEast1IsAcceptedUnlessStrict(t *testing.T) {
	s := garageSigner()
	s.Region = "us-east-1"
	r := httptest.NewRequest("GET", "http://s3.example/", nil)
	s.Sign(r, sigtest.Unsigned)
	_, err := verify(t, r)
	require.NoError(t, err)

	strict := New(Config{Region: "garage", Strict: true}, oneKey)
	_, err = strict.Verify(t.Context(), r, now)
	require.ErrorIs(t, err, s3err.AuthorizationHeaderMalformed)
}

func TestARequestWithoutSignatureIsAnonymous(t *testing.T) {
	r := httptest.NewRequest("GET", "http://s3.example/bucket/key?versionId=1", nil)
	res, err := verify(t, r)
	require.NoError(t, err)
	require.True(t, res.Anonymous)
	require.Empty(t, res.AccessKey)

	r.Header.Set("X-Amz-Content-Sha256", sigtest.StreamUnsignedTrailer)
	res, err = verify(t, r)
	require.NoError(t, err)
	require.Equal(t, PayloadStreamUnsignedTrailer, res.Payload.Kind)

	r.Header.Set("X-Amz-Content-Sha256", sigtest.StreamSigned)
	_, err = verify(t, r)
	require.ErrorIs(t, err, s3err.AccessDenied)
}

func TestForwardedHostIsNotTrusted(t *testing.T) {
	r := signed("GET", "http://s3.example/", nil)
	r.Header.Set("X-Forwarded-Host", "s3.example")
	r.Host = "internal:3900"
	_, err := verify(t, r)
	require.ErrorIs(t, err, s3err.SignatureDoesNotMatch)
}

func TestTheAbsoluteFormOfATargetIsTheSame(t *testing.T) {
	r := signed("GET", "http://s3.example/b/a/../c?a=1", nil)
	r.RequestURI = "http://s3.example/b/a/../c?a=1"
	_, err := verify(t, r)
	require.NoError(t, err)

	r = signed("GET", "http://s3.example/?a=1", nil)
	r.RequestURI = "http://s3.example?a=1"
	_, err = verify(t, r)
	require.NoError(t, err)
}

func TestAFailingLookupIsPassedOn(t *testing.T) {
	v := New(Config{Region: "garage"}, func(context.Context, string) (string, string, error) {
		return "", "", io.ErrUnexpectedEOF
	})
	_, err := v.Verify(t.Context(), signed("GET", "http://s3.example/", nil), now)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	_, isS3 := s3err.From(err)
	require.False(t, isS3)
}

func TestAChangedSecretTakesEffectAtOnce(t *testing.T) {
	secret := exampleSecret
	v := New(Config{Region: "garage"}, func(context.Context, string) (string, string, error) { return secret, "", nil })
	r := signed("GET", "http://s3.example/", nil)
	_, err := v.Verify(t.Context(), r, now)
	require.NoError(t, err)
	secret = "another"
	_, err = v.Verify(t.Context(), r, now)
	require.ErrorIs(t, err, s3err.SignatureDoesNotMatch)
}

func TestTheKeyCacheIsBounded(t *testing.T) {
	c := newKeyCache(8)
	for i := range 1000 {
		id := keyID{accessKey: "k", secret: "s", date: "20260301", region: strings.Repeat("x", i)}
		require.Equal(t, deriveKey("s", "20260301", id.region), c.get(id))
		require.Equal(t, deriveKey("s", "20260301", id.region), c.get(id))
		require.LessOrEqual(t, len(c.young)+len(c.old), 8)
	}
}

func TestAMismatchTellsWhatWasSignedAndNoSecret(t *testing.T) {
	r := signed("GET", "http://s3.example/bucket", nil)
	good := r.Header.Get("Authorization")
	r.Method = "HEAD"
	_, err := verify(t, r)
	var e *s3err.Error
	require.True(t, errors.As(err, &e))
	var all string
	for _, f := range e.Fields {
		all += f.Name + "=" + f.Value + "\n"
	}
	require.Contains(t, all, "CanonicalRequest=HEAD\n/bucket\n")
	require.NotContains(t, all, exampleSecret)
	r.Method = "GET"
	r.Header.Set("Authorization", good)
	_, err = verify(t, r)
	require.NoError(t, err)
}
