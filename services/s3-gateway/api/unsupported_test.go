package api_test

import (
	"encoding/xml"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/services/s3-gateway/api/apitest"
	"deuxfleurs.fr/garage/services/s3-gateway/sigv4/sigtest"
)

// strictXML fails unless a document is XML 1.0, which has no control characters, not even as references.
func strictXML(t *testing.T, doc []byte) {
	t.Helper()
	for r := range strings.SplitSeq(string(doc), "&#x") {
		require.False(t, strings.HasPrefix(r, "1;"), "%s", doc)
	}
	require.NoError(t, xml.Unmarshal(doc, new(struct{ Code string })), "%s", doc)
}

func TestErrorsAboutKeysWithControlCharactersAreXML(t *testing.T) {
	_, c := start(t, apitest.Options{})
	r := get(c, "\x01control")
	require.Equal(t, "NoSuchKey", r.Code)
	strictXML(t, r.Body)
	require.Contains(t, string(r.Body), "<Key>\uFFFDcontrol</Key>")
	r = c.Do(apitest.Request{Method: "GET", Bucket: bucketName, Query: "list-type=%01"})
	require.Equal(t, "InvalidArgument", r.Code)
	strictXML(t, r.Body)
}

// TestAPartWithoutItsUploadIsRefused guards against storing a part as the whole object, or deleting the object for it.
func TestAPartWithoutItsUploadIsRefused(t *testing.T) {
	_, c := start(t, apitest.Options{})
	put(t, c, "a", []byte("old"))
	for _, header := range []map[string]string{nil, {"x-amz-copy-source": bucketName + "/a"}} {
		r := c.Do(apitest.Request{Method: "PUT", Bucket: bucketName, Key: "a", Query: "partNumber=1", Body: []byte("part"), Header: header})
		require.Equal(t, "InvalidArgument", r.Code)
		require.Equal(t, http.StatusBadRequest, r.Status)
		r = c.Do(apitest.Request{Method: "PUT", Bucket: bucketName, Key: "a", Query: "uploadId=x", Body: []byte("part"), Header: header})
		require.Equal(t, "InvalidArgument", r.Code)
		require.Equal(t, http.StatusBadRequest, r.Status)
	}
	r := c.Do(apitest.Request{Method: "PUT", Bucket: bucketName, Key: "a", Query: "partNumber=1", Body: []byte("part"), Presign: time.Hour})
	require.Equal(t, "InvalidArgument", r.Code)
	r = c.Do(apitest.Request{Method: "DELETE", Bucket: bucketName, Key: "a", Query: "partNumber=1"})
	require.Equal(t, "InvalidArgument", r.Code)
	require.Equal(t, "old", string(get(c, "a").Body))
}

func TestAnObjectWithoutTagsSaysSo(t *testing.T) {
	g, c := start(t, apitest.Options{})
	put(t, c, "a", []byte("x"))
	tags := apitest.Request{Method: "GET", Bucket: bucketName, Key: "a", Query: "tagging"}
	r := c.Do(tags)
	require.Equal(t, 200, r.Status, "%s", r.Body)
	require.Equal(t, "application/xml", r.Header.Get("Content-Type"))
	var got struct {
		XMLName xml.Name  `xml:"http://s3.amazonaws.com/doc/2006-03-01/ Tagging"`
		TagSet  *struct{} `xml:"TagSet"`
	}
	require.NoError(t, xml.Unmarshal(r.Body, &got), "%s", r.Body)
	require.NotNil(t, got.TagSet)

	require.Equal(t, "AccessDenied", g.Other(t).Do(tags).Code)
	tags.Query = "tagging&versionId=other"
	require.Equal(t, "InvalidArgument", c.Do(tags).Code)
	tags.Key, tags.Query = "b", "tagging"
	require.Equal(t, "NoSuchKey", c.Do(tags).Code)
	for _, method := range []string{"PUT", "DELETE"} {
		require.Equal(t, "NotImplemented", c.Do(apitest.Request{Method: method, Bucket: bucketName, Key: "a", Query: "tagging"}).Code)
	}
}

