package api

import (
	"strings"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

// refusedPrefixes are beginnings of headers that ask for what Garage does not do, so that
// ignoring them would be a lie. Canonical names.
var refusedPrefixes = []string{
	"X-Amz-Server-Side-Encryption",
	"X-Amz-Copy-Source-Server-Side-Encryption",
	"X-Amz-Object-Lock-",
	"X-Amz-Bypass-Governance-Retention",
	"X-Amz-Grant-",
	"X-Amz-Write-Offset-Bytes",
	"X-Amz-If-Match-", // last modified time and size: of directory buckets
	"X-Amz-Mfa",
	"X-Amz-Rename-Source",
	"X-Amz-Restore-Request-",
	"X-Amz-Bucket-Namespace",
	"X-Amz-Source-Expected-Bucket-Owner",
	"X-Amz-Create-Session-Mode",
	"X-Amz-Transition-Default-Minimum-Object-Size",
}

// refuse answers a header that asks for what Garage does not do.
func refuse(r *Request) error {
	for name, values := range r.Header {
		if len(name) < 7 || name[:6] != "X-Amz-" {
			continue
		}
		for _, prefix := range refusedPrefixes {
			if strings.HasPrefix(name, prefix) {
				return notImplementedHeader(name)
			}
		}
		for _, value := range values {
			if err := refuseValue(name, value); err != nil {
				return err
			}
		}
	}
	return nil
}

func refuseValue(name, value string) error {
	switch name {
	case "X-Amz-Acl":
		switch value {
		case "private", "bucket-owner-full-control", "bucket-owner-read":
		case "public-read", "public-read-write", "authenticated-read", "aws-exec-read", "log-delivery-write":
			return notImplementedHeader(name)
		default:
			return argument("x-amz-acl", value, "The canned ACL is not known")
		}
	case "X-Amz-Tagging":
		if value != "" {
			return notImplementedHeader(name)
		}
	case "X-Amz-Tagging-Directive":
		if value != "COPY" {
			return notImplementedHeader(name)
		}
	case "X-Amz-Bucket-Object-Lock-Enabled":
		if !strings.EqualFold(value, "false") {
			return notImplementedHeader(name)
		}
	case "X-Amz-Object-Ownership":
		if value != "BucketOwnerEnforced" {
			return notImplementedHeader(name)
		}
	}
	return nil
}

func notImplementedHeader(name string) error {
	return s3err.NotImplemented.With("Header", strings.ToLower(name))
}

// checkVersionID refuses versions: without versioning, an object has only the one
// that is called null.
func checkVersionID(r *Request) error {
	if v, ok := r.Query.Lookup("versionId"); ok {
		return checkVersion(v)
	}
	return nil
}

func checkVersion(v string) error {
	if v != "null" {
		return argument("versionId", v, "Invalid version id specified")
	}
	return nil
}
