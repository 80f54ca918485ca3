package s3

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/s3client"
)

const partSize = 5 << 20

type part struct {
	number int
	etag   string
	body   []byte
}

func begin(t *testing.T, bucket, key string, headers map[string]string) string {
	t.Helper()
	var answer struct{ Bucket, Key, UploadId string }
	parse(t, ok(t, request{Method: "POST", Bucket: bucket, Key: key, Query: "uploads=", Header: headers}).Body, &answer)
	require.Equal(t, bucket, answer.Bucket)
	require.Equal(t, key, answer.Key)
	require.NotEmpty(t, answer.UploadId)
	return answer.UploadId
}

func partRequest(bucket, key, upload string, number int, body []byte) request {
	return request{
		Method: "PUT", Bucket: bucket, Key: key, Body: body,
		Query: fmt.Sprintf("partNumber=%d&uploadId=%s", number, escape(upload)),
	}
}

func uploadPart(t *testing.T, bucket, key, upload string, number int, body []byte) part {
	t.Helper()
	resp := ok(t, partRequest(bucket, key, upload, number, body))
	require.Equal(t, etag(body), resp.Header.Get("ETag"))
	return part{number, resp.Header.Get("ETag"), body}
}

func completeRequest(bucket, key, upload string, parts ...part) request {
	var b bytes.Buffer
	b.WriteString(`<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`)
	for _, p := range parts {
		fmt.Fprintf(&b, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", p.number, p.etag)
	}
	b.WriteString("</CompleteMultipartUpload>")
	return request{Method: "POST", Bucket: bucket, Key: key, Query: "uploadId=" + escape(upload), Body: b.Bytes()}
}

// complete sends CompleteMultipartUpload. The answer may have status 200 and carry an error.
func complete(t *testing.T, bucket, key, upload string, parts ...part) string {
	t.Helper()
	var answer struct{ Bucket, Key, ETag, Location, Code, Message string }
	parse(t, ok(t, completeRequest(bucket, key, upload, parts...)).Body, &answer)
	require.Empty(t, answer.Code, answer.Message)
	require.Equal(t, key, answer.Key)
	require.Equal(t, multipartETag(parts...), answer.ETag)
	return answer.ETag
}

// completeRefused accepts the error with its own status or within a status 200, as S3 may send either.
func completeRefused(t *testing.T, code string, r request) {
	t.Helper()
	resp := do(t, r)
	if resp.Status == 200 {
		var answer struct{ Code string }
		parse(t, resp.Body, &answer)
		resp.Code = answer.Code
	}
	require.Equal(t, code, resp.Code, "%d %s", resp.Status, resp.Message)
}

func multipartETag(parts ...part) string {
	sum := md5.New()
	for _, p := range parts {
		one := md5.Sum(p.body)
		sum.Write(one[:])
	}
	return fmt.Sprintf(`"%s-%d"`, hex.EncodeToString(sum.Sum(nil)), len(parts))
}

func TestMultipartUpload(t *testing.T) {
	bucket := newBucket(t)
	upload := begin(t, bucket, "key", header("Content-Type", "text/parts", "X-Amz-Meta-A", "b"))
	absent(t, bucket, "key")
	var parts []part
	var whole []byte
	for i, size := range []int{partSize, partSize + 1, 100} {
		p := uploadPart(t, bucket, "key", upload, 3*i+1, random(size))
		parts, whole = append(parts, p), append(whole, p.body...)
	}
	absent(t, bucket, "key")
	tag := complete(t, bucket, "key", upload, parts...)

	resp := ok(t, request{Method: "GET", Bucket: bucket, Key: "key"})
	sameBody(t, whole, resp.Body)
	require.Equal(t, tag, resp.Header.Get("ETag"))
	require.Equal(t, "text/parts", resp.Header.Get("Content-Type"))
	require.Equal(t, "b", resp.Header.Get("X-Amz-Meta-A"))
	require.Equal(t, tag, listObjects(t, bucket, "").Contents[0].ETag)

	t.Run("part numbers read one part", func(t *testing.T) {
		for _, p := range parts {
			for _, method := range []string{"GET", "HEAD"} {
				resp := ok(t, request{Method: method, Bucket: bucket, Key: "key", Query: fmt.Sprintf("partNumber=%d", p.number)})
				require.Equal(t, 206, resp.Status)
				require.Equal(t, fmt.Sprint(len(p.body)), resp.Header.Get("Content-Length"))
				require.Equal(t, "3", resp.Header.Get("X-Amz-Mp-Parts-Count"))
				if method == "GET" {
					sameBody(t, p.body, resp.Body)
				}
			}
		}
		resp := do(t, request{Method: "GET", Bucket: bucket, Key: "key", Query: "partNumber=2"})
		require.Contains(t, []int{400, 416}, resp.Status)
	})
	t.Run("ranges across parts", func(t *testing.T) {
		from, to := partSize-10, 2*partSize+50
		resp := ok(t, request{Method: "GET", Bucket: bucket, Key: "key", Header: header("Range", fmt.Sprintf("bytes=%d-%d", from, to-1))})
		sameBody(t, whole[from:to], resp.Body)
	})
	t.Run("complete again gives the same answer", func(t *testing.T) {
		require.Equal(t, tag, complete(t, bucket, "key", upload, parts...))
	})
	t.Run("the upload is gone", func(t *testing.T) {
		refused(t, 404, "NoSuchUpload", partRequest(bucket, "key", upload, 1, []byte("late")))
		refused(t, 404, "NoSuchUpload", request{Method: "GET", Bucket: bucket, Key: "key", Query: "uploadId=" + escape(upload)})
	})
}

func TestAPartUploadedAgainReplacesTheFirst(t *testing.T) {
	bucket := newBucket(t)
	upload := begin(t, bucket, "key", nil)
	old := uploadPart(t, bucket, "key", upload, 1, random(100))
	fresh := uploadPart(t, bucket, "key", upload, 1, random(200))
	completeRefused(t, "InvalidPart", completeRequest(bucket, "key", upload, old))
	complete(t, bucket, "key", upload, fresh)
	sameBody(t, fresh.body, get(t, bucket, "key"))
}

func TestCompleteUsesOnlyTheListedParts(t *testing.T) {
	bucket := newBucket(t)
	upload := begin(t, bucket, "key", nil)
	first := uploadPart(t, bucket, "key", upload, 1, random(partSize))
	uploadPart(t, bucket, "key", upload, 2, random(partSize))
	third := uploadPart(t, bucket, "key", upload, 3, random(10))
	complete(t, bucket, "key", upload, first, third)
	sameBody(t, append(bytes.Clone(first.body), third.body...), get(t, bucket, "key"))
}

func TestCompleteRefusesBadLists(t *testing.T) {
	bucket := newBucket(t)
	upload := begin(t, bucket, "key", nil)
	small, second := uploadPart(t, bucket, "key", upload, 1, random(10)), uploadPart(t, bucket, "key", upload, 2, random(10))
	completeRefused(t, "InvalidPartOrder", completeRequest(bucket, "key", upload, second, small))
	completeRefused(t, "EntityTooSmall", completeRequest(bucket, "key", upload, small, second))
	completeRefused(t, "InvalidPart", completeRequest(bucket, "key", upload, part{3, etag(nil), nil}))
	completeRefused(t, "InvalidPart", completeRequest(bucket, "key", upload, part{1, etag(nil), nil}))
	completeRefused(t, "InvalidRequest", completeRequest(bucket, "key", upload))
	for _, body := range []string{"<x", "not xml", `<!DOCTYPE a [<!ENTITY e "1">]><CompleteMultipartUpload><Part><PartNumber>&e;</PartNumber></Part></CompleteMultipartUpload>`} {
		r := completeRequest(bucket, "key", upload)
		r.Body = []byte(body)
		completeRefused(t, "MalformedXML", r)
	}
	nothing := completeRequest(bucket, "key", upload)
	nothing.Body = nil
	require.Equal(t, 400, do(t, nothing).Status)
	absent(t, bucket, "key")
	complete(t, bucket, "key", upload, small)
	sameBody(t, small.body, get(t, bucket, "key"))
}

func TestUploadsThatDoNotExist(t *testing.T) {
	bucket := newBucket(t)
	for _, upload := range []string{"nonsense", "00000000-0000-0000-0000-000000000000", "../../etc", "ÿ", "x%00y"} {
		refused(t, 404, "NoSuchUpload", partRequest(bucket, "key", upload, 1, []byte("x")))
		completeRefused(t, "NoSuchUpload", completeRequest(bucket, "key", upload, part{1, etag(nil), nil}))
		refused(t, 404, "NoSuchUpload", request{Method: "DELETE", Bucket: bucket, Key: "key", Query: "uploadId=" + escape(upload)})
		refused(t, 404, "NoSuchUpload", request{Method: "GET", Bucket: bucket, Key: "key", Query: "uploadId=" + escape(upload)})
	}
	upload := begin(t, bucket, "key", nil)
	refused(t, 404, "NoSuchUpload", partRequest(bucket, "other", upload, 1, []byte("x")))
	ok(t, request{Method: "DELETE", Bucket: bucket, Key: "key", Query: "uploadId=" + escape(upload)})
}

func TestPartNumbersAreOneToTenThousand(t *testing.T) {
	bucket := newBucket(t)
	upload := begin(t, bucket, "key", nil)
	for _, number := range []int{-1, 0, 10001} {
		refused(t, 400, "InvalidArgument", partRequest(bucket, "key", upload, number, []byte("x")))
	}
	last := uploadPart(t, bucket, "key", upload, 10000, []byte("last"))
	complete(t, bucket, "key", upload, last)
}

func TestAbortLeavesNothing(t *testing.T) {
	bucket := newBucket(t)
	upload := begin(t, bucket, "key", nil)
	p := uploadPart(t, bucket, "key", upload, 1, random(2<<20))
	abort := request{Method: "DELETE", Bucket: bucket, Key: "key", Query: "uploadId=" + escape(upload)}
	require.Equal(t, 204, ok(t, abort).Status)
	completeRefused(t, "NoSuchUpload", completeRequest(bucket, "key", upload, p))
	empty(t, bucket)
}

func TestListingPartsPages(t *testing.T) {
	bucket := newBucket(t)
	upload := begin(t, bucket, "key", nil)
	for i := 1; i <= 5; i++ {
		uploadPart(t, bucket, "key", upload, i*2, random(i))
	}
	var numbers []int
	marker := 0
	for {
		var answer struct {
			Bucket, Key, UploadId string
			IsTruncated           bool
			NextPartNumberMarker  int
			MaxParts              int
			Part                  []struct {
				PartNumber int
				ETag       string
				Size       int64
			}
		}
		parse(t, ok(t, request{
			Method: "GET", Bucket: bucket, Key: "key",
			Query: fmt.Sprintf("max-parts=2&part-number-marker=%d&uploadId=%s", marker, escape(upload)),
		}).Body, &answer)
		require.Equal(t, upload, answer.UploadId)
		require.Equal(t, 2, answer.MaxParts)
		for _, p := range answer.Part {
			require.Equal(t, int64(p.PartNumber/2), p.Size)
			numbers = append(numbers, p.PartNumber)
		}
		if marker = answer.NextPartNumberMarker; !answer.IsTruncated {
			break
		}
	}
	require.Equal(t, []int{2, 4, 6, 8, 10}, numbers)
}

func TestListingUploadsPages(t *testing.T) {
	bucket := newBucket(t)
	want := map[string]string{}
	for _, key := range []string{"a", "b/1", "b/2", "b/2", "c"} {
		want[begin(t, bucket, key, nil)] = key
	}
	type answer struct {
		IsTruncated                       bool
		NextKeyMarker, NextUploadIdMarker string
		Upload                            []struct{ Key, UploadId string }
		CommonPrefixes                    []struct{ Prefix string }
	}
	got := map[string]string{}
	query := "uploads=&max-uploads=2"
	for page := 0; ; page++ {
		require.Less(t, page, 4)
		var a answer
		parse(t, ok(t, request{Method: "GET", Bucket: bucket, Query: query}).Body, &a)
		require.LessOrEqual(t, len(a.Upload), 2)
		for _, u := range a.Upload {
			require.NotContains(t, got, u.UploadId)
			got[u.UploadId] = u.Key
		}
		if !a.IsTruncated {
			break
		}
		query = "uploads=&max-uploads=2&key-marker=" + escape(a.NextKeyMarker) + "&upload-id-marker=" + escape(a.NextUploadIdMarker)
	}
	require.Equal(t, want, got)
	var grouped answer
	parse(t, ok(t, request{Method: "GET", Bucket: bucket, Query: "uploads=&delimiter=%2F"}).Body, &grouped)
	require.Len(t, grouped.Upload, 2)
	require.Equal(t, "b/", grouped.CommonPrefixes[0].Prefix)
}

func TestUploadPartCopy(t *testing.T) {
	bucket := newBucket(t)
	source := random(7<<20 + 3)
	put(t, bucket, "source/ü", source)
	upload := begin(t, bucket, "key", nil)
	copyPart := func(number int, headers map[string]string) *s3client.Response {
		r := partRequest(bucket, "key", upload, number, nil)
		r.Header = headers
		return do(t, r)
	}
	from := bucket + "/source/%C3%BC"
	var parts []part
	for number, c := range []struct{ from, to int }{{0, 6 << 20}, {6 << 20, len(source)}} {
		resp := copyPart(number+1, header("X-Amz-Copy-Source", from, "X-Amz-Copy-Source-Range", fmt.Sprintf("bytes=%d-%d", c.from, c.to-1)))
		require.Equal(t, 200, resp.Status, resp.Message)
		var answer struct{ ETag string }
		parse(t, resp.Body, &answer)
		require.Equal(t, etag(source[c.from:c.to]), answer.ETag)
		parts = append(parts, part{number + 1, answer.ETag, source[c.from:c.to]})
	}
	checkError(t, 400, "InvalidArgument",
		copyPart(3, header("X-Amz-Copy-Source", from, "X-Amz-Copy-Source-Range", fmt.Sprintf("bytes=0-%d", len(source)))), "range past the end")
	checkError(t, 404, "NoSuchKey", copyPart(3, header("X-Amz-Copy-Source", bucket+"/none")), "source not there")
	complete(t, bucket, "key", upload, parts...)
	ok(t, request{Method: "DELETE", Bucket: bucket, Key: "source/ü"})
	sameBody(t, source, get(t, bucket, "key"))
}

func TestConditionalComplete(t *testing.T) {
	bucket := newBucket(t)
	upload := begin(t, bucket, "key", nil)
	p := uploadPart(t, bucket, "key", upload, 1, []byte("part"))
	put(t, bucket, "key", []byte("first"))
	r := completeRequest(bucket, "key", upload, p)
	r.Header = header("If-None-Match", "*")
	completeRefused(t, "PreconditionFailed", r)
	require.Equal(t, "first", string(get(t, bucket, "key")))
	ok(t, request{Method: "DELETE", Bucket: bucket, Key: "key"})
	ok(t, r)
	require.Equal(t, "part", string(get(t, bucket, "key")))
}
