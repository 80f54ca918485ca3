package api_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/services/s3-gateway/api/apitest"
	"deuxfleurs.fr/garage/services/s3-gateway/checksum"
)

// sum uploads a part with its checksum and takes it into the list.
func (u *upload) sum(number int, p []byte, a checksum.Algorithm) {
	u.t.Helper()
	r := u.try(number, p, map[string]string{a.Header(): a.Of(p)})
	require.Equal(u.t, http.StatusOK, r.Status, "%s", r.Body)
	require.Equal(u.t, a.Of(p), r.Header.Get(a.Header()))
	u.take(number, r.Header.Get("ETag"), fmt.Sprintf("<Checksum%s>%s</Checksum%s>", a, a.Of(p), a), len(p))
}

func TestChecksumsOfObjectsMadeOfParts(t *testing.T) {
	one, two := random(minPart), random(4321)
	whole := bytes.Join([][]byte{one, two}, nil)
	for _, tc := range []struct {
		a       checksum.Algorithm
		asked   string
		typ     string
		partsIn bool // the checksums of the parts must be in the list
	}{
		{checksum.CRC32, "", "COMPOSITE", true}, {checksum.CRC32C, "COMPOSITE", "COMPOSITE", true}, {checksum.SHA1, "", "COMPOSITE", true},
		{checksum.SHA256, "", "COMPOSITE", true}, {checksum.CRC32, "FULL_OBJECT", "FULL_OBJECT", false},
		{checksum.CRC32C, "FULL_OBJECT", "FULL_OBJECT", false}, {checksum.CRC64NVME, "", "FULL_OBJECT", false},
	} {
		t.Run(tc.a.String()+" "+tc.typ, func(t *testing.T) {
			_, c := start(t, apitest.Options{})
			header := map[string]string{"x-amz-checksum-algorithm": tc.a.String()}
			if tc.asked != "" {
				header["x-amz-checksum-type"] = tc.asked
			}
			u := begin(t, c, "k", header)
			u.sum(1, one, tc.a)
			u.sum(2, two, tc.a)
			want := tc.a.Of(whole)
			if tc.typ == "COMPOSITE" {
				var err error
				want, err = tc.a.OfParts(checksum.Composite, []checksum.Part{{Value: tc.a.Of(one)}, {Value: tc.a.Of(two)}})
				require.NoError(t, err)
			}

			without := *u
			without.parts = []part{{1, u.parts[0].etag, "", 0}, {2, u.parts[1].etag, "", 0}}
			if tc.partsIn {
				r := without.complete(nil)
				require.Equal(t, "InvalidRequest", r.Code)
				require.Contains(t, string(r.Body), "must include the checksum for each part. It was missing for part 1")
			}
			r := u.complete(map[string]string{tc.a.Header(): strings.Replace(want, want[:1], "_", 1)})
			require.Equal(t, "BadDigest", r.Code)
			bare, _, _ := strings.Cut(want, "-")
			r = u.complete(map[string]string{tc.a.Header(): bare + "-7"})
			require.Equal(t, "BadDigest", r.Code)
			r = u.complete(map[string]string{tc.a.Header(): bare, "x-amz-checksum-type": tc.typ}) // clients leave out the number of parts
			require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
			require.Equal(t, http.StatusOK, u.complete(map[string]string{tc.a.Header(): want}).Status, "again")
			require.Contains(t, string(r.Body), fmt.Sprintf("<Checksum%s>%s</Checksum%s><ChecksumType>%s</ChecksumType>", tc.a, want, tc.a, tc.typ))

			h := c.Do(apitest.Request{Method: "HEAD", Bucket: bucketName, Key: "k", Header: map[string]string{"x-amz-checksum-mode": "ENABLED"}})
			require.Equal(t, want, h.Header.Get(tc.a.Header()))
			require.Equal(t, tc.typ, h.Header.Get("x-amz-checksum-type"))

			r = c.Do(apitest.Request{Method: "GET", Bucket: bucketName, Key: "k", Query: "attributes", Header: map[string]string{"x-amz-object-attributes": "ObjectParts,Checksum,ObjectSize"}})
			require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
			require.Contains(t, string(r.Body), fmt.Sprintf("<Part><PartNumber>2</PartNumber><Size>%d</Size><Checksum%s>%s</Checksum%s></Part>", len(two), tc.a, tc.a.Of(two), tc.a))
			require.Contains(t, string(r.Body), fmt.Sprintf("<ObjectSize>%d</ObjectSize>", len(whole)))
		})
	}
}

