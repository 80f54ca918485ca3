package api_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/services/s3-gateway/api/apitest"
	"deuxfleurs.fr/garage/services/s3-gateway/checksum"
	"deuxfleurs.fr/garage/services/s3-gateway/sigv4/sigtest"
)

const minPart = 5 << 20

// upload is a multipart upload of a test.
type upload struct {
	t       testing.TB
	c       *apitest.Client
	key, id string
	parts   []part
}

type part struct {
	number int
	etag   string
	sums   string // XML of its checksums, for the list
	size   int
}

func begin(t testing.TB, c *apitest.Client, key string, header map[string]string) *upload {
	t.Helper()
	r := c.Do(apitest.Request{Method: "POST", Bucket: bucketName, Key: key, Query: "uploads", Header: header})
	require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
	var result struct{ Bucket, Key, UploadId string }
	require.NoError(t, xml.Unmarshal(r.Body, &result))
	require.Equal(t, bucketName, result.Bucket)
	require.Equal(t, key, result.Key)
	return &upload{t: t, c: c, key: key, id: result.UploadId}
}

// try uploads a part.
func (u *upload) try(number int, p []byte, header map[string]string) *apitest.Response {
	u.t.Helper()
	return u.c.Do(apitest.Request{Method: "PUT", Bucket: bucketName, Key: u.key, Query: fmt.Sprintf("partNumber=%d&uploadId=%s", number, u.id), Body: p, Header: header})
}

// part uploads a part and takes it into the list.
func (u *upload) part(number int, p []byte) string {
	u.t.Helper()
	r := u.try(number, p, nil)
	require.Equal(u.t, http.StatusOK, r.Status, "%s", r.Body)
	u.take(number, r.Header.Get("ETag"), "", len(p))
	return r.Header.Get("ETag")
}

func (u *upload) take(number int, etag, sums string, size int) {
	u.parts = append(u.parts, part{number, etag, sums, size})
}

