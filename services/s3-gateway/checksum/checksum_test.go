package checksum

import (
	"crypto/md5"
	"encoding/hex"
	"hash/crc32"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

var all = []Algorithm{CRC32, CRC32C, CRC64NVME, SHA1, SHA256}

func TestKnownValues(t *testing.T) {
	// The check values of the catalogue of CRC algorithms and the test vectors of FIPS 180-4.
	for a, want := range map[Algorithm]string{
		CRC32:     "cbf43926",
		CRC32C:    "e3069283",
		CRC64NVME: "ae8b14860a799888",
	} {
		sum, ok := a.Decode(a.Of([]byte("123456789")))
		require.True(t, ok)
		require.Equal(t, want, hex.EncodeToString(sum), a)
	}
	require.Equal(t, "qZk+NkcGgWq6PiVxeFDCbJzQ2J0=", SHA1.Of([]byte("abc")))
	require.Equal(t, "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=", SHA256.Of([]byte("abc")))
}

func TestNamesAreFoundInAnyCase(t *testing.T) {
	for _, a := range all {
		for _, name := range []string{a.String(), strings.ToLower(a.String())} {
			got, ok := Parse(name)
			require.True(t, ok)
			require.Equal(t, a, got)
		}
		got, ok := byHeader(http.CanonicalHeaderKey(a.Header()))
		require.True(t, ok)
		require.Equal(t, a, got)
	}
	for _, name := range []string{"", "MD5", "CRC", "SHA512"} {
		_, ok := Parse(name)
		require.False(t, ok, name)
	}
}

func TestTheCheckOfAWholeFollowsFromThoseOfItsParts(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a := rapid.SampledFrom([]Algorithm{CRC32, CRC32C, CRC64NVME}).Draw(rt, "algorithm")
		var whole []byte
		var parts []Part
		for range rapid.IntRange(1, 6).Draw(rt, "parts") {
			p := rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(rt, "part")
			whole = append(whole, p...)
			parts = append(parts, Part{Value: a.Of(p), Size: int64(len(p))})
		}
		got, err := a.OfParts(FullObject, parts)
		require.NoError(rt, err)
		require.Equal(rt, a.Of(whole), got)
	})
}

func TestCombiningTakesLongParts(t *testing.T) {
	// A piece of n zero bytes after "x", for a length that no test could hash: x^(8n) by doubling must agree with itself.
	c := crcs[CRC32C]
	for _, n := range []uint64{1, 5 << 30, 1 << 40} {
		require.Equal(t, c.shift(2*n), c.times(c.shift(n), c.shift(n)))
		require.Equal(t, c.shift(2*n+1), c.times(c.shift(2*n), c.shift(1)))
	}
}

