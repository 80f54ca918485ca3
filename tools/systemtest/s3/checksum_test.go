package s3

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/crc64nvme"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/sigv4"
)

// checksums computes each algorithm of S3 by its name in headers.
var checksums = map[string]func([]byte) string{
	"crc32": func(b []byte) string {
		return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(b)))
	},
	"crc32c": func(b []byte) string {
		return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))))
	},
	"crc64nvme": func(b []byte) string {
		return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, crc64nvme.Checksum(b)))
	},
	"sha1":   func(b []byte) string { s := sha1.Sum(b); return base64.StdEncoding.EncodeToString(s[:]) },
	"sha256": func(b []byte) string { s := sha256.Sum256(b); return base64.StdEncoding.EncodeToString(s[:]) },
}

func TestChecksumsAreCheckedKeptAndReturned(t *testing.T) {
	bucket := newBucket(t)
	for name, sum := range checksums {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{0, 10, 1<<20 + 1} {
				body, key := random(size), fmt.Sprintf("%s-%d", name, size)
				resp := ok(t, request{Method: "PUT", Bucket: bucket, Key: key, Body: body, Header: header("X-Amz-Checksum-"+name, sum(body))})
				require.Equal(t, sum(body), resp.Header.Get("X-Amz-Checksum-"+name))
				for _, method := range []string{"GET", "HEAD"} {
					got := ok(t, request{Method: method, Bucket: bucket, Key: key, Header: header("X-Amz-Checksum-Mode", "ENABLED")})
					require.Equal(t, sum(body), got.Header.Get("X-Amz-Checksum-"+name), method)
					require.Equal(t, "FULL_OBJECT", got.Header.Get("X-Amz-Checksum-Type"), method)
				}
				refused(t, 400, "BadDigest", request{
					Method: "PUT", Bucket: bucket, Key: "bad", Body: append(bytes.Clone(body), 1), Header: header("X-Amz-Checksum-"+name, sum(body)),
				})
			}
			refused(t, 400, "InvalidRequest", request{Method: "PUT", Bucket: bucket, Key: "bad", Body: []byte("x"), Header: header("X-Amz-Checksum-"+name, "nonsense")})
			absent(t, bucket, "bad")
		})
	}
	refused(t, 400, "InvalidRequest", request{
		Method: "PUT", Bucket: bucket, Key: "bad", Body: []byte("x"),
		Header: header("X-Amz-Checksum-Sha1", checksums["sha1"]([]byte("x")), "X-Amz-Checksum-Crc32", checksums["crc32"]([]byte("x"))),
	})
}

func TestChecksumsInTheTrailer(t *testing.T) {
	bucket := newBucket(t)
	for _, form := range []string{sigv4.StreamingUnsignedTrailer, sigv4.StreamingSignedTrailer} {
		for name, sum := range checksums {
			for _, size := range []int{0, 1, 64 << 10, 2<<20 + 17} {
				body := random(size)
				good := &sigv4.Trailer{Name: "x-amz-checksum-" + name, Value: sum(body)}
				resp := putChunked(t, bucket, "good", form, body, 64<<10, good, nil)
				require.Equal(t, 200, resp.Status, "%s %s %d: %s %s", form, name, size, resp.Code, resp.Message)
				require.Equal(t, sum(body), resp.Header.Get("X-Amz-Checksum-"+name))
				sameBody(t, body, get(t, bucket, "good"))
				bad := &sigv4.Trailer{Name: good.Name, Value: sum(append(bytes.Clone(body), 0))}
				checkError(t, 400, "BadDigest", putChunked(t, bucket, "bad", form, body, 64<<10, bad, nil), form+" "+name)
			}
		}
	}
	absent(t, bucket, "bad")
}

func TestSDKDefaultChecksums(t *testing.T) {
	bucket, body := newBucket(t), random(100_000)
	key, checksumsLeft := "key", maps.Clone(checksums)
	out, err := sdk().PutObject(testContext(t), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(body)})
	require.NoError(t, err)
	for name, got := range map[string]*string{"crc32": out.ChecksumCRC32, "crc32c": out.ChecksumCRC32C, "crc64nvme": out.ChecksumCRC64NVME} {
		if got != nil {
			require.Equal(t, checksums[name](body), *got)
			delete(checksumsLeft, name)
		}
	}
	require.Len(t, checksumsLeft, len(checksums)-1, "the SDK adds one checksum by itself, and it comes back")
	for _, algorithm := range types.ChecksumAlgorithm("").Values() {
		name := strings.ToLower(string(algorithm))
		if checksums[name] == nil {
			continue // Newer algorithms than this service speaks.
		}
		_, err := sdk().PutObject(testContext(t), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(body), ChecksumAlgorithm: algorithm})
		require.NoError(t, err, name)
		sameBody(t, body, get(t, bucket, key))
	}
}

