package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/services/s3-gateway/api"
	"deuxfleurs.fr/garage/services/s3-gateway/api/apitest"
)

// someOperations is a request for each right.
var someOperations = []struct {
	name    string
	right   identity.Rights
	request apitest.Request
}{
	{"GetObject", identity.Read, apitest.Request{Method: "GET", Bucket: bucketName, Key: "a"}},
	{"HeadObject", identity.Read, apitest.Request{Method: "HEAD", Bucket: bucketName, Key: "a"}},
	{"ListObjects", identity.Read, apitest.Request{Method: "GET", Bucket: bucketName}},
	{"ListObjectsV2", identity.Read, apitest.Request{Method: "GET", Bucket: bucketName, Query: "list-type=2"}},
	{"PutObject", identity.Write, apitest.Request{Method: "PUT", Bucket: bucketName, Key: "a", Body: []byte("new")}},
	{"CopyObject", identity.Read | identity.Write, apitest.Request{Method: "PUT", Bucket: bucketName, Key: "b", Header: map[string]string{"x-amz-copy-source": bucketName + "/a"}}},
	{"DeleteObject", identity.Write, apitest.Request{Method: "DELETE", Bucket: bucketName, Key: "zzz"}},
	{"DeleteBucket", identity.Owner, apitest.Request{Method: "DELETE", Bucket: bucketName}},
}

func TestNothingIsAllowedWithoutARight(t *testing.T) {
	g, c := start(t, apitest.Options{})
	put(t, c, "a", []byte("old"))
	for _, op := range someOperations {
		for rights := identity.Rights(0); rights <= identity.All; rights++ {
			grant(t, g, bucketName, apitest.OtherAccessKey, rights)
			r := g.Other(t).Do(op.request)
			if !rights.Has(op.right) {
				require.Equal(t, http.StatusForbidden, r.Status, "%s with %v", op.name, rights)
			} else {
				require.NotEqual(t, http.StatusForbidden, r.Status, "%s with %v", op.name, rights)
			}
		}
		require.Equal(t, http.StatusForbidden, c.Do(anonymous(op.request)).Status, op.name)
	}
}

func anonymous(r apitest.Request) apitest.Request {
	r.Anonymous = true
	return r
}

func TestAnAlteredSignatureIsRefused(t *testing.T) {
	_, c := start(t, apitest.Options{})
	put(t, c, "a", []byte("old"))
	request := apitest.Request{Method: "PUT", Bucket: bucketName, Key: "a", Body: []byte("new"), Query: "x=1"}
	for name, alter := range map[string]func(*http.Request){
		"method": func(r *http.Request) { r.Method = "DELETE" },
		"path":   func(r *http.Request) { r.URL.Path += "b" },
		"query":  func(r *http.Request) { r.URL.RawQuery = "x=2" },
		"host":   func(r *http.Request) { r.Host = "elsewhere" },
		"header": func(r *http.Request) { r.Header.Set("X-Amz-Meta-A", "b") },
		"signature": func(r *http.Request) {
			r.Header.Set("Authorization", r.Header.Get("Authorization")[:200]+strings.Repeat("0", 64))
		},
	} {
		request.Alter = alter
		require.Equal(t, http.StatusForbidden, c.Do(request).Status, name)
	}
	request.Alter = nil
	request.Payload = strings.Repeat("0", 64)
	require.Equal(t, "XAmzContentSHA256Mismatch", c.Do(request).Code, "another body")
	require.Equal(t, "old", string(get(c, "a").Body))
}

func TestUnknownKeysAndOldRequestsAreRefused(t *testing.T) {
	g, c := start(t, apitest.Options{})
	list := apitest.Request{Method: "GET", Bucket: bucketName}
	require.Equal(t, "InvalidAccessKeyId", g.As(t, "GKnobody", "x").Do(list).Code)
	require.Equal(t, "SignatureDoesNotMatch", g.As(t, apitest.AccessKey, "wrong").Do(list).Code)
	c.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	require.Equal(t, "RequestTimeTooSkewed", c.Do(list).Code)
	list.Presign = 2 * time.Hour
	require.Equal(t, 200, c.Do(list).Status)
	list.Presign = time.Minute
	require.Equal(t, 403, c.Do(list).Status)
}

