package sigv4

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
	"deuxfleurs.fr/garage/services/s3-gateway/sigv4/sigtest"
)

// boundTo is a presigned request whose query, and with it the signature, says what the body is.
func boundTo(t *testing.T, payload string) *http.Request {
	r := presigned(t, "PUT", "http://s3.example/bucket/key?X-Amz-Content-Sha256="+payload, time.Hour)
	_, err := verify(t, r) // signed as if the body were not
	e, _ := s3err.From(err)
	for _, f := range e.Fields {
		if f.Name == "StringToSign" {
			q := r.URL.Query()
			q.Set("X-Amz-Signature", garageSigner().Over(f.Value))
			r.URL.RawQuery = q.Encode()
			r.RequestURI = r.URL.RequestURI()
		}
	}
	return r
}

func TestAPayloadSignedInTheQueryCannotBeTakenBack(t *testing.T) {
	hash := sigtest.Hash([]byte("hello"))
	res, err := verify(t, boundTo(t, hash))
	require.NoError(t, err)
	require.Equal(t, PayloadSigned, res.Payload.Kind)

	for _, value := range []string{sigtest.Unsigned, sigtest.StreamUnsignedTrailer, sigtest.Hash(nil)} {
		r := httptest.NewRequest("PUT", boundTo(t, hash).URL.String(), nil)
		r.Header.Set("X-Amz-Content-Sha256", value)
		_, err = verify(t, r)
		require.ErrorIs(t, err, s3err.AccessDenied, value)
	}
	r := boundTo(t, hash)
	r.Header.Set("X-Amz-Content-Sha256", hash)
	_, err = verify(t, r)
	require.NoError(t, err)
}
