package access

import (
	"strings"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
)

var (
	signed   = Need{}
	reading  = Need{Rights: identity.Read}
	writing  = Need{Rights: identity.Write}
	owning   = Need{Rights: identity.Owner}
	anyRight = Need{Rights: identity.All, Any: true}
)

// CreateBucket needs no right on a bucket, but the permission to make one.
const CreateBucket = "CreateBucket"

// Operations is what each operation of S3 that there is needs. A gateway's test compares it with what the gateway asks for.
var Operations = map[string]Need{
	"ListBuckets": signed,

	CreateBucket:           signed,
	"HeadBucket":           anyRight,
	"DeleteBucket":         owning,
	"GetBucketLocation":    anyRight,
	"ListObjects":          reading,
	"ListObjectsV2":        reading,
	"DeleteObjects":        writing,
	"ListMultipartUploads": reading,
	"PostObject":           writing,

	"GetObject":           reading,
	"HeadObject":          reading,
	"PutObject":           writing,
	"DeleteObject":        writing,
	"GetObjectAttributes": reading,
	"GetObjectTagging":    reading,
	"CopyObject":          writing,

	"CreateMultipartUpload":   writing,
	"UploadPart":              writing,
	"UploadPartCopy":          writing,
	"CompleteMultipartUpload": writing,
	"AbortMultipartUpload":    writing,
	"ListParts":               reading,
}

// permissions are names that policies give to operations which are called otherwise.
var permissions = map[string]string{
	"ListAllMyBuckets": "ListBuckets", "ListBucket": "ListObjectsV2", "ListBucketMultipartUploads": "ListMultipartUploads", "ListMultipartUploadParts": "ListParts",
}

// methods are the operations of HTTP methods without a sub-resource: on the service, on a bucket, on an object.
var methods = map[string][3]string{
	"GET":    {"ListBuckets", "ListObjectsV2", "GetObject"},
	"HEAD":   {"", "HeadBucket", "HeadObject"},
	"PUT":    {"", CreateBucket, "PutObject"},
	"DELETE": {"", "DeleteBucket", "DeleteObject"},
	"POST":   {"", "PostObject", "CreateMultipartUpload"},
}

// Find is the operation that an action stands for, and what it needs: an operation or a permission of S3, with or without "s3:", or an HTTP method.
// Case does not matter. Kinds: Invalid.
func Find(action string, onBucket, onObject bool) (operation string, n Need, err error) {
	name := action
	if len(name) > 3 && strings.EqualFold(name[:3], "s3:") {
		name = name[3:]
	}
	if by, is := methods[strings.ToUpper(name)]; is {
		on := 0
		switch {
		case onObject:
			on = 2
		case onBucket:
			on = 1
		}
		if name = by[on]; name == "" {
			return "", n, errors.Newf(errors.Invalid, "%s is about a bucket or an object: say which", strings.ToUpper(action))
		}
	}
	for permission, operation := range permissions {
		if strings.EqualFold(name, permission) {
			name = operation
		}
	}
	for operation, n := range Operations {
		if strings.EqualFold(name, operation) {
			return operation, n, nil
		}
	}
	return "", n, errors.Newf(errors.Invalid, "%q is no operation of S3 that there is, nor GET, HEAD, PUT, POST or DELETE", action)
}
