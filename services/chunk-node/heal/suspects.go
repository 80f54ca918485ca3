package heal

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
)

// suspects are the attempts that have references in a partition and that metadata did not know, each with the time at which it was first
// not known. The time is that for which the node has run; see collection. Of an attempt that was known since, nothing is kept.
type suspects map[uuid.UUID]time.Duration

// judge are the suspects after metadata was asked about every attempt that has references in the partition: these are unknown, as was
// answered at that time.
func (s suspects) judge(unknown map[uuid.UUID]bool, answered time.Duration) suspects {
	next := make(suspects, len(unknown))
	for id := range unknown {
		first, before := s[id]
		if !before {
			first = answered
		}
		next[id] = first
	}
	return next
}

// due reports whether an attempt that is not known at a time was not known for so long before, either.
func (s suspects) due(id uuid.UUID, now, wait time.Duration) bool {
	first, suspected := s[id]
	return suspected && now-first >= wait
}

// allDue are those that are due, in order.
func (s suspects) allDue(now, wait time.Duration) (all []uuid.UUID) {
	for id := range s {
		if s.due(id, now, wait) {
			all = append(all, id)
		}
	}
	slices.SortFunc(all, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	return all
}

const suspectSize = 16 + 8

// encode is nothing for no suspects.
func (s suspects) encode() []byte {
	b := make([]byte, 0, len(s)*suspectSize)
	for _, id := range s.allDue(0, -1<<62) {
		b = append(b, id[:]...)
		b = binary.BigEndian.AppendUint64(b, uint64(s[id]))
	}
	return b
}

func decodeSuspects(b []byte) (suspects, error) {
	if len(b)%suspectSize != 0 {
		return nil, errors.Newf(errors.Corrupted, "%d bytes are no list of attempts", len(b))
	}
	s := make(suspects, len(b)/suspectSize)
	for ; len(b) > 0; b = b[suspectSize:] {
		s[uuid.UUID(b[:16])] = time.Duration(binary.BigEndian.Uint64(b[16:]))
	}
	return s, nil
}

// askAbove: a round that knows of more than one in so many references nothing asks the operator before it removes any.
const askAbove = 100

// tooMany decides whether so many references are of attempts that metadata does not know that it is more likely wrong.
func tooMany(references, unknown int64) bool { return unknown*askAbove > references }

// confirmWithin is how long what an operator was told may be confirmed.
const confirmWithin = 24 * time.Hour

// covers reports whether who was told of the refusal, and confirmed it, knew what is found now: about as much, in the same day.
func (r *refusal) covers(n collectNote) bool {
	return r != nil && n.Start-r.At <= confirmWithin && !tooMany(n.Refs, n.Unknown-r.Unknown)
}
