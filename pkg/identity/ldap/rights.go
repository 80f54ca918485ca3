package ldap

import (
	"strings"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
)

var rightNames = map[string]identity.Rights{
	"read": identity.Read, "write": identity.Write, "owner": identity.Owner, "all": identity.All,
}

// parseRights reads a value of the rights attribute, such as "photos:read,write". Kinds: Invalid.
func parseRights(value string) (bucket string, rights identity.Rights, err error) {
	name, list, found := strings.Cut(value, ":")
	if !found {
		return "", 0, errors.Newf(errors.Invalid, "it must be BUCKET:RIGHT,RIGHT…")
	}
	bucket, err = parseBucket(name)
	if err != nil {
		return "", 0, err
	}
	for word := range strings.SplitSeq(list, ",") {
		r, known := rightNames[strings.ToLower(strings.TrimSpace(word))]
		if !known {
			return "", 0, errors.Newf(errors.Invalid, "a right is read, write, owner or all, not %q", word)
		}
		rights |= r
	}
	return bucket, rights, nil
}

// parseBucket reads the name of a bucket, or *. Kinds: Invalid.
func parseBucket(value string) (string, error) {
	name := strings.TrimSpace(value)
	if name == identity.EveryBucket {
		return name, nil
	}
	return name, meta.CheckBucketName(name)
}
