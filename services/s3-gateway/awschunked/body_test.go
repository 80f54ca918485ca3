package awschunked

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
	"deuxfleurs.fr/garage/services/s3-gateway/sigv4"
	"deuxfleurs.fr/garage/services/s3-gateway/sigv4/sigtest"
)

var signer = sigtest.Signer{
	AccessKey: "AKIAIOSFODNN7EXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", Region: "us-east-1",
	Time: time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC),
}

// seedOf makes the seed that verification of a request with this signature gives.
func seedOf(signature string) *sigv4.Seed {
	v := sigv4.New(sigv4.Config{Region: "us-east-1"}, lookup)
	r := httptest.NewRequest("PUT", "http://s3.example/b/k", nil)
	signer.Sign(r, sigtest.StreamSigned)
	res, err := v.Verify(r.Context(), r, signer.Time)
	if err != nil {
		panic(err)
	}
	res.Seed.Signature = signature
	return res.Seed
}

const anySeed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"

func request(body []byte, decoded int, trailer string) *http.Request {
	r := httptest.NewRequest("PUT", "http://s3.example/b/k", bytes.NewReader(body))
	r.Header.Set("X-Amz-Decoded-Content-Length", strconv.Itoa(decoded))
	if trailer != "" {
		r.Header.Set("X-Amz-Trailer", trailer)
	}
	return r
}

func payloadOf(kind sigv4.PayloadKind) sigv4.Payload { return sigv4.Payload{Kind: kind} }

const (
	signedKind   = sigv4.PayloadStreamSigned
	signedTrail  = sigv4.PayloadStreamSignedTrailer
	unsignedKind = sigv4.PayloadStreamUnsignedTrailer
)

// The examples of "Transferring Payload in Multiple Chunks" and "Including Trailing Headers" in the S3 API reference.
func TestTheExamplesOfTheS3ReferenceDecode(t *testing.T) {
	payload := bytes.Repeat([]byte("a"), 65*1024)
	plain := "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" + string(payload[:65536]) +
		"\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" + string(payload[65536:]) +
		"\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n"
	body, err := New(request([]byte(plain), len(payload), ""), payloadOf(signedKind), seedOf(anySeed))
	require.NoError(t, err)
	got, err := io.ReadAll(body)
	require.NoError(t, err)
	require.Equal(t, payload, got)

	const trailerSeed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
	for name, ends := range map[string][2]string{
		"as clients send it":   {"\r\n", "\r\n\r\n"},
		"as documented":        {"\n\r\n", ""},
		"without last newline": {"\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			trailing := "10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n" + string(payload[:65536]) +
				"\r\n400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n" + string(payload[65536:]) +
				"\r\n0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\nx-amz-checksum-crc32c:sOO8/Q==" + ends[0] +
				"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435" + ends[1]
			body, err := New(request([]byte(trailing), len(payload), "x-amz-checksum-crc32c"), payloadOf(signedTrail), seedOf(trailerSeed))
			require.NoError(t, err)
			got, err := io.ReadAll(body)
			require.NoError(t, err)
			require.Equal(t, payload, got)
			require.Equal(t, "sOO8/Q==", body.Trailer("x-amz-checksum-crc32c"))
		})
	}
}

func random(n int) []byte {
	p := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(p)
	return p
}

func TestBodiesOfAllSizesAndChunksDecode(t *testing.T) {
	for _, size := range []int{0, 1, 100, 8191, 8192, 8193, 65536, 200_000} {
		for _, chunk := range []int{8192, 65536, 1 << 20} {
			payload := random(size)
			for _, tc := range []struct {
				kind    sigv4.PayloadKind
				seed    string
				trailer []sigtest.Trailer
			}{
				{signedKind, anySeed, nil},
				{signedTrail, anySeed, []sigtest.Trailer{{Name: "x-amz-checksum-crc32", Value: "AAAAAA=="}}},
				{unsignedKind, "", []sigtest.Trailer{{Name: "x-amz-checksum-crc32", Value: "AAAAAA=="}}},
				{unsignedKind, "", nil},
			} {
				announced := ""
				if tc.trailer != nil {
					announced = "X-Amz-Checksum-Crc32"
				}
				r := request(signer.Chunked(tc.seed, payload, chunk, tc.trailer...), size, announced)
				body, err := New(r, payloadOf(tc.kind), seedOf(anySeed))
				require.NoError(t, err)
				require.EqualValues(t, size, body.Len())
				got, err := io.ReadAll(body)
				require.NoError(t, err)
				require.True(t, bytes.Equal(payload, got))
				if tc.trailer != nil {
					require.Equal(t, "AAAAAA==", body.Trailer("x-amz-checksum-crc32"))
				}
			}
		}
	}
}

