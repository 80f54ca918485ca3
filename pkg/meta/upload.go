package meta

import (
	"encoding/binary"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
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
	Open       UploadState = iota // takes chunks and parts
	Completing                    // its commit was decided and is being written (CQL)
	Completed                     // its object was committed
	Aborted                       // it holds garbage
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

// UploadPage is some uploads and common prefixes, each in order. Next and
// NextID are what After and AfterID are for the next page.
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
	// Parts are in rising order of number, at least one; Number, Attempt and ETag
	// are compared, the rest is taken from what is stored.
	Parts     []Part
	ETag      string
	Checksum  Checksum
	Condition Condition
	Written   clock.Timestamp // as in Put
}

// NewUploadID makes the ID of an upload that begins now: a UUID of version 7
// (RFC 9562), so that the order of IDs is the order of begin, to the
// millisecond. It fails only if the random source does.
func NewUploadID(now time.Time, random clock.Random) (uuid.UUID, error) {
	id, err := uuid.NewRandomFromReader(random)
	if err != nil {
		return uuid.Nil, errors.Wrap(errors.Internal, err, "drawing an ID")
	}
	first := FirstID(now)
	copy(id[:6], first[:6])
	id[6] = id[6]&0x0f | 0x70
	return id, nil
}

// FirstID is below all IDs that NewUploadID and NewCommitID make from then on, and above those they made before.
func FirstID(t time.Time) (id uuid.UUID) {
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(t.UnixMilli()))
	copy(id[:6], ms[2:])
	return id
}
