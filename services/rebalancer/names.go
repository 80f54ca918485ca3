package rebalancer

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"deuxfleurs.fr/garage/pkg/errors"
)

const maxKeyName = 128 // bytes of a key's name for people

// checkBucketName applies the rules that S3 has for bucket names, which make them usable as host names.
func checkBucketName(name string) error {
	refuse := func(why string) error {
		return errors.E(errors.Invalid, errors.Bucket, name, "a bucket's name %s", why)
	}
	if len(name) < 3 || len(name) > 63 {
		return refuse("has 3 to 63 characters")
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" {
			return refuse("has no dot at its ends and no two in a row")
		}
		if label[0] == '-' || label[len(label)-1] == '-' {
			return refuse("has no dash at its ends or beside a dot")
		}
	}
	for _, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.') {
			return refuse("has only lower-case letters, digits, dashes and dots")
		}
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return refuse("must not look like an IP address")
	}
	return nil
}

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
