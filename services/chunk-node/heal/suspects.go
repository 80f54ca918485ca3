package heal

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
)

// suspects are the attempts that have references in a partition and that metadata did not know in a round, each with the time at which it was first
// not known. The time is that for which the node has run; see collection. Of an attempt that was known since, nothing is kept.
type suspects struct {
	round uint64 // in which metadata was asked last
	first map[uuid.UUID]time.Duration
}

// judge are the suspects after metadata was asked, in a round, about every attempt that has references in the partition: these are unknown, as was
// answered at that time. What was not known in a round before the last one says nothing.
func (s suspects) judge(unknown map[uuid.UUID]bool, round uint64, answered time.Duration) suspects {
	next := suspects{round: round, first: make(map[uuid.UUID]time.Duration, len(unknown))}
	for id := range unknown {
		first, before := s.first[id]
		if !before || s.round+1 < round {
			first = answered
		}
		next.first[id] = first
	}
	return next
}

// due reports whether an attempt that is not known at a time was not known for so long before, either.
func (s suspects) due(id uuid.UUID, now, wait time.Duration) bool {
	first, suspected := s.first[id]
	return suspected && now-first >= wait
}

// allDue are those that are due, in order.
func (s suspects) allDue(now, wait time.Duration) (all []uuid.UUID) {
	for id := range s.first {
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
	if len(s.first) == 0 {
		return nil
	}
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(s.first)*suspectSize), s.round)
	for _, id := range s.allDue(0, -1<<62) {
		b = append(b, id[:]...)
		b = binary.BigEndian.AppendUint64(b, uint64(s.first[id]))
	}
	return b
}

func decodeSuspects(b []byte) (suspects, error) {
	if len(b) == 0 {
		return suspects{}, nil
	}
	if len(b)%suspectSize != 8 {
		return suspects{}, errors.Newf(errors.Corrupted, "%d bytes are no list of attempts", len(b))
	}
	s := suspects{round: binary.BigEndian.Uint64(b), first: make(map[uuid.UUID]time.Duration, len(b)/suspectSize)}
	for b = b[8:]; len(b) > 0; b = b[suspectSize:] {
		s.first[uuid.UUID(b[:16])] = time.Duration(binary.BigEndian.Uint64(b[16:]))
	}
	return s, nil
}

// askAbove: a round that knows of more than one in so many references nothing asks the operator before it removes any.
const askAbove = 100

// tooMany decides whether so many references are of attempts that metadata does not know that it is more likely wrong.
func tooMany(references, unknown int64) bool { return unknown*askAbove > references }
