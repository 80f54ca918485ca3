package s3

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/require"
)

// awkwardKeys are kept byte for byte: nothing is cleaned, joined, decoded twice or case-folded.
var awkwardKeys = []string{
	"a/../b", "a/./b", "a//b", "./a", "//a", "/a", "a/", "a//", "..a", "a+b", "a b", " a", "a ", "a%2Fb", "a%25b", "%", "%zz", "+", "a?b", "a#b", "a&b=c", "a;b",
	"a:b", "a\\b", "\"quoted\"", "'", "<tag>&amp;", "é", "e\u0301", "日本語/ファイル", "😀", "UPPER", "upper", "a~b", "a*b", "a(b)", "a!b", "a$b", "a@b", "a,b", "[a]", "{a}",
	"a|b", "a^b", "`a`", "tab\tkey", "new\nline", "return\r", "\x01control", "\x7f", "\u200bzero", strings.Repeat("k", 1024), strings.Repeat("é", 512),
	"policy", "?uploads", "index.html", "a=b", ".", "a/..", "a/.",
}

func TestAwkwardKeysAreKeptByteForByte(t *testing.T) {
	bucket := newBucket(t)
	stored := map[string]string{}
	for i, key := range awkwardKeys {
		stored[key] = fmt.Sprint("body ", i)
		put(t, bucket, key, []byte(stored[key]))
	}
	for key, body := range stored {
		require.Equal(t, body, string(get(t, bucket, key)), "%q", key)
		ok(t, request{Method: "HEAD", Bucket: bucket, Key: key})
	}
	want := slices.Sorted(slices.Values(awkwardKeys))
	l := listObjects(t, bucket, "encoding-type=url")
	got := make([]string, len(l.Contents))
	for i, key := range l.keys() {
		plain, err := urlDecode(key)
		require.NoError(t, err)
		got[i] = plain
	}
	require.Equal(t, want, got)
	for _, key := range awkwardKeys {
		ok(t, request{Method: "DELETE", Bucket: bucket, Key: key})
		delete(stored, key)
		absent(t, bucket, key)
	}
	empty(t, bucket)
}

// Keys that a URL path can carry but XML can not list without encoding come back encoded all the same.
func TestAwkwardKeysThroughTheSDKs(t *testing.T) {
	bucket := newBucket(t)
	mc, err := minio.New(strings.TrimPrefix(client.URL, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(client.AccessKey, client.SecretKey, ""), Region: client.Region, BucketLookup: minio.BucketLookupPath,
	})
	require.NoError(t, err)
	// Both SDKs refuse or clean some keys themselves; these they send as they are.
	for i, key := range []string{"a/b", "a b", "a+b", "a%2Fb", "a%25b", "é", "日本語/ファイル", "a&b=c", "a?b", "a#b", "a/", "<tag>&amp;", "a//b"} {
		body := fmt.Sprint("body ", i)
		_, err := sdk().PutObject(testContext(t), &s3.PutObjectInput{Bucket: &bucket, Key: aws.String(key), Body: strings.NewReader(body)})
		require.NoError(t, err, "%q", key)
		require.Equal(t, body, string(get(t, bucket, key)), "%q", key)
		_, err = mc.PutObject(testContext(t), bucket, key, strings.NewReader(body+"!"), int64(len(body)+1), minio.PutObjectOptions{})
		require.NoError(t, err, "%q", key)
		require.Equal(t, body+"!", string(get(t, bucket, key)), "%q", key)
	}
}

func TestKeysOver1024BytesAreRefused(t *testing.T) {
	bucket := newBucket(t)
	for _, key := range []string{strings.Repeat("k", 1025), strings.Repeat("é", 513), strings.Repeat("k/", 2000)} {
		refused(t, 400, "KeyTooLongError", request{Method: "PUT", Bucket: bucket, Key: key, Body: []byte("x")})
		refused(t, 400, "KeyTooLongError", request{Method: "POST", Bucket: bucket, Key: key, Query: "uploads="})
	}
	empty(t, bucket)
}

func TestKeysThatAreNotUTF8AreRefused(t *testing.T) {
	bucket := newBucket(t)
	for _, key := range []string{"\xff", "a\xc3", "\xed\xa0\x80", "a\xf5\x80\x80\x80"} {
		resp := do(t, request{Method: "PUT", Bucket: bucket, Key: key, Body: []byte("x")})
		require.Equal(t, 400, resp.Status, "%q", key)
		require.Contains(t, []string{"InvalidURI", "InvalidArgument"}, resp.Code, "%q", key)
	}
	empty(t, bucket)
}

func TestKeysClimbingAboveTheirRootAreRefused(t *testing.T) {
	bucket, other := newBucket(t), newBucket(t)
	put(t, other, "secret", []byte("of the other"))
	for _, key := range []string{"..", "../" + other + "/secret", "../../etc/passwd", "a/../../" + other + "/secret", "./../x", "a/b/../../.."} {
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			refused(t, 400, "InvalidURI", request{Method: method, Bucket: bucket, Key: key})
		}
		resp := do(t, request{Method: "PUT", Bucket: bucket, Key: "copy", Header: header("X-Amz-Copy-Source", bucket+"/"+key)})
		require.GreaterOrEqual(t, resp.Status, 400, "%q", key)
		require.Equal(t, "of the other", string(get(t, other, "secret")))
	}
	// Escaped once more, these are names like any other.
	plain := "..%2F" + other + "%2Fsecret"
	put(t, bucket, plain, []byte("a plain key"))
	require.Equal(t, "a plain key", string(get(t, bucket, plain)))
	require.Equal(t, "of the other", string(get(t, other, "secret")))
	require.Equal(t, []string{plain}, listObjects(t, bucket, "").keys())
}

func urlDecode(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b.WriteByte(' ')
		case s[i] == '%' && i+2 < len(s):
			var c byte
			if _, err := fmt.Sscanf(s[i+1:i+3], "%02x", &c); err != nil {
				return "", fmt.Errorf("%q: %w", s, err)
			}
			b.WriteByte(c)
			i += 2
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), nil
}

func TestDeletingAwkwardKeysInOneRequest(t *testing.T) {
	bucket := newBucket(t)
	var keys []string
	for _, key := range awkwardKeys {
		// What XML 1.0 cannot write cannot be named in a body.
		var b strings.Builder
		_ = xml.EscapeText(&b, []byte(key))
		if !strings.Contains(b.String(), "\uFFFD") {
			keys = append(keys, key)
		}
	}
	for _, key := range keys {
		put(t, bucket, key, []byte("x"))
	}
	var answer deletion
	parse(t, ok(t, deleteRequest(bucket, deleteBody(keys, true))).Body, &answer)
	require.Empty(t, answer.Error)
	empty(t, bucket)
}