// TestWhatARequestAsksForIsNotIgnored holds what a write asks for in its headers: each case must fail and change nothing.
func TestWhatARequestAsksForIsNotIgnored(t *testing.T) {
	_, c := start(t, apitest.Options{})
	put(t, c, "a", []byte("old"))
	u := begin(t, c, "parts", nil)
	copying := "x-amz-copy-source: " + bucketName + "/a\n"
	for _, test := range []struct{ method, key, query, header, code string }{
		{"PUT", "b", "", "x-amz-acl: private\nx-amz-acl: public-read", "NotImplemented"},
		{"PUT", "b", "", "x-amz-tagging: \nx-amz-tagging: a=b", "NotImplemented"},
		{"PUT", "b", "", "x-amz-expected-bucket-owner: someone", "AccessDenied"},
		{"PUT", "b", "", "x-amz-expected-bucket-owner: " + apitest.AccessKey + "\nx-amz-expected-bucket-owner: someone", "AccessDenied"},
		{"PUT", "b", "", "x-amz-if-match-size: 3", "NotImplemented"},
		{"PUT", "b", "", "x-amz-if-match-last-modified-time: Mon, 02 Jan 2006 15:04:05 GMT", "NotImplemented"},
		{"PUT", "b", "", "Content-Range: bytes 0-2/10", "NotImplemented"},
		{"PUT", "b", "append", "", "NotImplemented"},
		{"PUT", "b", "", "x-amz-write-offset-bytes: 0", "NotImplemented"},
		{"PUT", "b", "renameObject", "x-amz-rename-source: a", "NotImplemented"},
		{"DELETE", "a", "", "x-amz-mfa: 1 2", "NotImplemented"},
		{"DELETE", "a", "", "x-amz-bypass-governance-retention: true", "NotImplemented"},
		{"DELETE", "a", "versionId=1", "", "InvalidArgument"},
		{"PUT", "b", "", copying + "x-amz-copy-source-range: bytes=0-1", "NotImplemented"},
		{"PUT", "b", "", copying + "x-amz-copy-source-server-side-encryption-customer-algorithm: AES256", "NotImplemented"},
		{"PUT", "b", "", copying + "x-amz-tagging-directive: REPLACE\nx-amz-tagging: a=b", "NotImplemented"},
		{"PUT", "b", "", copying + "x-amz-source-expected-bucket-owner: someone", "NotImplemented"},
		{"POST", "b", "uploads", "x-amz-object-lock-mode: GOVERNANCE", "NotImplemented"},
		{"POST", "a", "uploads", "If-None-Match: *", "PreconditionFailed"},
		{"POST", "b", "uploads", "If-Match: \"0123\"", "NoSuchKey"},
		{"PUT", "parts", "partNumber=1&uploadId=" + u.id, "If-None-Match: *", "NotImplemented"},
		{"PUT", "parts", "partNumber=1&uploadId=" + u.id, "If-Match: \"0123\"", "NotImplemented"},
		{"PUT", "parts", "partNumber=1&uploadId=" + u.id, copying + "If-None-Match: *", "NotImplemented"},
		{"POST", "a", "restore", "", "NotImplemented"},
		{"POST", "a", "select&select-type=2", "", "NotImplemented"},
		{"GET", "a", "torrent", "", "NotImplemented"},
		{"GET", "a", "versionId=1", "", "InvalidArgument"},
	} {
		r := c.Do(apitest.Request{Method: test.method, Bucket: bucketName, Key: test.key, Query: test.query, Alter: func(r *http.Request) {
			r.Header.Del("Authorization")
			for line := range strings.Lines(test.header) {
				name, value, _ := strings.Cut(line, ":")
				r.Header.Add(name, strings.TrimSpace(value))
			}
			signer := c.Signer
			signer.Time = time.Now()
			signer.Sign(r, sigtest.Unsigned)
		}})
		require.Equal(t, test.code, r.Code, "%+v", test)
	}
	require.Equal(t, "old", string(get(c, "a").Body))
	require.Equal(t, 404, get(c, "b").Status)
}
