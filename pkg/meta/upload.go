package meta

import (
	"time"

	"github.com/google/uuid"
)

// UploadRef names an upload of a key.
type UploadRef struct {
	Bucket uuid.UUID
	Key    string
	ID     uuid.UUID
}

// UploadState is how far an upload is.
type UploadState uint8

const (
	Open UploadState = iota
	Completing
	Completed
	Aborted
)

// Upload is a write in progress.
type Upload struct {
	UploadRef
	Multipart  bool
	Begun      time.Time // set by the store if zero
	Initiator  string    // access key
	State      UploadState
	Attributes          // of the object to be
	Checksum   Checksum // Algorithm and Type asked for; no Value
}

// Part is a finished part of a multipart upload.
type Part struct {
	Number   int // 1 to 10,000
	Attempt  uuid.UUID
	Size     int64
	ETag     string
	Checksum Checksum
	First    Chunk
	Modified time.Time
}

// PartPage is some parts.
type PartPage struct {
	Parts []Part
	More  bool
}

// ListUploads asks for open multipart uploads.
type ListUploads struct {
	Bucket    uuid.UUID
	Prefix    string
	Delimiter string
	// After and AfterID: only uploads of keys above After, and, if AfterID is not
	// zero, those of the key After that come behind the upload AfterID.
	After   string
	AfterID uuid.UUID
	Limit   int
}

// UploadPage is some uploads and common prefixes, each in order.
type UploadPage struct {
	Uploads  []Upload
	Prefixes []string
	More     bool
	Next     string
	NextID   uuid.UUID
}

// Complete commits a multipart upload.
type Complete struct {
	UploadRef
	Parts     []Part // in order of number: Number, Attempt, Size, ETag, Checksum as listed
	ETag      string
	Checksum  Checksum
	Condition Condition
}
