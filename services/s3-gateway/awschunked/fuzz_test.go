package awschunked

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
	"deuxfleurs.fr/garage/services/s3-gateway/sigv4"
	"deuxfleurs.fr/garage/services/s3-gateway/sigv4/sigtest"
)

func lookup(context.Context, string) (string, struct{}, error) {
	return signer.Secret, struct{}{}, nil
}

// FuzzChunked: no body makes the decoder panic, answer more than was declared, or fail without an S3 error; and what
// passes has exactly the declared length.
func FuzzChunked(f *testing.F) {
	hello := []byte("hello")
	trailer := sigtest.Trailer{Name: "x-amz-checksum-crc32", Value: "NhCmhg=="}
	f.Add(signer.Chunked("", hello, 10), int64(5), false)
	f.Add(signer.Chunked("", hello, 10, trailer), int64(5), false)
	f.Add(signer.Chunked(anySeed, hello, 10, trailer), int64(5), true)
	f.Add(signer.Chunked(anySeed, bytes.Repeat(hello, 4000), 8192), int64(20000), true)
	f.Add([]byte("5;a=b;c\r\nhello\r\n0;\r\n\n\r\n"), int64(5), false)
	f.Add([]byte("fffffffffffffff\r\n"), int64(1)<<62, false)
	seed := seedOf(anySeed)
	f.Fuzz(func(t *testing.T, body []byte, length int64, signed bool) {
		if length < 0 {
			return
		}
		var s *sigv4.Seed
		if signed {
			s = seed
		}
		c := newChunked(bytes.NewReader(body), length, s, []string{trailer.Name}, true)
		got, err := io.ReadAll(c)
		require.LessOrEqual(t, int64(len(got)), length)
		if err != nil {
			_, ok := s3err.From(err)
			require.True(t, ok, "not an S3 error: %v", err)
			return
		}
		require.EqualValues(t, length, len(got))
		if signed { // only what the signer made can pass: the seed corpus
			require.Contains(t, string(body), "chunk-signature=")
		}
	})
}

func TestWhatIsEncodedDecodes(t *testing.T) {
	seed := seedOf(anySeed)
	rapid.Check(t, func(rt *rapid.T) {
		payload := rapid.SliceOfN(rapid.Byte(), 0, 50_000).Draw(rt, "payload")
		size := rapid.IntRange(8192, 30_000).Draw(rt, "chunk")
		var s *sigv4.Seed
		sig := ""
		if rapid.Bool().Draw(rt, "signed") {
			s, sig = seed, anySeed
		}
		c := newChunked(bytes.NewReader(signer.Chunked(sig, payload, size)), int64(len(payload)), s, nil, true)
		var got []byte
		for {
			p := make([]byte, rapid.IntRange(1, 20_000).Draw(rt, "read"))
			n, err := c.Read(p)
			got = append(got, p[:n]...)
			if err == io.EOF {
				break
			}
			require.NoError(rt, err)
		}
		require.True(rt, bytes.Equal(payload, got))
	})
}