func TestAPartMustHaveTheUploadsChecksum(t *testing.T) {
	_, c := start(t, apitest.Options{})
	u := begin(t, c, "k", map[string]string{"x-amz-checksum-algorithm": "SHA256"})
	p := []byte("hello")
	r := u.try(1, p, nil)
	require.Equal(t, "InvalidRequest", r.Code)
	require.Contains(t, string(r.Body), "expected checksum Type: sha256, actual checksum Type: null")
	r = u.try(1, p, map[string]string{"x-amz-checksum-crc32": checksum.CRC32.Of(p)})
	require.Contains(t, string(r.Body), "expected checksum Type: sha256, actual checksum Type: crc32")

	// Without one, a part may have any.
	u = begin(t, c, "k", nil)
	u.sum(1, p, checksum.CRC32)
	u.parts[0].sums = ""
	require.Equal(t, http.StatusOK, u.complete(nil).Status)
}

func TestUploadsThatCannotBegin(t *testing.T) {
	_, c := start(t, apitest.Options{})
	for _, tc := range []struct{ name, value, want string }{
		{"x-amz-checksum-algorithm", "MD4", "InvalidRequest"},
		{"x-amz-checksum-type", "COMPOSITE", "InvalidRequest"},
		{"x-amz-storage-class", "GLACIER", "InvalidStorageClass"},
		{"x-amz-server-side-encryption", "AES256", "NotImplemented"},
		{"x-amz-meta-a", strings.Repeat("x", 3000), "MetadataTooLarge"},
	} {
		r := c.Do(apitest.Request{Method: "POST", Bucket: bucketName, Key: "k", Query: "uploads", Header: map[string]string{tc.name: tc.value}})
		require.Equal(t, tc.want, r.Code, tc.name)
	}
	r := c.Do(apitest.Request{Method: "POST", Bucket: bucketName, Key: "k", Query: "uploads", Header: map[string]string{"x-amz-checksum-algorithm": "SHA1", "x-amz-checksum-type": "FULL_OBJECT"}})
	require.Equal(t, "InvalidRequest", r.Code)
	require.Equal(t, "NoSuchBucket", c.Do(apitest.Request{Method: "POST", Bucket: "nobucket", Key: "k", Query: "uploads"}).Code)
}

func TestTrailingChecksumsOfParts(t *testing.T) {
	_, c := start(t, apitest.Options{})
	u := begin(t, c, "k", map[string]string{"x-amz-checksum-algorithm": "CRC32"})
	p := random(100_000)
	send := func(value string) *apitest.Response {
		name := checksum.CRC32.Header()
		encoded := c.Signer.Chunked("", p, 64<<10, trailer(name, value))
		return c.Do(apitest.Request{
			Method: "PUT", Bucket: bucketName, Key: "k", Query: "partNumber=1&uploadId=" + u.id, Body: encoded, Payload: "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
			Header: map[string]string{"x-amz-trailer": name, "x-amz-decoded-content-length": fmt.Sprint(len(p)), "Content-Encoding": "aws-chunked"},
		})
	}
	require.Equal(t, "BadDigest", send(checksum.CRC32.Of([]byte("other"))).Code)
	r := send(checksum.CRC32.Of(p))
	require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
	require.Equal(t, checksum.CRC32.Of(p), r.Header.Get(checksum.CRC32.Header()))
	u.take(1, r.Header.Get("ETag"), "<ChecksumCRC32>"+checksum.CRC32.Of(p)+"</ChecksumCRC32>", len(p))
	require.Equal(t, http.StatusOK, u.complete(nil).Status)
	require.True(t, bytes.Equal(p, get(c, "k").Body))
}

func TestListedPartsHaveTheirChecksums(t *testing.T) {
	_, c := start(t, apitest.Options{})
	u := begin(t, c, "k", map[string]string{"x-amz-checksum-algorithm": "CRC32C"})
	u.sum(1, []byte("a"), checksum.CRC32C)
	var result struct {
		ChecksumAlgorithm, ChecksumType string
		Part                            []struct{ ChecksumCRC32C string }
	}
	require.NoError(t, xml.Unmarshal(listParts(u, "").Body, &result))
	require.Equal(t, "CRC32C", result.ChecksumAlgorithm)
	require.Equal(t, "COMPOSITE", result.ChecksumType)
	require.Equal(t, checksum.CRC32C.Of([]byte("a")), result.Part[0].ChecksumCRC32C)
}
