package sigv4

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	exampleKey    = "AKIAIOSFODNN7EXAMPLE"
	exampleSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	emptyHash     = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

var exampleTime = time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)

// received parses a request as an HTTP server would.
func received(t testing.TB, lines ...string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.Join(lines, "\r\n") + "\r\n\r\n")))
	require.NoError(t, err)
	return r
}

func oneKey(_ context.Context, accessKey string) (string, string, error) {
	if accessKey != exampleKey {
		return "", "", ErrUnknownKey
	}
	return exampleSecret, "the owner", nil
}

func exampleVerifier() *Verifier[string] { return New(Config{Region: "us-east-1"}, oneKey) }

const exampleCredential = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"

// The examples of the Amazon S3 API reference, "Signature Calculations for the Authorization Header" (single chunk and
// multiple chunks) and "Authenticating Requests: Using Query Parameters".
func TestTheExamplesOfTheS3ReferenceVerify(t *testing.T) {
	for _, tc := range []struct {
		name    string
		request []string
		check   func(t *testing.T, r Result[string])
	}{
		{"GET object", []string{
			"GET /test.txt HTTP/1.1",
			"Host: examplebucket.s3.amazonaws.com",
			"Range: bytes=0-9",
			"x-amz-content-sha256: " + emptyHash,
			"x-amz-date: 20130524T000000Z",
			"Authorization: " + exampleCredential + "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
		}, func(t *testing.T, r Result[string]) { require.Equal(t, PayloadSigned, r.Payload.Kind) }},
		{"PUT object", []string{
			"PUT /test$file.text HTTP/1.1",
			"Host: examplebucket.s3.amazonaws.com",
			"Date: Fri, 24 May 2013 00:00:00 GMT",
			"x-amz-date: 20130524T000000Z",
			"x-amz-storage-class: REDUCED_REDUNDANCY",
			"x-amz-content-sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
			"Authorization: " + exampleCredential + "SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
		}, nil},
		{"GET bucket lifecycle", []string{
			"GET /?lifecycle HTTP/1.1",
			"Host: examplebucket.s3.amazonaws.com",
			"x-amz-date: 20130524T000000Z",
			"x-amz-content-sha256: " + emptyHash,
			"Authorization: " + exampleCredential + "SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
		}, nil},
		{"list objects", []string{
			"GET /?max-keys=2&prefix=J HTTP/1.1",
			"Host: examplebucket.s3.amazonaws.com",
			"x-amz-date: 20130524T000000Z",
			"x-amz-content-sha256: " + emptyHash,
			"Authorization: " + exampleCredential + "SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
		}, nil},
		{"presigned", []string{
			"GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404 HTTP/1.1",
			"Host: examplebucket.s3.amazonaws.com",
		}, func(t *testing.T, r Result[string]) {
			require.True(t, r.Presigned)
			require.Equal(t, PayloadUnsigned, r.Payload.Kind)
		}},
		{"chunked upload", []string{
			"PUT /examplebucket/chunkObject.txt HTTP/1.1",
			"Host: s3.amazonaws.com",
			"x-amz-date: 20130524T000000Z",
			"x-amz-storage-class: REDUCED_REDUNDANCY",
			"x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
			"Content-Encoding: aws-chunked",
			"x-amz-decoded-content-length: 66560",
			"Content-Length: 66824",
			"Authorization: " + exampleCredential + "SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class,Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
		}, func(t *testing.T, r Result[string]) {
			require.Equal(t, PayloadStreamSigned, r.Payload.Kind)
			require.True(t, r.Payload.Chunked())
			require.NotNil(t, r.Seed)
			require.Equal(t, "20130524/us-east-1/s3/aws4_request", r.Seed.Scope)
		}},
		{"chunked upload with a trailer", []string{
			"PUT /examplebucket/chunkObject.txt HTTP/1.1",
			"Host: s3.amazonaws.com",
			"x-amz-date: 20130524T000000Z",
			"x-amz-storage-class: REDUCED_REDUNDANCY",
			"x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
			"Content-Encoding: aws-chunked",
			"x-amz-decoded-content-length: 66560",
			"x-amz-trailer: x-amz-checksum-crc32c",
			"Authorization: " + exampleCredential + "SignedHeaders=content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer,Signature=106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
		}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, err := exampleVerifier().Verify(t.Context(), received(t, tc.request...), exampleTime)
			require.NoError(t, err)
			require.Equal(t, exampleKey, res.AccessKey)
			require.Equal(t, "the owner", res.Identity)
			require.False(t, res.Anonymous)
			if tc.check != nil {
				tc.check(t, res)
			}
		})
	}
}

func TestTheExamplePolicyOfThePostReferenceVerifies(t *testing.T) {
	// "Example: Browser-Based Upload using HTTP POST (Using AWS Signature Version 4)".
	const policy = "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7ImJ1Y2tldCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMtcmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVTMjU2In0sDQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9"
	a := PolicyAuth{
		Algorithm:  "AWS4-HMAC-SHA256",
		Credential: "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request",
		Date:       "20151229T000000Z",
		Signature:  "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e",
		Policy:     policy,
	}
	res, err := exampleVerifier().VerifyPolicy(t.Context(), a)
	require.NoError(t, err)
	require.Equal(t, exampleKey, res.AccessKey)
}