func TestTheSourceMayGiveAnyAmountAtATime(t *testing.T) {
	payload := random(20_000)
	encoded := signer.Chunked(anySeed, payload, 8192, sigtest.Trailer{Name: "x-amz-checksum-crc32", Value: "AAAAAA=="})
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"one byte": iotest.OneByteReader, "half": iotest.HalfReader, "with EOF": iotest.DataErrReader,
	} {
		t.Run(name, func(t *testing.T) {
			c := newChunked(wrap(bytes.NewReader(encoded)), int64(len(payload)), seedOf(anySeed), []string{"x-amz-checksum-crc32"}, true)
			got, err := io.ReadAll(c)
			require.NoError(t, err)
			require.True(t, bytes.Equal(payload, got))
			require.NoError(t, iotest.TestReader(newChunked(wrap(bytes.NewReader(encoded)), int64(len(payload)), seedOf(anySeed), []string{"x-amz-checksum-crc32"}, true), payload))
		})
	}
}

func TestEOFComesWithTheLastBytes(t *testing.T) {
	payload := random(70_000)
	c := newChunked(bytes.NewReader(signer.Chunked(anySeed, payload, 65536)), 70_000, seedOf(anySeed), nil, false)
	p := make([]byte, 65536)
	n, err := io.ReadFull(c, p)
	require.NoError(t, err)
	require.Equal(t, 65536, n)
	n, err = c.Read(p)
	require.Equal(t, io.EOF, err)
	require.Equal(t, 70_000-65536, n)
}

func TestAnEmptyPayloadEndsAtOnce(t *testing.T) {
	for _, seed := range []string{anySeed, ""} {
		kind := signedTrail
		if seed == "" {
			kind = unsignedKind
		}
		body, err := New(request(signer.Chunked(seed, nil, 8192), 0, ""), payloadOf(kind), seedOf(anySeed))
		require.NoError(t, err)
		_, err = body.Read(nil)
		require.Equal(t, io.EOF, err)
	}
	body, err := New(httptest.NewRequest("PUT", "/", http.NoBody), sigv4.Payload{}, nil)
	require.NoError(t, err)
	_, err = body.Read(nil)
	require.Equal(t, io.EOF, err)
}

func TestAnyAlteredByteIsFoundBeforeTheEnd(t *testing.T) {
	payload := random(8192 + 300)
	trailer := sigtest.Trailer{Name: "x-amz-checksum-crc32", Value: "AAAAAA=="}
	encoded := signer.Chunked(anySeed, payload, 8192, trailer)
	for i := range encoded {
		if i > 200 && i < 8192 && i%37 != 0 { // in the first chunk's payload some are enough
			continue
		}
		bad := bytes.Clone(encoded)
		bad[i] ^= 1
		c := newChunked(bytes.NewReader(bad), int64(len(payload)), seedOf(anySeed), []string{trailer.Name}, true)
		got, err := io.ReadAll(c)
		if err == nil && bytes.Equal(got, payload) && c.Trailer(trailer.Name) == trailer.Value {
			// The framing may allow it (the last line end), but nothing was altered by it.
			require.Greater(t, i, len(encoded)-5)
			continue
		}
		require.Error(t, err, "byte %d", i)
		_, ok := s3err.From(err)
		require.True(t, ok, "%v", err)
		_, again := c.Read(make([]byte, 1))
		require.Equal(t, err, again)
	}
}

