package meta

import (
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
)

// Version names one write of an object.
type Version struct {
	Timestamp clock.Timestamp
	ID        uuid.UUID
}

// Modified is when the version was written.
func (v Version) Modified() time.Time { return v.Timestamp.Time() }

// Chunk is a piece of an attempt's body.
type Chunk struct {
	Offset uint64 // in the attempt, bytes
	Length uint32 // bytes
	Hash   chunk.Hash
}

// Attributes is what a client says about an object, kept as it is.
type Attributes struct {
	ContentType string
	Headers     map[string]string // Cache-Control, Content-Disposition, Content-Encoding, Content-Language, Expires, x-amz-website-redirect-location: canonical names
	User        map[string]string // x-amz-meta-…: lower-case names without the prefix
	Tags        map[string]string
	// StorageClass is what the client asked for; empty is STANDARD.
	StorageClass string
}

// Checksum is a checksum of a body that the client asked for, beside its ETag.
type Checksum struct {
	Algorithm string // "CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"; empty: none
	Type      string // "FULL_OBJECT" or "COMPOSITE"
	Value     string // base64, with "-N" after it when composite
}

// Object is the newest version of a key.
type Object struct {
	Key string
	Version
	Size int64
	ETag string // without quotes
	Attributes
	Checksum Checksum
	// Parts are the attempts that make the body, in order. A single PUT has
	// one with number 1; an inline object none.
	Parts []ObjectPart
	// Multipart says that the object was uploaded in parts.
	Multipart bool
	// Inline is the whole body of a small object; nil if it is in chunks or empty.
	Inline []byte
	// First is the first chunk of the body; its Length is zero if there is none.
	First Chunk
}

// ObjectPart is a run of an object's body written by one attempt.
type ObjectPart struct {
	Number   int
	Attempt  uuid.UUID
	Size     int64
	ETag     string
	Checksum string // base64, of the object's algorithm
}

// Condition must hold at the moment of a write. ETags are without quotes; "*"
// is any object. A nil slice is no condition.
type Condition struct {
	IfMatch     []string
	IfNoneMatch []string
}

// Unconditional reports whether the condition always holds.
func (c Condition) Unconditional() bool { return c.IfMatch == nil && c.IfNoneMatch == nil }

// Put commits an object.
type Put struct {
	Bucket uuid.UUID
	Key    string
	// Upload is the upload and the attempt that wrote the body, or zero for an
	// inline or empty body.
	Upload uuid.UUID
	Size   int64
	ETag   string
	Attributes
	Checksum Checksum
	Inline   []byte
	First    Chunk
	// Chunks are rows not yet added; they are added in the same step.
	Chunks    []Chunk
	Condition Condition
	Commit    Commit // without upload only
	// Written is, of an object that is restored, the timestamp that its version had: the new one has it too, unless something
	// is above it. Zero: now. It goes with no request over the wire.
	Written clock.Timestamp
}

// Delete deletes a key.
type Delete struct {
	Key       string
	Condition Condition // IfMatch only
	Commit    Commit
}

// DeleteResult is the answer to one Delete. Err has kinds NotFound (Object)
// (If-Match on nothing), PreconditionFailed, Conflict.
type DeleteResult struct {
	Existed bool
	Err     error
}

// List asks for keys of a bucket.
type List struct {
	Bucket    uuid.UUID
	Prefix    string
	Delimiter string // any length; empty: none
	// After: only keys and common prefixes above it. A value that is, or lies
	// in, a common prefix skips all keys of that prefix.
	After string
	Limit int // entries and common prefixes together, at least 1
}

// Page is some keys and common prefixes, each in order.
type Page struct {
	Objects  []Listed
	Prefixes []string
	More     bool
	// Next is what After is for the next page: the last entry of this one, or a key behind it, up to
	// which there is no other. A page with More may be empty.
	Next string
}

// Listed is what a listing says of an object.
type Listed struct {
	Key string
	Version
	Size         int64
	ETag         string
	StorageClass string
	Checksum     Checksum // Value is not filled
}
