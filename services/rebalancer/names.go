package rebalancer

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"deuxfleurs.fr/garage/pkg/errors"
)

const maxKeyName = 128 // bytes of a key's name for people

func checkKeyName(name string) error {
	if name == "" || len(name) > maxKeyName || !utf8.ValidString(name) {
		return errors.E(errors.Invalid, errors.AccessKey, name, "a key's name has 1 to %d bytes of text", maxKeyName)
	}
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return errors.E(errors.Invalid, errors.AccessKey, name, "a key's name has only printable characters")
	}
	return nil
}

// checkImported accepts what S3 clients can send: an access key is a part of a slash-separated scope.
func checkImported(accessKey, secret string) error {
	if len(accessKey) < 3 || len(accessKey) > 128 {
		return errors.E(errors.Invalid, errors.AccessKey, accessKey, "an access key has 3 to 128 characters")
	}
	for _, c := range []byte(accessKey) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.", c) >= 0) {
			return errors.E(errors.Invalid, errors.AccessKey, accessKey, "an access key has only letters, digits, dashes, underscores and dots")
		}
	}
	if len(secret) < 8 || len(secret) > 256 {
		return errors.E(errors.Invalid, errors.AccessKey, accessKey, "a secret has 8 to 256 characters")
	}
	for _, c := range []byte(secret) {
		if c <= ' ' || c > '~' {
			return errors.E(errors.Invalid, errors.AccessKey, accessKey, "a secret has only printable ASCII characters and no space")
		}
	}
	return nil
}
