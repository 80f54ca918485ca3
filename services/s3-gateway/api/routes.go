package api

import (
	"net/http"
	"slices"
	"strings"

	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

// operation is one of S3's operations.
type operation struct {
	name string
	need need
	run  func(a *API, w *Response, r *Request) error // nil: not implemented
}

// need is what a request must be allowed to do.
type need struct {
	rights identity.Rights // on the bucket; 0 with any unset: only a valid signature
	any    bool            // one of the rights is enough
	form   bool            // the operation checks the signature and the rights itself
}

var (
	signed    = need{}
	reading   = need{rights: identity.Read}
	writing   = need{rights: identity.Write}
	owning    = need{rights: identity.Owner}
	anyRight  = need{rights: identity.All, any: true}
	formField = need{form: true}
)

// resource is what an address names.
type resource uint8

const (
	service resource = iota
	bucket
	object
)

// route names an operation: what is addressed, the HTTP method, and the sub-resource in the query.
type route struct {
	on     resource
	method string
	sub    string
}

// withCopy is added to the sub-resource of a PUT with a copy source.
const withCopy = "copy"

var unknownOperation = operation{name: "Unknown"}

// operations is the one table of what there is. A known sub-resource that is not
// in it is not implemented.
var operations = map[route]*operation{
	{service, http.MethodGet, ""}: {"ListBuckets", signed, (*API).listBuckets},

	{bucket, http.MethodPut, ""}:          {"CreateBucket", signed, (*API).createBucket},
	{bucket, http.MethodHead, ""}:         {"HeadBucket", anyRight, (*API).headBucket},
	{bucket, http.MethodDelete, ""}:       {"DeleteBucket", owning, (*API).deleteBucket},
	{bucket, http.MethodGet, "location"}:  {"GetBucketLocation", anyRight, (*API).getBucketLocation},
	{bucket, http.MethodGet, ""}:          {"ListObjects", reading, (*API).listObjects},
	{bucket, http.MethodGet, "list-type"}: {"ListObjectsV2", reading, (*API).listObjectsV2},
	{bucket, http.MethodPost, "delete"}:   {"DeleteObjects", writing, (*API).deleteObjects},
	{bucket, http.MethodGet, "uploads"}:   {"ListMultipartUploads", reading, (*API).listMultipartUploads},
	{bucket, http.MethodPost, ""}:         {"PostObject", formField, (*API).postObject},

	{object, http.MethodGet, ""}:           {"GetObject", reading, (*API).getObject},
	{object, http.MethodHead, ""}:          {"HeadObject", reading, (*API).headObject},
	{object, http.MethodPut, ""}:           {"PutObject", writing, (*API).putObject},
	{object, http.MethodDelete, ""}:        {"DeleteObject", writing, (*API).deleteObject},
	{object, http.MethodGet, "attributes"}: {"GetObjectAttributes", reading, (*API).getObjectAttributes},
	{object, http.MethodGet, "tagging"}:    {"GetObjectTagging", reading, (*API).getObjectTagging},
	{object, http.MethodPut, withCopy}:     {"CopyObject", writing, (*API).copyObject},

	{object, http.MethodPost, "uploads"}:            {"CreateMultipartUpload", writing, (*API).createMultipartUpload},
	{object, http.MethodPut, "uploadId"}:            {"UploadPart", writing, (*API).uploadPart},
	{object, http.MethodPut, "uploadId" + withCopy}: {"UploadPartCopy", writing, (*API).uploadPartCopy},
	{object, http.MethodPost, "uploadId"}:           {"CompleteMultipartUpload", writing, (*API).completeMultipartUpload},
	{object, http.MethodDelete, "uploadId"}:         {"AbortMultipartUpload", writing, (*API).abortMultipartUpload},
	{object, http.MethodGet, "uploadId"}:            {"ListParts", reading, (*API).listParts},
}

// subResources are the parameters of a query that choose another operation.
var subResources = map[string]bool{
	"abac": true, "accelerate": true, "acl": true, "analytics": true, "annotation": true, "attributes": true, "cors": true, "delete": true,
	"encryption": true, "intelligent-tiering": true, "inventory": true, "legal-hold": true, "lifecycle": true,
	"list-type": true, "location": true, "logging": true, "metadataAnnotationTable": true, "metadataConfiguration": true, "metadataInventoryTable": true,
	"metadataJournalTable": true, "metadataTable": true, "metrics": true, "notification": true, "object-lock": true,
	"ownershipControls": true, "policy": true, "policyStatus": true, "publicAccessBlock": true, "renameObject": true,
	"replication": true, "requestPayment": true, "restore": true, "retention": true, "select": true, "session": true,
	"tagging": true, "torrent": true, "uploadId": true, "uploads": true, "versioning": true, "versions": true, "website": true,
	"encryptionConfiguration": true, "append": true,
}

// addressed is what a request is about.
func addressed(r *Request) resource {
	switch {
	case r.Key != "":
		return object
	case r.Name != "":
		return bucket
	}
	return service
}

// allow lists the methods that a resource knows without a sub-resource, in the form of the header.
func allow(on resource) string {
	var methods []string
	for r := range operations {
		if r.on == on && r.sub == "" {
			methods = append(methods, r.method)
		}
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}

// route finds the operation of a request.
func (a *API) route(r *Request) error {
	key := route{on: addressed(r), method: r.Method}
	for _, p := range r.Query {
		if !subResources[p.Name] || p.Name == key.sub {
			continue
		}
		if key.sub != "" {
			return s3err.InvalidArgument.Msg("Conflicting query string parameters: %s, %s", key.sub, p.Name).
				With("ArgumentName", "ResourceType").With("ArgumentValue", p.Name)
		}
		key.sub = p.Name
	}
	if key.on == object && key.sub != "uploadId" && r.Method != http.MethodGet && r.Method != http.MethodHead {
		// A part is not the object: to store or delete that in its place would lose data.
		if v, ok := r.Query.Lookup("partNumber"); ok {
			return argument("partNumber", v, "A part number needs the uploadId of its upload.")
		}
	}
	if key.on == object && r.Method == http.MethodPut && r.Header["X-Amz-Copy-Source"] != nil {
		key.sub += withCopy
	}
	if op := operations[key]; op != nil {
		r.op = op
		return nil
	}
	if key.sub != "" {
		return s3err.NotImplemented.Msg("The sub-resource %s is not implemented with %s.", key.sub, r.Method)
	}
	return s3err.MethodNotAllowed.With("Method", r.Method).With("ResourceType", [...]string{"SERVICE", "BUCKET", "OBJECT"}[key.on])
}
