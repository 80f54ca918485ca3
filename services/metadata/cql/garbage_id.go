package cql

import (
	"encoding/binary"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

// garbageKind says which rows an ID of garbage names.
type garbageKind byte

const (
	garbageVersions  garbageKind = 'v' // versions of a key, from newest down to oldest
	garbageSingle    garbageKind = 's' // an aborted single upload
	garbageMultipart garbageKind = 'm' // an aborted multipart upload, or what a completed one left out
	garbageParts     garbageKind = 'p' // replaced parts of an open upload
)

// garbageID names rows.
type garbageID struct {
	kind    garbageKind
	at      place
	upload  uuid.UUID
	newest  clock.Timestamp
	oldest  clock.Timestamp
	replace []partName
}

// partName names a finished part.
type partName struct {
	number   int
	modified clock.Timestamp
	attempt  uuid.UUID
}

const (
	garbageHead = 1 + 16 + 2 + 16 + 8 + 8 + 2
	partNameLen = 2 + 8 + 16
)

func (g garbageID) encode() []byte {
	b := append([]byte{byte(g.kind)}, g.at.bucket[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(g.at.shard))
	b = append(b, g.upload[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(g.newest))
	b = binary.BigEndian.AppendUint64(b, uint64(g.oldest))
	b = binary.BigEndian.AppendUint16(b, uint16(len(g.replace)))
	for _, p := range g.replace {
		b = binary.BigEndian.AppendUint16(b, uint16(p.number))
		b = binary.BigEndian.AppendUint64(b, uint64(p.modified))
		b = append(b, p.attempt[:]...)
	}
	return append(b, g.at.key...)
}

func parseGarbageID(b []byte) (garbageID, error) {
	refused := errors.Newf(errors.Invalid, "%x is not an ID of garbage", b)
	if len(b) <= garbageHead {
		return garbageID{}, refused
	}
	g := garbageID{kind: garbageKind(b[0])}
	g.at.bucket, b = uuid.UUID(b[1:17]), b[17:]
	g.at.shard, b = int(binary.BigEndian.Uint16(b)), b[2:]
	g.upload, b = uuid.UUID(b[:16]), b[16:]
	g.newest, g.oldest, b = clock.Timestamp(binary.BigEndian.Uint64(b)), clock.Timestamp(binary.BigEndian.Uint64(b[8:])), b[16:]
	n := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	switch g.kind {
	case garbageVersions, garbageSingle, garbageMultipart, garbageParts:
	default:
		return garbageID{}, refused
	}
	if len(b) <= n*partNameLen {
		return garbageID{}, refused
	}
	for ; n > 0; n-- {
		g.replace = append(g.replace, partName{
			int(binary.BigEndian.Uint16(b)), clock.Timestamp(binary.BigEndian.Uint64(b[2:])), uuid.UUID(b[10:partNameLen]),
		})
		b = b[partNameLen:]
	}
	g.at.key = string(b)
	return g, nil
}

// phase is what a walk looks at, of each shard of a bucket.
type phase byte

const (
	walkObjects phase = iota
	walkUploads
	walkSingles
	walkPhases // how many there are
)

// cursor is a place in the walk over all buckets.
type cursor struct {
	bucket uuid.UUID // zero: before the first
	phase  phase
	shard  int
	found  bool // the bucket holds something
	key    string
	upload uuid.UUID       // uploads of the key up to this one are done
	below  clock.Timestamp // of the key, the versions below this one are still to come; 0: none
}

const cursorHead = 1 + 16 + 1 + 2 + 1 + 16 + 8

const cursorFormat = 1

func (c cursor) encode() []byte {
	b := append([]byte{cursorFormat}, c.bucket[:]...)
	b = append(b, byte(c.phase))
	b = binary.BigEndian.AppendUint16(b, uint16(c.shard))
	if c.found {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = append(b, c.upload[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(c.below))
	return append(b, c.key...)
}

func parseCursor(b []byte) (cursor, error) {
	if b == nil {
		return cursor{}, nil
	}
	if len(b) < cursorHead || b[0] != cursorFormat || phase(b[17]) > walkPhases {
		return cursor{}, errors.Newf(errors.Invalid, "%x is not a place in a walk over the garbage", b)
	}
	return cursor{
		bucket: uuid.UUID(b[1:17]), phase: phase(b[17]), shard: int(binary.BigEndian.Uint16(b[18:])), found: b[20] == 1,
		upload: uuid.UUID(b[21:37]), below: clock.Timestamp(binary.BigEndian.Uint64(b[37:])), key: string(b[cursorHead:]),
	}, nil
}