func TestOtherRegionsAreAcceptedOnlyWhereTheyAreMeantTo(t *testing.T) {
	list := apitest.Request{Method: "GET", Bucket: bucketName}
	_, c := start(t, apitest.Options{})
	c.Signer.Region = "us-east-1"
	require.Equal(t, 200, c.Do(list).Status)
	c.Signer.Region = "eu-west-3"
	require.Equal(t, "AuthorizationHeaderMalformed", c.Do(list).Code)

	_, c = start(t, apitest.Options{API: func(c *api.Config) { c.Strict = true }})
	c.Signer.Region = "us-east-1"
	require.Equal(t, "AuthorizationHeaderMalformed", c.Do(list).Code)
}

func TestAHostNamesABucket(t *testing.T) {
	_, c := start(t, apitest.Options{API: func(c *api.Config) { c.RootDomains = []string{"s3.example.org"} }})
	put(t, c, "dir/a", []byte("hello"))
	for _, host := range []string{bucketName + ".s3.example.org", bucketName + ".S3.example.org:8080"} {
		r := c.Do(apitest.Request{Method: "GET", Path: "/dir/a", Host: host})
		require.Equal(t, "hello", string(r.Body), host)
	}
	for _, host := range []string{"s3.example.org", "elsewhere.example.org", "s3.example.org.evil.com"} {
		r := c.Do(apitest.Request{Method: "GET", Path: "/dir/a", Host: host})
		require.Equal(t, "NoSuchBucket", r.Code, host)
	}
}

func TestTheExpectedOwnerMustBeTheOwner(t *testing.T) {
	_, c := start(t, apitest.Options{})
	list := func(owner string) int {
		return c.Do(apitest.Request{Method: "GET", Bucket: bucketName, Header: map[string]string{"x-amz-expected-bucket-owner": owner}}).Status
	}
	require.Equal(t, 200, list(apitest.AccessKey))
	require.Equal(t, 403, list("123456789012"))
}

func TestWhatIsNotThereIsRefused(t *testing.T) {
	_, c := start(t, apitest.Options{})
	put(t, c, "a", []byte("x"))
	for _, sub := range []string{"acl", "cors", "encryption", "lifecycle", "logging", "notification", "object-lock", "policy", "replication",
		"tagging", "versioning", "versions", "website", "inventory", "metrics", "analytics", "ownershipControls", "publicAccessBlock",
		"requestPayment", "accelerate", "policyStatus", "intelligent-tiering", "session"} {
		for _, method := range []string{"GET", "PUT", "DELETE", "POST"} {
			r := c.Do(apitest.Request{Method: method, Bucket: bucketName, Query: sub})
			require.Equal(t, "NotImplemented", r.Code, "%s ?%s", method, sub)
			require.Equal(t, 501, r.Status)
		}
	}
	for _, sub := range []string{"acl", "legal-hold", "restore", "retention", "select", "tagging", "torrent", "renameObject"} {
		for _, method := range []string{"GET", "PUT", "DELETE", "POST"} {
			if sub == "tagging" && method == "GET" {
				continue // there are none, which is an answer
			}
			r := c.Do(apitest.Request{Method: method, Bucket: bucketName, Key: "a", Query: sub + "="})
			require.Equal(t, "NotImplemented", r.Code, "%s ?%s", method, sub)
		}
	}
	require.Equal(t, "x", string(get(c, "a").Body))
}

