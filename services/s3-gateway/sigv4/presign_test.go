package sigv4

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
	"deuxfleurs.fr/garage/services/s3-gateway/sigv4/sigtest"
)

func presigned(t testing.TB, method, target string, expires time.Duration) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	garageSigner().Presign(r, expires)
	return r
}

func TestAPresignedRequestHoldsUntilItExpires(t *testing.T) {
	r := presigned(t, "GET", "http://s3.example/bucket/a/../b?response-content-type=text%2Fplain", time.Hour)
	v := garageVerifier()
	for _, at := range []time.Duration{-15 * time.Minute, 0, time.Hour - time.Second} {
		res, err := v.Verify(t.Context(), r, now.Add(at))
		require.NoError(t, err, at)
		require.True(t, res.Presigned)
	}
	_, err := v.Verify(t.Context(), r, now.Add(time.Hour))
	require.ErrorIs(t, err, s3err.AccessDenied)
	e, _ := s3err.From(err)
	require.Equal(t, "Request has expired", e.Message)
	require.Contains(t, e.Fields, s3err.Field{Name: "X-Amz-Expires", Value: "3600"})

	_, err = v.Verify(t.Context(), r, now.Add(-15*time.Minute-time.Second))
	require.ErrorIs(t, err, s3err.AccessDenied)
}

func TestAPresignedRequestMayHoldAWeek(t *testing.T) {
	v := garageVerifier()
	r := presigned(t, "GET", "http://s3.example/bucket/key", 604800*time.Second)
	_, err := v.Verify(t.Context(), r, now.Add(7*24*time.Hour-time.Second))
	require.NoError(t, err)
}

func TestErrorsOfThePresignedQuery(t *testing.T) {
	set := func(name, value string) func(q url.Values) { return func(q url.Values) { q.Set(name, value) } }
	for name, tc := range map[string]struct {
		alter func(q url.Values)
		want  s3err.Code
		says  string
	}{
		"expires 0":          {set("X-Amz-Expires", "0"), s3err.AuthorizationQueryParametersError, "at least 1"},
		"expires negative":   {set("X-Amz-Expires", "-1"), s3err.AuthorizationQueryParametersError, "non-negative"},
		"expires word":       {set("X-Amz-Expires", "soon"), s3err.AuthorizationQueryParametersError, "number"},
		"expires long":       {set("X-Amz-Expires", "604801"), s3err.AuthorizationQueryParametersError, "week"},
		"expires longer":     {set("X-Amz-Expires", "60"), s3err.SignatureDoesNotMatch, ""},
		"algorithm":          {set("X-Amz-Algorithm", "AWS4-HMAC-SHA1"), s3err.AuthorizationQueryParametersError, "only supports"},
		"date":               {set("X-Amz-Date", "today"), s3err.AuthorizationQueryParametersError, "ISO8601"},
		"other day":          {set("X-Amz-Date", "20260302T120000Z"), s3err.AuthorizationQueryParametersError, "incorrect date"},
		"region":             {set("X-Amz-Credential", exampleKey+"/20260301/mars/s3/aws4_request"), s3err.AuthorizationQueryParametersError, "the region 'mars' is wrong"},
		"key":                {set("X-Amz-Credential", "NOBODY/20260301/garage/s3/aws4_request"), s3err.InvalidAccessKeyId, ""},
		"credential":         {set("X-Amz-Credential", "NOBODY"), s3err.AuthorizationQueryParametersError, "mal-formed"},
		"no host":            {set("X-Amz-SignedHeaders", "date"), s3err.AccessDenied, "not signed"},
		"bad headers":        {set("X-Amz-SignedHeaders", "host,date"), s3err.AuthorizationQueryParametersError, "lower-case"},
		"signature":          {set("X-Amz-Signature", "00"), s3err.SignatureDoesNotMatch, ""},
		"no signature":       {func(q url.Values) { q.Del("X-Amz-Signature") }, s3err.AuthorizationQueryParametersError, "requires"},
		"no credential":      {func(q url.Values) { q.Del("X-Amz-Credential") }, s3err.AuthorizationQueryParametersError, "requires"},
		"signature twice":    {func(q url.Values) { q.Add("X-Amz-Signature", "00") }, s3err.AuthorizationQueryParametersError, "once"},
		"another parameter":  {set("versionId", "1"), s3err.SignatureDoesNotMatch, ""},
		"token":              {set("X-Amz-Security-Token", "t"), s3err.InvalidToken, ""},
		"payload hash twice": {func(q url.Values) { q["X-Amz-Content-Sha256"] = []string{"a", "b"} }, s3err.AuthorizationQueryParametersError, "once"},
	} {
		t.Run(name, func(t *testing.T) {
			r := presigned(t, "GET", "http://s3.example/bucket/key", time.Hour)
			q := r.URL.Query()
			tc.alter(q)
			r.RequestURI = "/bucket/key?" + q.Encode()
			_, err := verify(t, r)
			require.ErrorIs(t, err, tc.want)
			e, _ := s3err.From(err)
			require.Contains(t, e.Message, tc.says)
		})
	}
}

func TestAnUnsignedAmzHeaderOnAPresignedRequestIsRefused(t *testing.T) {
	r := presigned(t, "PUT", "http://s3.example/bucket/key", time.Hour)
	r.Header.Set("X-Amz-Acl", "public-read")
	_, err := verify(t, r)
	require.ErrorIs(t, err, s3err.AccessDenied)
	e, _ := s3err.From(err)
	require.Contains(t, e.Fields, s3err.Field{Name: "HeadersNotSigned", Value: "x-amz-acl"})

	// Others, such as those a browser adds, are free.
	r.Header.Del("X-Amz-Acl")
	r.Header.Set("Content-Type", "text/plain")
	_, err = verify(t, r)
	require.NoError(t, err)
}

