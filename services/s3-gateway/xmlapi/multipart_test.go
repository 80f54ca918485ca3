package xmlapi

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestACompletionIsRead(t *testing.T) {
	var c CompleteMultipartUpload
	require.NoError(t, Decode([]byte(`<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Part><ETag>&quot;a&quot;</ETag><PartNumber>1</PartNumber><ChecksumCRC32C>b</ChecksumCRC32C></Part><Part><PartNumber>2</PartNumber><ETag>c</ETag></Part></CompleteMultipartUpload>`), "CompleteMultipartUpload", &c))
	require.Equal(t, []CompletedPart{{PartNumber: 1, ETag: `"a"`, ChecksumCRC32C: "b"}, {PartNumber: 2, ETag: "c"}}, c.Parts)
	require.True(t, c.Parts[0].HasChecksum())
	require.Equal(t, "b", c.Parts[0].Checksum("CRC32C"))
	require.Empty(t, c.Parts[0].Checksum("CRC32"))
	require.False(t, c.Parts[1].HasChecksum())
}

func FuzzDecodeCompletion(f *testing.F) {
	f.Add([]byte(`<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"x"</ETag><ChecksumSHA1>y</ChecksumSHA1></Part></CompleteMultipartUpload>`))
	f.Add([]byte(`<CompleteMultipartUpload><Part><PartNumber>99999999999999999999</PartNumber></Part></CompleteMultipartUpload>`))
	f.Add([]byte(`<!DOCTYPE x [<!ENTITY y "z">]><CompleteMultipartUpload>&y;</CompleteMultipartUpload>`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		var c CompleteMultipartUpload
		if Decode(doc, "CompleteMultipartUpload", &c) != nil {
			return
		}
		for _, p := range c.Parts {
			if !p.HasChecksum() {
				require.Empty(t, p.Checksum("SHA256"))
			}
		}
	})
}
