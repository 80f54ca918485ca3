package checksum

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"strings"

	"github.com/minio/crc64nvme"
)

// Algorithm is a checksum algorithm of S3. The zero value is none.
type Algorithm uint8

// The algorithms.
const (
	None Algorithm = iota
	CRC32
	CRC32C
	CRC64NVME
	SHA1
	SHA256
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var algorithms = [...]struct {
	name, header string
	size         int
	make         func() hash.Hash
}{
	None:      {},
	CRC32:     {"CRC32", "x-amz-checksum-crc32", 4, func() hash.Hash { return crc32.NewIEEE() }},
	CRC32C:    {"CRC32C", "x-amz-checksum-crc32c", 4, func() hash.Hash { return crc32.New(castagnoli) }},
	CRC64NVME: {"CRC64NVME", "x-amz-checksum-crc64nvme", 8, func() hash.Hash { return crc64nvme.New() }},
	SHA1:      {"SHA1", "x-amz-checksum-sha1", sha1.Size, sha1.New},
	SHA256:    {"SHA256", "x-amz-checksum-sha256", sha256.Size, sha256.New},
}

// String is the algorithm's name in S3, such as "CRC32C"; "" for None.
func (a Algorithm) String() string { return algorithms[a].name }

// Header is the lower-case name of the header and trailer that carries the checksum.
func (a Algorithm) Header() string { return algorithms[a].header }

// Size is the length of a checksum in bytes.
func (a Algorithm) Size() int { return algorithms[a].size }

// New makes a hash. The algorithm must not be None.
func (a Algorithm) New() hash.Hash { return algorithms[a].make() }

// cheap reports whether the algorithm costs too little to be worth a goroutine.
func (a Algorithm) cheap() bool { return a <= CRC64NVME }

// Parse finds an algorithm by its name in S3, in any case.
func Parse(name string) (Algorithm, bool) {
	for a := CRC32; a <= SHA256; a++ {
		if strings.EqualFold(name, a.String()) {
			return a, true
		}
	}
	return None, false
}

// byHeader finds an algorithm by the name of its header.
func byHeader(name string) (Algorithm, bool) {
	for a := CRC32; a <= SHA256; a++ {
		if strings.EqualFold(name, a.Header()) {
			return a, true
		}
	}
	return None, false
}

// Encode gives a checksum as S3 shows it.
func Encode(sum []byte) string { return base64.StdEncoding.EncodeToString(sum) }

// Decode reads a checksum as S3 shows it; it reports whether it is well-formed and of the right length.
func (a Algorithm) Decode(value string) ([]byte, bool) {
	sum, err := base64.StdEncoding.Strict().DecodeString(value)
	return sum, err == nil && len(sum) == a.Size()
}

// Valid reports whether value is a well-formed checksum of a single body.
func (a Algorithm) Valid(value string) bool {
	_, ok := a.Decode(value)
	return ok
}

// Of computes the checksum of data as S3 shows it.
func (a Algorithm) Of(data []byte) string {
	h := a.New()
	h.Write(data)
	return Encode(h.Sum(nil))
}