func TestAnyTruncationIsFound(t *testing.T) {
	payload := random(8192 + 300)
	trailer := sigtest.Trailer{Name: "x-amz-checksum-crc32", Value: "AAAAAA=="}
	for _, seed := range []string{anySeed, ""} {
		encoded := signer.Chunked(seed, payload, 8192, trailer)
		for i := range len(encoded) - 4 { // the line ends after the trailer may be missing
			if i > 200 && i < 8192 && i%37 != 0 {
				continue
			}
			var s *sigv4.Seed
			if seed != "" {
				s = seedOf(seed)
			}
			c := newChunked(bytes.NewReader(encoded[:i]), int64(len(payload)), s, []string{trailer.Name}, true)
			_, err := io.ReadAll(c)
			if err == nil { // a trailer value cut short is only caught by what it says; signed, it is caught here
				require.Empty(t, seed)
				require.NotEqual(t, trailer.Value, c.Trailer(trailer.Name))
			}
		}
	}
}

func TestMalformedBodies(t *testing.T) {
	big := string(random(8192))
	sig := strings.Repeat("0", 64)
	for name, tc := range map[string]struct {
		kind    sigv4.PayloadKind
		body    string
		decoded int
		want    s3err.Code
	}{
		"no encoding":                 {unsignedKind, "hello", 5, s3err.IncompleteBody},
		"no encoding, with line":      {unsignedKind, "hello\r\n", 5, s3err.IncompleteBody},
		"size not hexadecimal":        {unsignedKind, "xyz\r\nhello\r\n0\r\n\r\n", 5, s3err.IncompleteBody},
		"size negative":               {unsignedKind, "-5\r\nhello\r\n0\r\n\r\n", 5, s3err.IncompleteBody},
		"size with prefix":            {unsignedKind, "0x5\r\nhello\r\n0\r\n\r\n", 5, s3err.IncompleteBody},
		"size too big":                {unsignedKind, "fffffffffffffffff\r\nhello\r\n0\r\n\r\n", 5, s3err.IncompleteBody},
		"size empty":                  {unsignedKind, "\r\nhello\r\n0\r\n\r\n", 5, s3err.IncompleteBody},
		"line without CR":             {unsignedKind, "5\nhello\r\n0\r\n\r\n", 5, s3err.IncompleteBody},
		"chunk without end":           {unsignedKind, "5\r\nhello0\r\n\r\n", 5, s3err.IncompleteBody},
		"long line":                   {unsignedKind, "5;" + strings.Repeat("a", 1000) + "\r\nhello\r\n0\r\n\r\n", 5, s3err.IncompleteBody},
		"endless line":                {unsignedKind, strings.Repeat("0", 100000), 5, s3err.IncompleteBody},
		"empty extension":             {unsignedKind, "5;\r\nhello\r\n0\r\n\r\n", 5, s3err.IncompleteBody},
		"shorter than declared":       {unsignedKind, "5\r\nhello\r\n0\r\n\r\n", 6, s3err.IncompleteBody},
		"longer than declared":        {unsignedKind, "5\r\nhello\r\n0\r\n\r\n", 4, s3err.IncompleteBody},
		"more chunks than declared":   {unsignedKind, "5\r\nhello\r\n1\r\nx\r\n0\r\n\r\n", 5, s3err.IncompleteBody},
		"not empty as declared":       {unsignedKind, "5\r\nhello\r\n0\r\n\r\n", 0, s3err.IncompleteBody},
		"small chunk in the middle":   {unsignedKind, "5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n", 10, s3err.InvalidChunkSizeError},
		"end of body before last":     {unsignedKind, "5\r\nhello\r\n", 5, s3err.IncompleteBody},
		"trailer not announced":       {unsignedKind, "5\r\nhello\r\n0\r\nx-amz-meta-a:b\r\n\r\n", 5, s3err.MalformedTrailerError},
		"trailer without colon":       {unsignedKind, "5\r\nhello\r\n0\r\nx-amz-meta-a\r\n\r\n", 5, s3err.MalformedTrailerError},
		"trailer too long":            {unsignedKind, "5\r\nhello\r\n0\r\n" + strings.Repeat("\r\n", 5000), 5, s3err.MalformedTrailerError},
		"something after":             {unsignedKind, "5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n", 5, s3err.MalformedTrailerError},
		"no chunk signature":          {signedKind, "5\r\nhello\r\n0\r\n\r\n", 5, s3err.SignatureDoesNotMatch},
		"short chunk signature":       {signedKind, "5;chunk-signature=00\r\nhello\r\n0\r\n\r\n", 5, s3err.SignatureDoesNotMatch},
		"two chunk signatures":        {signedKind, "5;chunk-signature=" + sig + ";chunk-signature=" + sig + "\r\nhello\r\n0\r\n\r\n", 5, s3err.SignatureDoesNotMatch},
		"wrong chunk signature":       {signedKind, "5;chunk-signature=" + sig + "\r\nhello\r\n0\r\n\r\n", 5, s3err.SignatureDoesNotMatch},
		"wrong last chunk signature":  {signedKind, "0;chunk-signature=" + sig + "\r\n\r\n", 0, s3err.SignatureDoesNotMatch},
		"trailer where none may be":   {signedKind, string(signer.Chunked(anySeed, []byte(big), 8192, sigtest.Trailer{Name: "a", Value: "b"})), 8192, s3err.MalformedTrailerError},
		"signed trailer not expected": {signedTrail, string(signer.Chunked(anySeed, []byte(big), 8192, sigtest.Trailer{Name: "a", Value: "b"})), 8192, s3err.MalformedTrailerError},
	} {
		t.Run(name, func(t *testing.T) {
			body, err := New(request([]byte(tc.body), tc.decoded, ""), payloadOf(tc.kind), seedOf(anySeed))
			require.NoError(t, err)
			got, err := io.ReadAll(body)
			require.ErrorIs(t, err, tc.want)
			require.LessOrEqual(t, len(got), tc.decoded)
		})
	}
}

