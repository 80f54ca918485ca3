package xmlapi

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheLargestCompletionIsReadAndNoLargerOne(t *testing.T) {
	part := "<Part><PartNumber>1</PartNumber><ETag>e</ETag><ChecksumCRC32>a</ChecksumCRC32><ChecksumCRC32C>a</ChecksumCRC32C>" +
		"<ChecksumCRC64NVME>a</ChecksumCRC64NVME><ChecksumSHA1>a</ChecksumSHA1><ChecksumSHA256>a</ChecksumSHA256></Part>"
	document := func(part string, n int) []byte {
		return []byte("<CompleteMultipartUpload>" + strings.Repeat(part, n) + "</CompleteMultipartUpload>")
	}
	var c CompleteMultipartUpload
	require.NoError(t, Decode(document(part, 10_000), "CompleteMultipartUpload", &c))
	require.Len(t, c.Parts, 10_000)

	c = CompleteMultipartUpload{}
	require.Error(t, Decode(document("<Part/>", 1_000_000), "CompleteMultipartUpload", &c))
	require.LessOrEqual(t, len(c.Parts), maxElements)
}