func TestMultipartChecksums(t *testing.T) {
	bucket := newBucket(t)
	for _, c := range []struct{ name, kind string }{
		{"crc32", "COMPOSITE"}, {"crc32c", "COMPOSITE"}, {"sha1", "COMPOSITE"}, {"sha256", "COMPOSITE"},
		{"crc32", "FULL_OBJECT"}, {"crc32c", "FULL_OBJECT"}, {"crc64nvme", "FULL_OBJECT"},
	} {
		t.Run(c.name+" "+c.kind, func(t *testing.T) {
			sum, key := checksums[c.name], c.name+c.kind
			upload := begin(t, bucket, key, header("X-Amz-Checksum-Algorithm", strings.ToUpper(c.name), "X-Amz-Checksum-Type", c.kind))
			bodies := [][]byte{random(partSize), random(1000)}
			var xml, sums, whole []byte
			for i, body := range bodies {
				r := partRequest(bucket, key, upload, i+1, body)
				r.Header = header("X-Amz-Checksum-"+c.name, sum(body))
				resp := ok(t, r)
				require.Equal(t, sum(body), resp.Header.Get("X-Amz-Checksum-"+c.name))
				xml = fmt.Appendf(xml, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag><Checksum%s>%s</Checksum%s></Part>",
					i+1, etag(body), strings.ToUpper(c.name), sum(body), strings.ToUpper(c.name))
				one, err := base64.StdEncoding.DecodeString(sum(body))
				require.NoError(t, err)
				sums, whole = append(sums, one...), append(whole, body...)
			}
			want := sum(sums) + "-2"
			if c.kind == "FULL_OBJECT" {
				want = sum(whole)
			}
			finish := completeRequest(bucket, key, upload)
			finish.Body = append(append([]byte("<CompleteMultipartUpload>"), xml...), "</CompleteMultipartUpload>"...)
			finish.Header = header("X-Amz-Checksum-Type", c.kind)
			if c.kind == "FULL_OBJECT" {
				finish.Header["X-Amz-Checksum-"+c.name] = sum([]byte("other"))
				completeRefused(t, "BadDigest", finish)
				finish.Header["X-Amz-Checksum-"+c.name] = want
			}
			ok(t, finish)
			head := ok(t, request{Method: "HEAD", Bucket: bucket, Key: key, Header: header("X-Amz-Checksum-Mode", "ENABLED")}).Header
			require.Equal(t, want, head.Get("X-Amz-Checksum-"+c.name))
			require.Equal(t, c.kind, head.Get("X-Amz-Checksum-Type"))
			attributesOfParts(t, bucket, key, sum, bodies)
		})
	}
}

func attributesOfParts(t *testing.T, bucket, key string, sum func([]byte) string, bodies [][]byte) {
	t.Helper()
	out, err := sdk().GetObjectAttributes(testContext(t), &s3.GetObjectAttributesInput{
		Bucket: &bucket, Key: &key,
		ObjectAttributes: []types.ObjectAttributes{"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"},
	})
	require.NoError(t, err)
	var size int64
	for _, body := range bodies {
		size += int64(len(body))
	}
	require.Equal(t, size, *out.ObjectSize)
	require.NotNil(t, out.ObjectParts)
	require.NotNil(t, out.ObjectParts.TotalPartsCount)
	require.Equal(t, int32(len(bodies)), *out.ObjectParts.TotalPartsCount)
	require.Equal(t, types.StorageClassStandard, out.StorageClass)
	require.NotNil(t, out.Checksum)
	require.Equal(t, len(bodies), len(out.ObjectParts.Parts))
	for i, part := range out.ObjectParts.Parts {
		require.Equal(t, int64(len(bodies[i])), *part.Size)
		var got string
		for _, p := range []*string{part.ChecksumCRC32, part.ChecksumCRC32C, part.ChecksumCRC64NVME, part.ChecksumSHA1, part.ChecksumSHA256} {
			if p != nil {
				got += *p
			}
		}
		require.Equal(t, sum(bodies[i]), got)
	}
}

func TestAttributesOfASimpleObject(t *testing.T) {
	bucket, key, body := newBucket(t), "key", random(1000)
	put(t, bucket, key, body)
	out, err := sdk().GetObjectAttributes(testContext(t), &s3.GetObjectAttributesInput{
		Bucket: &bucket, Key: &key, ObjectAttributes: []types.ObjectAttributes{"ETag", "ObjectParts", "ObjectSize"},
	})
	require.NoError(t, err)
	require.Equal(t, trimQuotes(etag(body)), *out.ETag, "without quotes here")
	require.Equal(t, int64(1000), *out.ObjectSize)
	require.Nil(t, out.ObjectParts)
	require.Empty(t, out.StorageClass, "only what was asked")
	refused(t, 404, "NoSuchKey", request{Method: "GET", Bucket: bucket, Key: "none", Query: "attributes=", Header: header("X-Amz-Object-Attributes", "ETag")})
	refused(t, 400, "InvalidArgument", request{Method: "GET", Bucket: bucket, Key: key, Query: "attributes=", Header: header("X-Amz-Object-Attributes", "Colour")})
}
