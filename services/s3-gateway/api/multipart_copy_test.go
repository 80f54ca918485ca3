package api_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/services/s3-gateway/api/apitest"
	"deuxfleurs.fr/garage/services/s3-gateway/checksum"
)

// copyPart copies a source, or a range of it, into a part.
func (u *upload) copyPart(number int, source, rng string, header map[string]string) *apitest.Response {
	u.t.Helper()
	h := map[string]string{"x-amz-copy-source": source}
	if rng != "" {
		h["x-amz-copy-source-range"] = rng
	}
	for k, v := range header {
		h[k] = v
	}
	return u.c.Do(apitest.Request{Method: "PUT", Bucket: bucketName, Key: u.key, Query: fmt.Sprintf("partNumber=%d&uploadId=%s", number, u.id), Header: h})
}

func (u *upload) copied(number int, p []byte, source, rng string) {
	u.t.Helper()
	r := u.copyPart(number, source, rng, nil)
	require.Equal(u.t, http.StatusOK, r.Status, "%s", r.Body)
	var result struct{ ETag, LastModified string }
	require.NoError(u.t, xml.Unmarshal(r.Body, &result))
	require.Equal(u.t, etagOf(p), result.ETag, "the MD5 of what was copied")
	require.NotEmpty(u.t, result.LastModified)
	u.take(number, result.ETag, "", len(p))
}

func TestPartsAreCopiedFromObjects(t *testing.T) {
	_, c := start(t, apitest.Options{})
	big, small := random(minPart+1000), []byte("a small body, kept inline")
	put(t, c, "big", big)
	put(t, c, "small+one", small)
	put(t, c, "empty", nil)
	u := begin(t, c, "copy", nil)
	u.copied(1, big, "/photos/big", "")
	u.copied(2, big[:minPart], "photos/big", fmt.Sprintf("bytes=0-%d", minPart-1))
	u.copied(3, big[7:minPart+8], "photos/big", fmt.Sprintf("bytes=7-%d", minPart+7))
	u.copied(4, small[2:9], "photos/small%2Bone", "bytes=2-8")
	require.Equal(t, http.StatusOK, u.copyPart(5, "photos/empty", "", nil).Status)
	r := u.complete(nil)
	require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
	want := bytes.Join([][]byte{big, big[:minPart], big[7 : minPart+8], small[2:9]}, nil)
	require.Contains(t, string(r.Body), checksum.CRC64NVME.Of(want))
	require.True(t, bytes.Equal(want, get(c, "copy").Body))

	// An object made of parts is a source like any other.
	v := begin(t, c, "again", nil)
	v.copied(1, want, "photos/copy", "")
	v.copied(2, want[minPart:minPart+10], "photos/copy", fmt.Sprintf("bytes=%d-%d", minPart, minPart+9))
	require.Equal(t, http.StatusOK, v.complete(nil).Status)
	require.True(t, bytes.Equal(append(bytes.Clone(want), want[minPart:minPart+10]...), get(c, "again").Body))
}

// countingStore counts the chunks that are read.
type countingStore struct {
	chunk.Store
	gets atomic.Int64
}

func (s *countingStore) Get(ctx context.Context, h chunk.Hash) (*buffer.Buffer, error) {
	s.gets.Add(1)
	return s.Store.Get(ctx, h)
}

func TestAWholeObjectIsCopiedWithoutReadingIt(t *testing.T) {
	var chunks *countingStore
	_, c := start(t, apitest.Options{Chunks: func(s chunk.Store) chunk.Store { chunks = &countingStore{Store: s}; return chunks }})
	p := random(minPart)
	put(t, c, "source", p)
	u := begin(t, c, "k", nil)
	u.copied(1, p, "photos/source", "")
	require.Zero(t, chunks.gets.Load())
	require.Equal(t, http.StatusOK, u.complete(nil).Status)
	require.Equal(t, http.StatusNoContent, c.Do(apitest.Request{Method: "DELETE", Bucket: bucketName, Key: "source"}).Status)
	require.True(t, bytes.Equal(p, get(c, "k").Body))
}

func TestACopiedPartHasTheUploadsChecksum(t *testing.T) {
	_, c := start(t, apitest.Options{})
	p := random(1000)
	put(t, c, "source", p)
	u := begin(t, c, "k", map[string]string{"x-amz-checksum-algorithm": "SHA256"})
	r := u.copyPart(1, "photos/source", "", nil)
	require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
	require.Contains(t, string(r.Body), "<ChecksumSHA256>"+checksum.SHA256.Of(p)+"</ChecksumSHA256>")
	u.take(1, etagOf(p), "<ChecksumSHA256>"+checksum.SHA256.Of(p)+"</ChecksumSHA256>", 0)
	require.Equal(t, http.StatusOK, u.complete(nil).Status)
}

func TestPartCopiesThatAreRefused(t *testing.T) {
	g, c := start(t, apitest.Options{})
	put(t, c, "source", random(100))
	u := begin(t, c, "k", nil)
	for _, tc := range []struct {
		source, rng, header, value, want string
	}{
		{"photos/source", "bytes=0-100", "", "", "InvalidArgument"},
		{"photos/source", "bytes=100-101", "", "", "InvalidRequest"},
		{"photos/source", "bytes=0-99999999999999999999", "", "", "InvalidArgument"},
		{"photos/source", "bytes=5-4", "", "", "InvalidArgument"},
		{"photos/source", "bytes=5-", "", "", "InvalidArgument"},
		{"photos/source", "bytes=-5", "", "", "InvalidArgument"},
		{"photos/source", "0-5", "", "", "InvalidArgument"},
		{"photos/source", "bytes=", "", "", "InvalidArgument"},
		{"photos/source", "bytes=-", "", "", "InvalidArgument"},
		{"photos/source", "bytes=0-1,3-4", "", "", "InvalidArgument"},
		{"photos/nothing", "", "", "", "NoSuchKey"},
		{"nobucket/source", "", "", "", "NoSuchBucket"},
		{"photos", "", "", "", "InvalidArgument"},
		{"photos/source?versionId=1", "", "", "", "InvalidArgument"},
		{"photos/source", "", "x-amz-copy-source-if-match", "other", "PreconditionFailed"},
		{"photos/source", "", "x-amz-copy-source-if-none-match", etagOf(random(100)), "PreconditionFailed"},
	} {
		h := map[string]string{}
		if tc.header != "" {
			h[tc.header] = tc.value
		}
		r := u.copyPart(1, tc.source, tc.rng, h)
		require.Equal(t, tc.want, r.Code, "%v: %s", tc, r.Body)
	}
	other := *u
	other.c = g.Other(t)
	grant(t, g, bucketName, apitest.OtherAccessKey, identity.Write)
	require.Equal(t, "AccessDenied", other.copyPart(1, "photos/source", "", nil).Code, "the source must be readable")
	gone := *u
	gone.id = "nothing"
	require.Equal(t, "NoSuchUpload", gone.copyPart(1, "photos/source", "", nil).Code)
}