func TestAPresignedRequestMaySignItsPayload(t *testing.T) {
	hash := sigtest.Hash([]byte("hello"))
	r := httptest.NewRequest("PUT", "http://s3.example/bucket/key", nil)
	r.Header.Set("X-Amz-Content-Sha256", hash)
	garageSigner().Presign(r, time.Hour)
	res, err := verify(t, r)
	require.NoError(t, err)
	require.Equal(t, PayloadSigned, res.Payload.Kind)

	r = httptest.NewRequest("PUT", "http://s3.example/bucket/key?X-Amz-Content-Sha256="+sigtest.Unsigned, nil)
	garageSigner().Presign(r, time.Hour)
	_, err = verify(t, r)
	require.NoError(t, err)
}

func TestAPresignedRequestMayHaveHeadersInItsQuery(t *testing.T) {
	r := presigned(t, "PUT", "http://s3.example/bucket/key?x-amz-meta-Color=dark%20red&X-Amz-Storage-Class=STANDARD&x-amz-acl=private&if-none-match=*&x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32&prefix=x", time.Hour)
	r.Header.Set("Content-Type", "text/plain")
	_, err := verify(t, r)
	require.NoError(t, err)
	require.Equal(t, http.Header{
		"Content-Type": {"text/plain"}, "X-Amz-Meta-Color": {"dark red"}, "X-Amz-Storage-Class": {"STANDARD"}, "X-Amz-Acl": {"private"}, "If-None-Match": {"*"},
	}, r.Header)

	r = presigned(t, "PUT", "http://s3.example/bucket/key?x-amz-meta-a=b%0Ac", time.Hour)
	_, err = verify(t, r)
	require.ErrorIs(t, err, s3err.InvalidArgument)

	// Not so in a request that is signed in its header.
	r = signed("PUT", "http://s3.example/bucket/key?x-amz-acl=private", nil)
	_, err = verify(t, r)
	require.NoError(t, err)
	require.NotContains(t, r.Header, "X-Amz-Acl")
}

func TestAHeaderNamedAsSignedMayBeInTheQuery(t *testing.T) {
	r := httptest.NewRequest("PUT", "http://s3.example/bucket/key?x-amz-acl=private&x-amz-checksum-crc32=AAAAAA%3D%3D", nil)
	r.Header.Set("X-Amz-Acl", "private")
	r.Header.Set("X-Amz-Checksum-Crc32", "AAAAAA==")
	garageSigner().Presign(r, time.Hour)
	r.Header = http.Header{}
	_, err := verify(t, r)
	require.NoError(t, err)
	require.Equal(t, "AAAAAA==", r.Header.Get("X-Amz-Checksum-Crc32"))
}

func TestAPresignedRequestMaySayMoreOfItsBodyThanItSigns(t *testing.T) {
	for value, want := range map[string]PayloadKind{
		sigtest.Unsigned: PayloadUnsigned, sigtest.Hash(nil): PayloadSigned, sigtest.StreamUnsignedTrailer: PayloadStreamUnsignedTrailer,
	} {
		r := presigned(t, "PUT", "http://s3.example/bucket/key", time.Hour)
		r.Header.Set("X-Amz-Content-Sha256", value)
		res, err := verify(t, r)
		require.NoError(t, err)
		require.Equal(t, want, res.Payload.Kind)
	}
}

func TestVersion2InTheQueryIsRefusedClearly(t *testing.T) {
	r := httptest.NewRequest("GET", "http://s3.example/bucket/key?AWSAccessKeyId=AKIA&Expires=1&Signature=c2ln", nil)
	_, err := verify(t, r)
	require.ErrorIs(t, err, s3err.InvalidRequest)
	e, _ := s3err.From(err)
	require.Contains(t, e.Message, "AWS4-HMAC-SHA256")
}

func TestErrorsOfAPolicysSignature(t *testing.T) {
	good := func() PolicyAuth {
		f := garageSigner().Policy("e30=")
		return PolicyAuth{Algorithm: f["x-amz-algorithm"], Credential: f["x-amz-credential"], Date: f["x-amz-date"], Signature: f["x-amz-signature"], Policy: "e30="}
	}
	_, err := garageVerifier().VerifyPolicy(t.Context(), good())
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		alter func(a *PolicyAuth)
		want  s3err.Code
	}{
		"policy":    {func(a *PolicyAuth) { a.Policy = "e31=" }, s3err.SignatureDoesNotMatch},
		"signature": {func(a *PolicyAuth) { a.Signature = "00" }, s3err.SignatureDoesNotMatch},
		"missing":   {func(a *PolicyAuth) { a.Signature = "" }, s3err.InvalidArgument},
		"algorithm": {func(a *PolicyAuth) { a.Algorithm = "AWS4" }, s3err.InvalidArgument},
		"date":      {func(a *PolicyAuth) { a.Date = "today" }, s3err.InvalidArgument},
		"other day": {func(a *PolicyAuth) { a.Date = "20260302T120000Z" }, s3err.InvalidArgument},
		"region":    {func(a *PolicyAuth) { a.Credential = exampleKey + "/20260301/mars/s3/aws4_request" }, s3err.InvalidArgument},
		"key":       {func(a *PolicyAuth) { a.Credential = "NOBODY/20260301/garage/s3/aws4_request" }, s3err.InvalidAccessKeyId},
		"token":     {func(a *PolicyAuth) { a.Token = "t" }, s3err.InvalidToken},
	} {
		t.Run(name, func(t *testing.T) {
			a := good()
			tc.alter(&a)
			_, err := garageVerifier().VerifyPolicy(t.Context(), a)
			require.ErrorIs(t, err, tc.want)
		})
	}
}
