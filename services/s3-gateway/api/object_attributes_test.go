package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/services/s3-gateway/api/apitest"
)

func TestAttributesAreThoseAskedFor(t *testing.T) {
	_, c := start(t, apitest.Options{})
	r := put(t, c, "a", []byte("hello"))
	ask := func(names string) *apitest.Response {
		return c.Do(apitest.Request{Method: "GET", Bucket: bucketName, Key: "a", Query: "attributes", Header: map[string]string{"x-amz-object-attributes": names}})
	}
	all := ask("ETag, Checksum,ObjectParts,StorageClass,ObjectSize")
	require.Equal(t, 200, all.Status)
	require.Contains(t, string(all.Body), "<ETag>5d41402abc4b2a76b9719d911017c592</ETag><Checksum><ChecksumCRC64NVME>"+
		r.Header.Get("x-amz-checksum-crc64nvme")+"</ChecksumCRC64NVME><ChecksumType>FULL_OBJECT</ChecksumType></Checksum>"+
		"<StorageClass>STANDARD</StorageClass><ObjectSize>5</ObjectSize></GetObjectAttributesResponse>")
	require.NotEmpty(t, all.Header.Get("Last-Modified"))
	require.NotContains(t, string(ask("ObjectSize").Body), "ETag")
	require.Equal(t, "InvalidArgument", ask("Colour").Code)
	require.Equal(t, "InvalidRequest", ask("").Code)
}