func TestHeadersThatAskForWhatIsNotThereAreRefused(t *testing.T) {
	_, c := start(t, apitest.Options{})
	for _, h := range []string{
		"x-amz-server-side-encryption: AES256", "x-amz-server-side-encryption-customer-algorithm: AES256", "x-amz-object-lock-mode: GOVERNANCE",
		"x-amz-object-lock-legal-hold: ON", "x-amz-acl: public-read", "x-amz-grant-read: id=1", "x-amz-tagging: a=b", "x-amz-write-offset-bytes: 3",
		"If-None-Match: \"abc\"", "If-Modified-Since: Mon, 02 Jan 2006 15:04:05 GMT",
	} {
		name, value, _ := strings.Cut(h, ": ")
		r := c.Do(apitest.Request{Method: "PUT", Bucket: bucketName, Key: "a", Body: []byte("x"), Header: map[string]string{name: value}})
		require.Equal(t, "NotImplemented", r.Code, h)
	}
	require.Equal(t, 404, get(c, "a").Status)
	for _, h := range []string{"x-amz-acl: private", "x-amz-acl: bucket-owner-full-control", "x-amz-storage-class: STANDARD", "x-amz-request-payer: requester"} {
		name, value, _ := strings.Cut(h, ": ")
		r := c.Do(apitest.Request{Method: "PUT", Bucket: bucketName, Key: "a", Body: []byte("x"), Header: map[string]string{name: value}})
		require.Equal(t, 200, r.Status, h)
	}
	r := c.Do(apitest.Request{Method: "PUT", Bucket: bucketName, Key: "a", Header: map[string]string{"x-amz-storage-class": "GLACIER"}})
	require.Equal(t, "InvalidStorageClass", r.Code)
	r = c.Do(apitest.Request{Method: "PUT", Bucket: bucketName, Key: "a", Header: map[string]string{"x-amz-acl": "whatever"}})
	require.Equal(t, "InvalidArgument", r.Code)
}

func TestEveryErrorCarriesItsRequestID(t *testing.T) {
	_, c := start(t, apitest.Options{})
	r := get(c, "not there")
	require.Equal(t, 404, r.Status)
	id := r.Header.Get("x-amz-request-id")
	require.Len(t, id, 16)
	require.NotEmpty(t, r.Header.Get("x-amz-id-2"))
	require.Equal(t, "application/xml", r.Header.Get("Content-Type"))
	require.Equal(t, "Garage", r.Header.Get("Server"))
	require.NotEmpty(t, r.Header.Get("Date"))
	body := string(r.Body)
	require.True(t, strings.HasPrefix(body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey</Code>"), body)
	require.Contains(t, body, "<Key>not there</Key>")
	require.Contains(t, body, "<Resource>/photos/not%20there</Resource><RequestId>"+id+"</RequestId>")

	h := c.Do(apitest.Request{Method: "HEAD", Bucket: bucketName, Key: "not there"})
	require.Equal(t, 404, h.Status)
	require.Empty(t, h.Body)
	require.NotEqual(t, id, h.Header.Get("x-amz-request-id"))
}

func TestMethodsThatS3DoesNotKnowAreRefused(t *testing.T) {
	_, c := start(t, apitest.Options{})
	for _, method := range []string{"PATCH", "OPTIONS", "BREW", "TRACE"} {
		r := c.Do(apitest.Request{Method: method, Bucket: bucketName, Key: "a"})
		require.Equal(t, 405, r.Status, method)
		require.Equal(t, "MethodNotAllowed", r.Code, method)
		require.Equal(t, "DELETE, GET, HEAD, PUT", r.Header.Get("Allow"))
	}
	r := c.Do(apitest.Request{Method: "DELETE"})
	require.Equal(t, 405, r.Status)
	require.Equal(t, "GET", r.Header.Get("Allow"))
	require.Equal(t, "DELETE, GET, HEAD, POST, PUT", c.Do(apitest.Request{Method: "PATCH", Bucket: bucketName}).Header.Get("Allow"))
}

func TestHeadersOverTheLimitAreRefused(t *testing.T) {
	_, c := start(t, apitest.Options{})
	r := c.Do(apitest.Request{Method: "PUT", Bucket: bucketName, Key: "a", Header: map[string]string{"X-Long": strings.Repeat("x", 9000)}})
	require.Equal(t, 400, r.Status)
	require.Equal(t, "RequestHeaderSectionTooLarge", r.Code)
	r = c.Do(apitest.Request{Method: "PUT", Bucket: bucketName, Key: "a", Header: map[string]string{"x-amz-meta-long": strings.Repeat("x", 2<<10)}})
	require.Equal(t, "MetadataTooLarge", r.Code)
	r = c.Do(apitest.Request{Method: "PUT", Bucket: bucketName, Key: "a", Header: map[string]string{"x-amz-meta-long": strings.Repeat("x", 2<<10-len("long"))}})
	require.Equal(t, 200, r.Status)
}
