package chunk

import (
	"encoding/hex"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/errors"
)

// HashSize is the size of a hash in bytes.
const HashSize = 32

// MaxSize is the largest chunk, in bytes, that a store accepts.
const MaxSize = 16 << 20

// Partitions is the number of partitions that hashes fall into.
const Partitions = 4096

// Hash names a chunk: the BLAKE3-256 of its plain bytes.
type Hash [HashSize]byte

// String is the hash in lower-case hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Partition is the partition of the hash: its first three hexadecimal digits.
func (h Hash) Partition() Partition { return Partition(h[0])<<4 | Partition(h[1])>>4 }

// Partition is one of the 4096 parts into which hashes fall.
type Partition uint16

// String is the partition as three hexadecimal digits, which is also the name of its folder.
func (p Partition) String() string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[p>>8&15], digits[p>>4&15], digits[p&15]})
}

// ParseHash reads a hash from 64 hexadecimal digits.
func ParseHash(s string) (Hash, error) {
	var h Hash
	if n, err := hex.Decode(h[:], []byte(s)); err != nil || n != HashSize || len(s) != 2*HashSize {
		return Hash{}, errors.E(errors.Invalid, errors.Chunk, s, "a hash is 64 hexadecimal digits")
	}
	return h, nil
}

// HashOf is the hash of the bytes in b.
func HashOf(b *buffer.Buffer) Hash {
	h := NewHasher()
	for _, s := range b.Segments() {
		_, _ = h.Write(s) // never fails
	}
	return h.Sum()
}

// Verify returns an error of kind Corrupted unless b has the hash h.
func Verify(h Hash, b *buffer.Buffer) error {
	if got := HashOf(b); got != h {
		return errors.E(errors.Corrupted, errors.Chunk, h.String(), "the %d bytes read have the hash %v", b.Len(), got)
	}
	return nil
}