func TestTheTrailerMustKeepWhatWasAnnounced(t *testing.T) {
	checksum := sigtest.Trailer{Name: "x-amz-checksum-crc32", Value: "AAAAAA=="}
	read := func(kind sigv4.PayloadKind, encoded []byte) error {
		body, err := New(request(encoded, 5, checksum.Name), payloadOf(kind), seedOf(anySeed))
		require.NoError(t, err)
		_, err = io.ReadAll(body)
		return err
	}
	hello := []byte("hello")
	require.NoError(t, read(unsignedKind, signer.Chunked("", hello, 10, checksum)))
	require.ErrorIs(t, read(unsignedKind, signer.Chunked("", hello, 10)), s3err.MalformedTrailerError)
	require.ErrorIs(t, read(unsignedKind, signer.Chunked("", hello, 10, checksum, checksum)), s3err.MalformedTrailerError)

	good := signer.Chunked(anySeed, hello, 10, checksum)
	require.NoError(t, read(signedTrail, good))
	require.ErrorIs(t, read(signedTrail, bytes.Replace(good, []byte("AAAAAA=="), []byte("AAAAAB=="), 1)), s3err.SignatureDoesNotMatch)
	unsigned := good[:bytes.Index(good, []byte("x-amz-trailer-signature"))]
	require.ErrorIs(t, read(signedTrail, unsigned), s3err.MalformedTrailerError)
	require.ErrorIs(t, read(signedTrail, signer.Chunked(anySeed, hello, 10)), s3err.MalformedTrailerError)
}

