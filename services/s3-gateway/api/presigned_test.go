package api_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/services/s3-gateway/api"
	"deuxfleurs.fr/garage/services/s3-gateway/api/apitest"
)

func TestAPresignedUploadMayHaveHeadersInItsQuery(t *testing.T) {
	_, c := start(t, apitest.Options{})
	request := apitest.Request{
		Method: "PUT", Bucket: bucketName, Key: "k", Body: []byte("hello"), Presign: time.Hour,
		Query: "x-amz-meta-color=red&x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32",
	}
	r := c.Do(request)
	require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
	require.Equal(t, "red", get(c, "k").Header.Get("x-amz-meta-color"))

	request.Query = "if-none-match=*"
	require.Equal(t, "PreconditionFailed", c.Do(request).Code)
	request.Query = "x-amz-acl=public-read"
	require.Equal(t, "NotImplemented", c.Do(request).Code, "what is refused as a header is refused there")
}

func TestPartsMayBePresigned(t *testing.T) {
	_, c := start(t, apitest.Options{})
	u := begin(t, c, "k", nil)
	p := random(100_000)
	r := c.Do(apitest.Request{Method: "PUT", Bucket: bucketName, Key: "k", Query: "partNumber=1&uploadId=" + u.id, Body: p, Presign: time.Hour})
	require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
	u.take(1, r.Header.Get("ETag"), "", len(p))
	r = c.Do(apitest.Request{Method: "POST", Bucket: bucketName, Key: "k", Query: "uploadId=" + u.id, Body: u.list(), Presign: time.Hour})
	require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
	require.Equal(t, p, get(c, "k").Body)
}

func TestTheLocationOfAnUploadIsInTheStyleOfTheRequest(t *testing.T) {
	_, c := start(t, apitest.Options{API: func(c *api.Config) { c.RootDomains = []string{"s3.example.org"} }})
	u := begin(t, c, "a b", nil)
	u.part(1, []byte("x"))
	r := c.Do(apitest.Request{Method: "POST", Path: "/a%20b", Host: bucketName + ".s3.example.org", Query: "uploadId=" + u.id, Body: u.list()})
	require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
	require.Contains(t, string(r.Body), fmt.Sprintf("<Location>http://%s.s3.example.org/a%%20b</Location><Bucket>%s</Bucket>", bucketName, bucketName))
}
