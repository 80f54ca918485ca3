package meta

import (
	"strings"

	"deuxfleurs.fr/garage/pkg/errors"
)

// CheckBucketName refuses names that S3 does not allow for buckets: they must be usable as host
// names, and clients treat some prefixes and suffixes in another way. Kinds: Invalid.
func CheckBucketName(name string) error {
	if problem := bucketNameProblem(name); problem != "" {
		return errors.E(errors.Invalid, errors.Bucket, name, "a bucket's name %s", problem)
	}
	return nil
}

func bucketNameProblem(name string) string {
	if len(name) < 3 || len(name) > 63 {
		return "has 3 to 63 characters"
	}
	labels, digits := 1, true
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z':
			digits = false
		case '0' <= c && c <= '9':
		case c == '-' || c == '.':
			if i == 0 || i == len(name)-1 {
				return "begins and ends with a letter or a digit"
			}
			if c == '-' {
				digits = false
				continue
			}
			if name[i-1] == '.' {
				return "has no two dots in a row"
			}
			labels++
		default:
			return "has only lower-case letters, digits, dashes and dots"
		}
	}
	if labels == 4 && digits {
		return "must not look like an IP address"
	}
	for _, prefix := range [...]string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(name, prefix) {
			return "must not begin with " + prefix + ", which S3 keeps for itself"
		}
	}
	for _, suffix := range [...]string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"} {
		if strings.HasSuffix(name, suffix) {
			return "must not end with " + suffix + ", which S3 keeps for itself"
		}
	}
	return ""
}
