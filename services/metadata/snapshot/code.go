package snapshot

import (
	"encoding/base32"
	"strings"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
)

// A recovery code is the hash of a root in base32, with Crockford's digits, which people do not mix up, and a check sum.
const (
	codeVersion = 1
	codeSum     = 2 // bytes
	codeGroup   = 8 // characters between dashes
)

var codeDigits = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// Code is the recovery code of the snapshot whose root has the hash.
func Code(root chunk.Hash) string {
	b := append([]byte{codeVersion}, root[:]...)
	text := codeDigits.EncodeToString(append(b, codeSumOf(b)...))
	var groups []string
	for ; len(text) > codeGroup; text = text[codeGroup:] {
		groups = append(groups, text[:codeGroup])
	}
	return strings.Join(append(groups, text), "-")
}

func codeSumOf(b []byte) []byte {
	h := chunk.NewHasher()
	_, _ = h.Write(b) // never fails
	sum := h.Sum()
	return sum[:codeSum]
}

// ParseCode reads a recovery code as a person wrote it down. Kinds: Invalid.
func ParseCode(code string) (chunk.Hash, error) {
	plain := strings.NewReplacer("-", "", " ", "", "\n", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(code))
	b, err := codeDigits.DecodeString(plain)
	if err != nil || len(b) != 1+chunk.HashSize+codeSum {
		return chunk.Hash{}, errors.Newf(errors.Invalid, "this is no recovery code: it has 7 groups of 8 letters and digits")
	}
	end := len(b) - codeSum
	if string(codeSumOf(b[:end])) != string(b[end:]) {
		return chunk.Hash{}, errors.Newf(errors.Invalid, "a letter or digit of the recovery code is wrong: its check sum does not fit")
	}
	if b[0] != codeVersion {
		return chunk.Hash{}, errors.Newf(errors.Invalid, "the recovery code is of version %d, which this program does not know", b[0])
	}
	return chunk.Hash(b[1:end]), nil
}
