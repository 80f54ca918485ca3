package pebble

import (
	"bytes"
	"encoding/binary"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta/listing"
)

// The tables. Numbers are big-endian, IDs are 16 bytes.
const (
	tableStore      = 'F' // "format" → number, "cluster" → ID, "restoring" → time of the snapshot, see restoring.go
	tableBucket     = 'B' // name → Bucket
	tableKey        = 'K' // access key → Key
	tableUsage      = 'U' // bucket → totals, see usage.go
	tableListed     = 'o' // bucket, key → Listed without key
	tableObject     = 'd' // bucket, key → Object without key
	tableSingle     = 's' // upload → Upload: open single uploads
	tableProgress   = 't' // upload → time, of single uploads
	tableMultipart  = 'm' // bucket, key (escaped), upload → Upload: open multipart uploads
	tablePart       = 'p' // upload, number (2 bytes) → Part
	tableAttempt    = 'a' // upload, attempt → number (2 bytes): begun and not finished
	tableCompletion = 'e' // upload → Completion
	tableCompleted  = 'E' // time (8 bytes), upload → nothing: completions by age
	tableCommit     = 'w' // commit → timestamp (8 bytes) of the version that a write without upload made, 0 of a deletion
	tableChunk      = 'c' // attempt, offset (8 bytes) → Chunk without offset
	tableHolder     = 'h' // attempt → BeginPartRequest without attempt: the upload that it was begun for, and the part or 0
	tableGarbage    = 'x' // time (8 bytes), ID of an attempt → Garbage without ID
)

const idSize = len(uuid.UUID{})

// row is a key of a table made of the parts.
func row(table byte, parts ...[]byte) []byte {
	n := 1
	for _, p := range parts {
		n += len(p)
	}
	key := append(make([]byte, 0, n), table)
	for _, p := range parts {
		key = append(key, p...)
	}
	return key
}

// rowOf is the key of an object's row.
func rowOf(table byte, bucket uuid.UUID, key string) []byte {
	k := make([]byte, 0, 1+idSize+len(key))
	return append(append(append(k, table), bucket[:]...), key...)
}

// end is the lowest key above all that begin with prefix.
func end(prefix []byte) []byte { return listing.Successor(prefix) }

func number16(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) }

func number64(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// An escaped key keeps the order of the bytes though something follows it: 0x00
// is written 0x00 0xff, and the key ends with 0x00 0x01.
var keyEnd = []byte{0, 1}

func escape(key []byte) []byte { return bytes.ReplaceAll(key, []byte{0}, []byte{0, 0xff}) }

func unescape(key []byte) []byte {
	if bytes.IndexByte(key, 0) < 0 {
		return key
	}
	return bytes.ReplaceAll(key, []byte{0, 0xff}, []byte{0})
}

func multipartRow(bucket uuid.UUID, key string, upload uuid.UUID) []byte {
	return row(tableMultipart, bucket[:], escape([]byte(key)), keyEnd, upload[:])
}

// multipartKey is the object's key in a row of open multipart uploads.
func multipartKey(k []byte) []byte { return unescape(k[1+idSize : len(k)-len(keyEnd)-idSize]) }

// garbageRow is the row of garbage with an ID; kinds: Invalid.
func garbageRow(id []byte) ([]byte, error) {
	if len(id) != 8+idSize {
		return nil, errors.Newf(errors.Invalid, "%x is not an ID of garbage", id)
	}
	return row(tableGarbage, id), nil
}
