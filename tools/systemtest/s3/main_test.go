package s3

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/s3client"
)

// rootDomain is the domain below which host names are buckets.
const rootDomain = "s3.garage.localhost"

var (
	strict  = flag.Bool("strict", false, "the service was started in strict region mode")
	target  *deploy.Deployment
	client  *s3client.Client
	buckets atomic.Int64
)

func TestMain(m *testing.M) {
	deploy.Main(m, func(d *deploy.Deployment) {
		target, client = d, s3client.New(d.Endpoint, 32)
	}, "GARAGE_S3_ROOT_DOMAINS="+rootDomain)
}

// request is short for the requests of this suite.
type request = s3client.Request

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// do sends a request and fails the test only when no answer came.
func do(t *testing.T, r request) *s3client.Response {
	t.Helper()
	resp, err := client.Do(testContext(t), r)
	require.NoError(t, err)
	return resp
}

// ok sends a request that must succeed.
func ok(t *testing.T, r request) *s3client.Response {
	t.Helper()
	resp := do(t, r)
	require.Less(t, resp.Status, 300, "%s /%s/%s?%s: %s %s", r.Method, r.Bucket, r.Key, r.Query, resp.Code, resp.Message)
	return resp
}

// refused sends a request that must fail with this status and S3 error code (empty: HEAD and 304 have no body).
func refused(t *testing.T, status int, code string, r request) *s3client.Response {
	t.Helper()
	resp := do(t, r)
	checkError(t, status, code, resp, fmt.Sprintf("%s /%s/%.80q?%s", r.Method, r.Bucket, r.Key, r.Query))
	return resp
}

func checkError(t *testing.T, status int, code string, resp *s3client.Response, what string) {
	t.Helper()
	require.Equal(t, status, resp.Status, "%s: %s %s", what, resp.Code, resp.Message)
	require.Equal(t, code, resp.Code, "%s: %s", what, resp.Message)
	if code != "" {
		require.NotEmpty(t, resp.RequestID, "%s: an error has a request ID", what)
		require.Equal(t, resp.RequestID, resp.Header.Get("X-Amz-Request-Id"), "%s: the same in header and body", what)
	}
}

// newBucket creates a bucket, which is emptied and deleted when the test ends.
func newBucket(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("suite-%d-%d", time.Now().UnixNano()%1e9, buckets.Add(1))
	ok(t, request{Method: "PUT", Bucket: name})
	return name
}

func put(t *testing.T, bucket, key string, body []byte) *s3client.Response {
	t.Helper()
	return ok(t, request{Method: "PUT", Bucket: bucket, Key: key, Body: body})
}

func get(t *testing.T, bucket, key string) []byte {
	t.Helper()
	return ok(t, request{Method: "GET", Bucket: bucket, Key: key}).Body
}

// absent checks that nothing is stored under the key.
func absent(t *testing.T, bucket, key string) {
	t.Helper()
	refused(t, 404, "NoSuchKey", request{Method: "GET", Bucket: bucket, Key: key})
}

// empty checks that the bucket holds nothing, visible or begun.
func empty(t *testing.T, bucket string) {
	t.Helper()
	list := listObjects(t, bucket, "")
	require.Empty(t, list.Contents, "objects in the bucket")
	resp := ok(t, request{Method: "GET", Bucket: bucket, Query: "uploads="})
	require.NotContains(t, string(resp.Body), "<Upload>", "uploads in the bucket")
}

// random returns incompressible bytes that differ with every call.
func random(size int) []byte {
	var seed [32]byte
	for i := range 4 {
		v := rand.Uint64()
		for j := range 8 {
			seed[8*i+j] = byte(v >> (8 * j))
		}
	}
	body := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(body)
	return body
}

func etag(body []byte) string {
	sum := md5.Sum(body)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func contentMD5(body []byte) string {
	sum := md5.Sum(body)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// sameBody compares without printing megabytes.
func sameBody(t *testing.T, want, got []byte, what ...any) {
	t.Helper()
	require.Len(t, got, len(want), what...)
	require.True(t, bytes.Equal(want, got), append([]any{"other bytes: "}, what...)...)
}

// listing is the answer of ListObjects and ListObjectsV2.
type listing struct {
	XMLName                                  xml.Name
	Name, Prefix, Delimiter, EncodingType    string
	Marker, NextMarker, StartAfter           string
	ContinuationToken, NextContinuationToken string
	IsTruncated                              bool
	KeyCount, MaxKeys                        int
	Contents                                 []listedObject
	CommonPrefixes                           []struct{ Prefix string }
}

type listedObject struct {
	Key, ETag, StorageClass string
	LastModified            time.Time
	Size                    int64
	Owner                   *struct{ ID, DisplayName string }
}

func (l listing) keys() []string {
	keys := make([]string, len(l.Contents))
	for i, c := range l.Contents {
		keys[i] = c.Key
	}
	return keys
}

func (l listing) prefixes() []string {
	all := make([]string, len(l.CommonPrefixes))
	for i, p := range l.CommonPrefixes {
		all[i] = p.Prefix
	}
	return all
}

// listObjects sends ListObjectsV2 with these raw parameters added.
func listObjects(t *testing.T, bucket, query string) listing {
	t.Helper()
	if query != "" {
		query = "&" + query
	}
	var l listing
	parse(t, ok(t, request{Method: "GET", Bucket: bucket, Query: "list-type=2" + query}).Body, &l)
	return l
}

func parse(t *testing.T, body []byte, into any) {
	t.Helper()
	require.NoError(t, xml.Unmarshal(body, into), "%s", body)
}

// sdk returns a client of aws-sdk-go-v2 with its default settings.
func sdk() *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(client.URL), Region: client.Region, UsePathStyle: true,
		Credentials:      credentials.NewStaticCredentialsProvider(client.AccessKey, client.SecretKey, ""),
		RetryMaxAttempts: 1,
	})
}

func header(pairs ...string) map[string]string {
	h := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		h[pairs[i]] = pairs[i+1]
	}
	return h
}

func trimQuotes(s string) string { return strings.Trim(s, `"`) }

// read reads an answer as the client does.
func read(t *testing.T, resp *http.Response) *s3client.Response {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	out := &s3client.Response{Status: resp.StatusCode, Header: resp.Header, Body: body}
	if resp.StatusCode >= 300 && len(body) > 0 {
		var e struct{ Code, Message, RequestId string }
		if xml.Unmarshal(body, &e) == nil {
			out.Code, out.Message, out.RequestID = e.Code, e.Message, e.RequestId
		}
	}
	return out
}
