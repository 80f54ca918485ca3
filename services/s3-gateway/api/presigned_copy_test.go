package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/services/s3-gateway/api/apitest"
)

// TestAPresignedCopyMayHaveItsSourceInItsQuery guards against storing the empty body of a copy as the object.
func TestAPresignedCopyMayHaveItsSourceInItsQuery(t *testing.T) {
	_, c := start(t, apitest.Options{})
	p := random(100_000)
	put(t, c, "source", p)
	r := c.Do(apitest.Request{Method: "PUT", Bucket: bucketName, Key: "copy", Query: "x-amz-copy-source=" + bucketName + "%2Fsource", Presign: time.Hour})
	require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
	require.Contains(t, string(r.Body), "<CopyObjectResult")
	require.Equal(t, p, get(c, "copy").Body)

	u := begin(t, c, "parts", nil)
	r = c.Do(apitest.Request{
		Method: "PUT", Bucket: bucketName, Key: "parts", Presign: time.Hour,
		Query: "partNumber=1&uploadId=" + u.id + "&x-amz-copy-source=" + bucketName + "%2Fsource&x-amz-copy-source-range=bytes%3D0-9",
	})
	require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
	require.Contains(t, string(r.Body), "<CopyPartResult")
}