func TestHeadersThatDoNotFitTheBody(t *testing.T) {
	open := func(kind sigv4.PayloadKind, change func(r *http.Request), seed *sigv4.Seed) error {
		r := request([]byte("x"), 1, "")
		change(r)
		_, err := New(r, payloadOf(kind), seed)
		return err
	}
	seed := seedOf(anySeed)
	same := func(*http.Request) {}
	set := func(name, value string) func(r *http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	require.NoError(t, open(signedKind, same, seed))
	require.ErrorIs(t, open(signedKind, same, nil), s3err.AccessDenied)
	require.ErrorIs(t, open(signedKind, set("X-Amz-Trailer", "x-amz-checksum-crc32"), seed), s3err.InvalidRequest)
	require.ErrorIs(t, open(signedTrail, set("X-Amz-Trailer", strings.Repeat("a,", 50)), seed), s3err.MalformedTrailerError)
	require.ErrorIs(t, open(signedKind, func(r *http.Request) { r.Header.Del("X-Amz-Decoded-Content-Length") }, seed), s3err.MissingContentLength)
	for _, bad := range []string{"-1", "x", "", "99999999999999999999"} {
		require.ErrorIs(t, open(signedKind, set("X-Amz-Decoded-Content-Length", bad), seed), s3err.InvalidArgument)
	}
	require.ErrorIs(t, open(sigv4.PayloadUnsigned, func(r *http.Request) { r.ContentLength = -1 }, nil), s3err.MissingContentLength)
}

func TestAPlainBodyIsCheckedAgainstItsHash(t *testing.T) {
	verifier := sigv4.New(sigv4.Config{Region: "us-east-1"}, lookup)
	read := func(sent, signed []byte) ([]byte, error) {
		r := httptest.NewRequest("PUT", "http://s3.example/b/k", bytes.NewReader(sent))
		signer.Sign(r, sigtest.Hash(signed))
		res, err := verifier.Verify(t.Context(), r, signer.Time)
		require.NoError(t, err)
		body, err := New(r, res.Payload, res.Seed)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(body)
	}
	for _, size := range []int{0, 1, 100_000} {
		payload := random(size)
		got, err := read(payload, payload)
		require.NoError(t, err)
		require.True(t, bytes.Equal(payload, got))
		_, err = read(payload, append([]byte("x"), payload...))
		require.ErrorIs(t, err, s3err.XAmzContentSHA256Mismatch)
	}
}

func TestAPlainBodyCutShortIsIncomplete(t *testing.T) {
	r := httptest.NewRequest("PUT", "http://s3.example/b/k", strings.NewReader("hello"))
	r.ContentLength = 6
	body, err := New(r, sigv4.Payload{}, nil)
	require.NoError(t, err)
	_, err = io.ReadAll(body)
	require.ErrorIs(t, err, s3err.IncompleteBody)
}

func TestAPlainBodyGivesEOFWithItsLastByte(t *testing.T) {
	r := httptest.NewRequest("PUT", "http://s3.example/b/k", strings.NewReader("hello"))
	body, err := New(r, sigv4.Payload{}, nil)
	require.NoError(t, err)
	p := make([]byte, 64)
	n, err := body.Read(p)
	require.Equal(t, 5, n)
	require.Equal(t, io.EOF, err)
}

func TestASilentClientIsATimeout(t *testing.T) {
	for _, cause := range []struct {
		err  error
		want s3err.Code
	}{{os.ErrDeadlineExceeded, s3err.RequestTimeout}, {errors.New("connection reset by peer"), s3err.IncompleteBody}, {s3err.SlowDown, s3err.SlowDown}} {
		src := io.MultiReader(strings.NewReader("5\r\nhel"), iotest.ErrReader(cause.err))
		c := newChunked(src, 5, nil, nil, true)
		_, err := io.ReadAll(c)
		require.ErrorIs(t, err, cause.want)
		require.ErrorIs(t, err, cause.err)
	}
}

func TestAwsChunkedIsNotTheObjectsEncoding(t *testing.T) {
	for in, want := range map[string]string{
		"aws-chunked": "", "gzip": "gzip", "aws-chunked,gzip": "gzip", "gzip, AWS-Chunked": "gzip", "": "", "gzip, br": "gzip, br",
		"aws-chunked,": "",
	} {
		require.Equal(t, want, ContentEncoding(in), in)
	}
}