func TestACompositeChecksumIsOfTheChecksums(t *testing.T) {
	parts := []Part{{Value: CRC32.Of([]byte("hello")), Size: 5}, {Value: CRC32.Of([]byte("world")), Size: 5}}
	got, err := CRC32.OfParts(Composite, parts)
	require.NoError(t, err)
	var sums []byte
	for _, s := range []string{"hello", "world"} {
		n := crc32.ChecksumIEEE([]byte(s))
		sums = append(sums, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	require.Equal(t, CRC32.Of(sums)+"-2", got)
}

func TestPartsWithoutChecksumAreRefused(t *testing.T) {
	for _, typ := range []Type{Composite, FullObject} {
		_, err := CRC32.OfParts(typ, []Part{{Value: CRC32.Of(nil)}, {Value: ""}})
		require.ErrorContains(t, err, "position 2")
	}
	_, err := SHA256.OfParts(FullObject, []Part{{Value: SHA256.Of(nil)}})
	require.Error(t, err)
}

func TestWhichTypeGoesWithWhichAlgorithm(t *testing.T) {
	for _, tc := range []struct {
		a           Algorithm
		asked, want string
	}{
		{CRC32, "", "COMPOSITE"}, {CRC32, "COMPOSITE", "COMPOSITE"}, {CRC32, "FULL_OBJECT", "FULL_OBJECT"},
		{CRC32C, "", "COMPOSITE"}, {CRC32C, "FULL_OBJECT", "FULL_OBJECT"},
		{CRC64NVME, "", "FULL_OBJECT"}, {CRC64NVME, "FULL_OBJECT", "FULL_OBJECT"}, {CRC64NVME, "COMPOSITE", "error"},
		{SHA1, "", "COMPOSITE"}, {SHA1, "FULL_OBJECT", "error"}, {SHA256, "COMPOSITE", "COMPOSITE"}, {SHA256, "FULL_OBJECT", "error"},
		{CRC32, "HALF", "error"}, {None, "", ""}, {None, "COMPOSITE", "error"},
	} {
		got, err := tc.a.TypeFor(tc.asked)
		if tc.want == "error" {
			require.ErrorIs(t, err, s3err.InvalidRequest, "%v", tc)
			continue
		}
		require.NoError(t, err)
		require.EqualValues(t, tc.want, got)
	}
}

func TestTheETagOfParts(t *testing.T) {
	a, b := md5.Sum([]byte("hello")), md5.Sum([]byte("world"))
	whole := md5.Sum(append(a[:], b[:]...))
	got, err := ETag([]string{hex.EncodeToString(a[:]), hex.EncodeToString(b[:])})
	require.NoError(t, err)
	require.Equal(t, hex.EncodeToString(whole[:])+"-2", got)
	for _, bad := range []string{"", "00", strings.Repeat("z", 32), strings.Repeat("0", 34), strings.Repeat("0", 31)} {
		_, err := ETag([]string{bad})
		require.Error(t, err, bad)
	}
}

func TestWhatARequestAsks(t *testing.T) {
	md := md5.Sum([]byte("hello"))
	crc := CRC32.Of([]byte("hello"))
	for name, tc := range map[string]struct {
		headers map[string]string
		want    Asked
		err     s3err.Code
	}{
		"nothing":             {nil, Asked{}, ""},
		"MD5":                 {map[string]string{"Content-MD5": Encode(md[:])}, Asked{MD5: &md}, ""},
		"MD5 malformed":       {map[string]string{"Content-MD5": "xx"}, Asked{}, s3err.InvalidDigest},
		"MD5 empty":           {map[string]string{"Content-MD5": ""}, Asked{}, s3err.InvalidDigest},
		"MD5 short":           {map[string]string{"Content-MD5": "AAAA"}, Asked{}, s3err.InvalidDigest},
		"header":              {map[string]string{"x-amz-checksum-crc32": crc}, Asked{Algorithm: CRC32, Value: crc}, ""},
		"header and SDK":      {map[string]string{"x-amz-checksum-crc32": crc, "x-amz-sdk-checksum-algorithm": "crc32"}, Asked{Algorithm: CRC32, Value: crc}, ""},
		"MD5 and SDK":         {map[string]string{"Content-MD5": Encode(md[:]), "x-amz-sdk-checksum-algorithm": "CRC32"}, Asked{MD5: &md}, ""},
		"not checksums":       {map[string]string{"x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-mode": "ENABLED", "x-amz-checksum-type": "COMPOSITE"}, Asked{}, ""},
		"trailer":             {map[string]string{"x-amz-trailer": "x-amz-checksum-sha256"}, Asked{Algorithm: SHA256, Trailer: true}, ""},
		"header malformed":    {map[string]string{"x-amz-checksum-crc32": "!!"}, Asked{}, s3err.InvalidRequest},
		"header of wrong len": {map[string]string{"x-amz-checksum-crc32": "AAAA"}, Asked{}, s3err.InvalidRequest},
		"two headers":         {map[string]string{"x-amz-checksum-crc32": crc, "x-amz-checksum-sha1": SHA1.Of(nil)}, Asked{}, s3err.InvalidRequest},
		"header and trailer":  {map[string]string{"x-amz-checksum-crc32": crc, "x-amz-trailer": "x-amz-checksum-crc32"}, Asked{}, s3err.InvalidRequest},
		"unknown header":      {map[string]string{"x-amz-checksum-xxhash64": "AAAA"}, Asked{}, s3err.NotImplemented},
		"unknown trailer":     {map[string]string{"x-amz-trailer": "x-amz-checksum-xxhash64"}, Asked{}, s3err.NotImplemented},
		"other trailer":       {map[string]string{"x-amz-trailer": "x-amz-meta-a"}, Asked{}, s3err.InvalidRequest},
		"SDK without sum":     {map[string]string{"x-amz-sdk-checksum-algorithm": "CRC32"}, Asked{}, s3err.InvalidRequest},
		"SDK of another":      {map[string]string{"x-amz-checksum-crc32": crc, "x-amz-sdk-checksum-algorithm": "SHA1"}, Asked{}, s3err.InvalidRequest},
		"SDK unknown":         {map[string]string{"x-amz-checksum-crc32": crc, "x-amz-sdk-checksum-algorithm": "ROT13"}, Asked{}, s3err.InvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			h := http.Header{}
			for k, v := range tc.headers {
				h.Set(k, v)
			}
			got, err := FromHeaders(h)
			if tc.err != "" {
				require.ErrorIs(t, err, tc.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
		})
	}
}

func TestWhatWasAskedIsCompared(t *testing.T) {
	h := NewHashers()
	defer h.Close()
	s := h.Stages(5, CRC32, SHA256)
	see(s, []byte("hello"))
	sums := s.Sums()
	right, wrong := md5.Sum([]byte("hello")), md5.Sum([]byte("hullo"))

	require.NoError(t, Asked{}.Check(sums, ""))
	require.NoError(t, Asked{MD5: &right, Algorithm: CRC32, Value: CRC32.Of([]byte("hello"))}.Check(sums, ""))
	require.ErrorIs(t, Asked{MD5: &wrong}.Check(sums, ""), s3err.BadDigest)
	require.ErrorIs(t, Asked{Algorithm: CRC32, Value: CRC32.Of([]byte("hullo"))}.Check(sums, ""), s3err.BadDigest)
	require.NoError(t, Asked{Algorithm: SHA256, Trailer: true}.Check(sums, SHA256.Of([]byte("hello"))))
	require.ErrorIs(t, Asked{Algorithm: SHA256, Trailer: true}.Check(sums, SHA256.Of([]byte("hullo"))), s3err.BadDigest)
	require.ErrorIs(t, Asked{Algorithm: SHA256, Trailer: true}.Check(sums, "!!"), s3err.InvalidRequest)
	require.ErrorIs(t, Asked{Algorithm: SHA256, Trailer: true}.Check(sums, ""), s3err.InvalidRequest)
}