func (u *upload) list() []byte {
	var b strings.Builder
	b.WriteString("<CompleteMultipartUpload>")
	for _, p := range u.parts {
		fmt.Fprintf(&b, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag>%s</Part>", p.number, p.etag, p.sums)
	}
	b.WriteString("</CompleteMultipartUpload>")
	return []byte(b.String())
}

func (u *upload) complete(header map[string]string) *apitest.Response {
	u.t.Helper()
	return u.c.Do(apitest.Request{Method: "POST", Bucket: bucketName, Key: u.key, Query: "uploadId=" + u.id, Body: u.list(), Header: header})
}

func (u *upload) abort() *apitest.Response {
	u.t.Helper()
	return u.c.Do(apitest.Request{Method: "DELETE", Bucket: bucketName, Key: u.key, Query: "uploadId=" + u.id})
}

func etagOf(p []byte) string {
	sum := md5.Sum(p)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func TestAnObjectOfPartsComesBackWhole(t *testing.T) {
	g, c := start(t, apitest.Options{})
	u := begin(t, c, "dir/big file", map[string]string{"Content-Type": "image/png", "x-amz-meta-a": "b", "Cache-Control": "no-store"})
	one, two, three := random(minPart), random(minPart+12345), random(77)
	require.Equal(t, etagOf(two), u.part(2, two))
	u.part(7, three)
	u.part(1, random(100)) // replaced below
	u.parts = append([]part{{1, u.part(1, one), "", 0}}, u.parts[:2]...)

	r := get(c, "dir/big file")
	require.Equal(t, "NoSuchKey", r.Code, "not visible before it is complete")

	r = u.complete(nil)
	require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
	var result struct{ Location, Bucket, Key, ETag, ChecksumCRC64NVME, ChecksumType string }
	require.NoError(t, xml.Unmarshal(r.Body, &result))
	whole := bytes.Join([][]byte{one, two, three}, nil)
	m1, m2, m3 := md5.Sum(one), md5.Sum(two), md5.Sum(three)
	all := md5.Sum(bytes.Join([][]byte{m1[:], m2[:], m3[:]}, nil))
	etag := `"` + hex.EncodeToString(all[:]) + `-3"`
	require.Equal(t, etag, result.ETag)
	require.Equal(t, c.URL+"/photos/dir/big%20file", result.Location)
	require.Equal(t, checksum.CRC64NVME.Of(whole), result.ChecksumCRC64NVME, "the checksum of the whole")
	require.Equal(t, "FULL_OBJECT", result.ChecksumType)

	r = get(c, "dir/big file")
	require.Equal(t, http.StatusOK, r.Status)
	require.True(t, bytes.Equal(whole, r.Body))
	require.Equal(t, etag, r.Header.Get("ETag"))
	require.Equal(t, "image/png", r.Header.Get("Content-Type"))
	require.Equal(t, "b", r.Header.Get("x-amz-meta-a"))
	require.Equal(t, "no-store", r.Header.Get("Cache-Control"))

	r = c.Do(apitest.Request{Method: "GET", Bucket: bucketName, Key: u.key, Query: "partNumber=2"})
	require.Equal(t, http.StatusPartialContent, r.Status)
	require.Equal(t, len(two), len(r.Body))
	require.True(t, bytes.Equal(two, r.Body))
	require.Equal(t, "3", r.Header.Get("x-amz-mp-parts-count"))
	r = c.Do(apitest.Request{Method: "GET", Bucket: bucketName, Key: u.key, Header: map[string]string{"Range": fmt.Sprintf("bytes=%d-%d", minPart-3, minPart+2)}})
	require.Equal(t, whole[minPart-3:minPart+3], r.Body)
	require.Zero(t, g.Pool.Used(), "all memory is given back")
}

func TestPartsOfAllSizesComeBack(t *testing.T) {
	_, c := start(t, apitest.Options{})
	for _, size := range []int{0, 1, 4096, apitest.ChunkSize, apitest.ChunkSize + 1} {
		u := begin(t, c, "k", nil)
		p := random(size)
		u.part(1, p)
		r := u.complete(nil)
		require.Equal(t, http.StatusOK, r.Status, "%d: %s", size, r.Body)
		got := get(c, "k")
		require.Equal(t, http.StatusOK, got.Status)
		require.True(t, bytes.Equal(p, got.Body), "%d", size)
	}
}

func TestCompletingAgainGivesTheSameAnswer(t *testing.T) {
	_, c := start(t, apitest.Options{})
	u := begin(t, c, "k", nil)
	u.part(1, random(100))
	first := u.complete(map[string]string{"If-None-Match": "*"})
	require.Equal(t, http.StatusOK, first.Status)
	again := u.complete(map[string]string{"If-None-Match": "*"})
	require.Equal(t, http.StatusOK, again.Status)
	require.Equal(t, string(first.Body), string(again.Body))

	put(t, c, "k", []byte("newer"))
	again = u.complete(nil)
	require.Equal(t, http.StatusOK, again.Status)
	require.Equal(t, "newer", string(get(c, "k").Body), "what was written since stays")

	u.parts[0].etag = etagOf([]byte("another"))
	require.Equal(t, "NoSuchUpload", u.complete(nil).Code)
	require.Equal(t, "NoSuchUpload", u.abort().Code)
	require.Equal(t, "NoSuchUpload", u.try(2, []byte("x"), nil).Code)
}

func TestCompletionsThatAreRefused(t *testing.T) {
	_, c := start(t, apitest.Options{})
	u := begin(t, c, "k", nil)
	u.part(1, random(minPart))
	u.part(2, random(100))
	u.part(3, random(100))
	good := u.parts
	raw := func(body string) func() *apitest.Response {
		return func() *apitest.Response {
			return c.Do(apitest.Request{Method: "POST", Bucket: bucketName, Key: "k", Query: "uploadId=" + u.id, Body: []byte(body)})
		}
	}
	parts := func(p ...part) func() *apitest.Response {
		return func() *apitest.Response {
			u.parts = p
			return u.complete(nil)
		}
	}
	headers := func(h ...string) func() *apitest.Response {
		return func() *apitest.Response {
			u.parts = good[:2]
			return u.complete(map[string]string{h[0]: h[1]})
		}
	}
	for name, tc := range map[string]struct {
		try  func() *apitest.Response
		want string
	}{
		"empty body":       {raw(""), "MissingRequestBodyError"},
		"not XML":          {raw("hello"), "MalformedXML"},
		"no parts":         {raw("<CompleteMultipartUpload/>"), "InvalidRequest"},
		"another root":     {raw("<Complete/>"), "MalformedXML"},
		"number a word":    {raw("<CompleteMultipartUpload><Part><PartNumber>one</PartNumber></Part></CompleteMultipartUpload>"), "MalformedXML"},
		"number 0":         {parts(part{number: 0, etag: good[0].etag}), "InvalidArgument"},
		"number 10001":     {parts(part{number: 10001, etag: good[0].etag}), "InvalidArgument"},
		"wrong order":      {parts(good[1], good[0]), "InvalidPartOrder"},
		"a part twice":     {parts(good[0], good[0]), "InvalidPartOrder"},
		"unknown part":     {parts(good[0], part{number: 9, etag: good[0].etag}), "InvalidPart"},
		"another ETag":     {parts(good[0], part{number: 2, etag: good[0].etag}), "InvalidPart"},
		"no ETag":          {parts(good[0], part{number: 2}), "InvalidPart"},
		"ETag of no part":  {parts(part{number: 1, etag: "zz"}), "InvalidPart"},
		"small part":       {parts(good...), "EntityTooSmall"},
		"wrong checksum":   {parts(part{1, good[0].etag, "<ChecksumCRC64NVME>AAAAAAAAAAA=</ChecksumCRC64NVME>", 0}), "InvalidPart"},
		"other checksum":   {parts(part{1, good[0].etag, "<ChecksumSHA1>AAAA</ChecksumSHA1>", 0}), "InvalidPart"},
		"wrong size":       {headers("x-amz-mp-object-size", "7"), "InvalidRequest"},
		"wrong sum":        {headers("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="), "BadDigest"},
		"sum of another":   {headers("x-amz-checksum-sha1", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="), "BadDigest"},
		"another type":     {headers("x-amz-checksum-type", "COMPOSITE"), "InvalidRequest"},
		"no such object":   {headers("If-Match", "x"), "NoSuchKey"},
		"two conditions":   {headers("If-None-Match", "x"), "NotImplemented"},
		"another upload":   {func() *apitest.Response { v := *u; v.id = strings.Repeat("0", 36); return v.complete(nil) }, "NoSuchUpload"},
		"braces around ID": {func() *apitest.Response { v := *u; v.id = "%7B" + u.id + "%7D"; return v.complete(nil) }, "NoSuchUpload"},
		"another key":      {func() *apitest.Response { v := *u; v.key = "other"; return v.complete(nil) }, "NoSuchUpload"},
	} {
		r := tc.try()
		require.Equal(t, tc.want, r.Code, "%s: %s", name, r.Body)
		require.Equal(t, "NoSuchKey", get(c, "k").Code, name)
	}
	u.parts = good[:2]
	require.Equal(t, http.StatusOK, u.complete(map[string]string{"x-amz-mp-object-size": fmt.Sprint(minPart + 100)}).Status, "the upload is still there")
}

func TestConditionalCompletion(t *testing.T) {
	_, c := start(t, apitest.Options{})
	u := begin(t, c, "k", nil)
	u.part(1, []byte("parts"))
	put(t, c, "k", []byte("there"))
	require.Equal(t, "PreconditionFailed", u.complete(map[string]string{"If-None-Match": "*"}).Code)
	require.Equal(t, "PreconditionFailed", u.complete(map[string]string{"If-Match": etagOf([]byte("other"))}).Code)
	require.Equal(t, http.StatusOK, u.complete(map[string]string{"If-Match": etagOf([]byte("there"))}).Status)
	require.Equal(t, "parts", string(get(c, "k").Body))
}

func TestAnAbortedUploadIsGone(t *testing.T) {
	_, c := start(t, apitest.Options{})
	u := begin(t, c, "k", nil)
	u.part(1, random(1000))
	r := u.abort()
	require.Equal(t, http.StatusNoContent, r.Status)
	for _, r := range []*apitest.Response{u.abort(), u.complete(nil), u.try(2, []byte("x"), nil), listParts(u, "")} {
		require.Equal(t, "NoSuchUpload", r.Code, "%s", r.Body)
		require.Equal(t, http.StatusNotFound, r.Status)
	}
}

func TestPartsThatAreRefusedLeaveNothing(t *testing.T) {
	_, c := start(t, apitest.Options{})
	u := begin(t, c, "k", nil)
	body := random(10_000)
	do := func(query string, change func(*apitest.Request)) *apitest.Response {
		r := apitest.Request{Method: "PUT", Bucket: bucketName, Key: "k", Query: query + "&uploadId=" + u.id, Body: body}
		if change != nil {
			change(&r)
		}
		return c.Do(r)
	}
	header := func(name, value string) func(*apitest.Request) {
		return func(r *apitest.Request) { r.Header = map[string]string{name: value} }
	}
	for name, tc := range map[string]struct {
		response *apitest.Response
		want     string
	}{
		"number 0":     {do("partNumber=0", nil), "InvalidArgument"},
		"number 10001": {do("partNumber=10001", nil), "InvalidArgument"},
		"number word":  {do("partNumber=one", nil), "InvalidArgument"},
		"no number":    {do("x=1", nil), "InvalidArgument"},
		"empty number": {do("partNumber=", nil), "InvalidArgument"},
		"MD5":          {do("partNumber=1", header("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg==")), "BadDigest"},
		"bad MD5":      {do("partNumber=1", header("Content-MD5", "zz")), "InvalidDigest"},
		"checksum":     {do("partNumber=1", header("x-amz-checksum-crc32", "AAAAAA==")), "BadDigest"},
		"bad checksum": {do("partNumber=1", header("x-amz-checksum-crc32", "zz")), "InvalidRequest"},
		"body altered": {do("partNumber=1", func(r *apitest.Request) { r.Payload = sigtest.Hash([]byte("x")) }), "XAmzContentSHA256Mismatch"},
	} {
		require.Equal(t, tc.want, tc.response.Code, "%s: %s", name, tc.response.Body)
	}
	require.NotContains(t, string(listParts(u, "").Body), "<Part>")
}

func TestRightsOnUploads(t *testing.T) {
	g, c := start(t, apitest.Options{})
	u := begin(t, c, "k", nil)
	u.part(1, []byte("x"))
	other := *u
	other.c = g.Other(t)
	for _, rights := range []identity.Rights{0, identity.Read} {
		grant(t, g, bucketName, apitest.OtherAccessKey, rights)
		for _, r := range []*apitest.Response{other.try(2, []byte("x"), nil), other.complete(nil), other.abort()} {
			require.Equal(t, "AccessDenied", r.Code)
		}
	}
	require.Equal(t, http.StatusOK, listParts(&other, "").Status)
	grant(t, g, bucketName, apitest.OtherAccessKey, identity.Write)
	require.Equal(t, "AccessDenied", listParts(&other, "").Code)
	require.Equal(t, http.StatusOK, other.complete(nil).Status)
}
