// Package usage remembers how much buckets held: a sample each hour for 30 days, and one each day for 2 years.
//
// Invariants: samples of one instance have growing times, one for an hour and one for a day at most; a sample is whole or not there (package
// journal); what is kept is bounded in time and in bytes, at about 55 bytes for each bucket and sample.
//
// Start reading at [History].
package usage

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/rebalancer/journal"
)

const (
	keepHours = 30 * 24 * time.Hour
	keepDays  = 2 * 365 * 24 * time.Hour
	maxBytes  = 64 << 20 // of each sort
	// MaxBuckets is how many buckets a sample has at most: those with the most bytes.
	MaxBuckets = 10_000
)

// Held is what a bucket holds.
type Held struct{ Objects, Bytes int64 }

// MarshalJSON is short: there are many.
func (h Held) MarshalJSON() ([]byte, error) { return json.Marshal([2]int64{h.Objects, h.Bytes}) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (h *Held) UnmarshalJSON(b []byte) error {
	var two [2]int64
	if err := json.Unmarshal(b, &two); err != nil {
		return errors.Wrap(errors.Corrupted, err, "what a bucket held")
	}
	h.Objects, h.Bytes = two[0], two[1]
	return nil
}

// Sample is how much there was at a moment.
type Sample struct {
	Time time.Time `json:"time"`
	All  Held      `json:"all"`
	// ChunkBytes and StoredBytes are those of all nodes, SavedBytes follows from them; 0: not known.
	ChunkBytes  int64 `json:"chunk_bytes,omitempty"`
	StoredBytes int64 `json:"stored_bytes,omitempty"`
	SavedBytes  int64 `json:"saved_bytes,omitempty"`
	// Buckets are by their IDs.
	Buckets map[uuid.UUID]Held `json:"buckets,omitempty"`
}

// History is the samples of one instance. It is safe for concurrent use.
type History struct {
	hours, days *journal.Journal

	mu                sync.Mutex
	lastHour, lastDay time.Time
}

// Open opens the history of a folder. Kinds: Unavailable.
func Open(folder string) (*History, error) {
	h := &History{}
	for _, one := range []struct {
		name string
		keep time.Duration
		j    **journal.Journal
		last *time.Time
	}{{"hours", keepHours, &h.hours, &h.lastHour}, {"days", keepDays, &h.days, &h.lastDay}} {
		j, err := journal.Open(journal.Options{Folder: filepath.Join(folder, one.name), Keep: one.keep, MaxBytes: maxBytes})
		if err != nil {
			return nil, err
		}
		if err := newest(context.Background(), j, func(s Sample) bool { *one.last = s.Time; return false }); err != nil {
			return nil, err
		}
		*one.j = j
	}
	return h, nil
}

// newest calls each with the samples of a journal, the newest first.
func newest(ctx context.Context, j *journal.Journal, each func(Sample) bool) error {
	return j.Newest(ctx, 0, func(_ uint64, line []byte) bool {
		var s Sample
		if json.Unmarshal(line, &s) != nil {
			return true // of a newer program
		}
		return each(s)
	})
}

// Due reports whether the hour has no sample yet.
func (h *History) Due(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !hour(now).Equal(hour(h.lastHour))
}

func hour(t time.Time) time.Time { return t.UTC().Truncate(time.Hour) }
func day(t time.Time) time.Time  { return t.UTC().Truncate(24 * time.Hour) }

// Add keeps a sample. Kinds: Unavailable.
func (h *History) Add(s Sample) error {
	if len(s.Buckets) > MaxBuckets {
		s.Buckets = largest(s.Buckets)
	}
	line, err := json.Marshal(s)
	if err != nil {
		return errors.Wrap(errors.Internal, err, "a sample")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.hours.Append(s.Time, line); err != nil {
		return err
	}
	h.lastHour = s.Time
	if day(s.Time).Equal(day(h.lastDay)) {
		return nil
	}
	if err := h.days.Append(s.Time, line); err != nil {
		return err
	}
	h.lastDay = s.Time
	return nil
}

func largest(all map[uuid.UUID]Held) map[uuid.UUID]Held {
	ids := make([]uuid.UUID, 0, len(all))
	for id := range all {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int {
		if x, y := all[a].Bytes, all[b].Bytes; x != y {
			return map[bool]int{true: -1, false: 1}[x > y]
		}
		return bytes.Compare(a[:], b[:])
	})
	some := make(map[uuid.UUID]Held, MaxBuckets)
	for _, id := range ids[:MaxBuckets] {
		some[id] = all[id]
	}
	return some
}

// Samples are those of a time, oldest first: one for an hour as far back as these are kept, and one for a day before. A bucket other than the zero
// UUID leaves out samples without it, and all buckets but it. Kinds: Unavailable, Canceled, Deadline.
func (h *History) Samples(ctx context.Context, bucket uuid.UUID, since, until time.Time) ([]Sample, error) {
	var all []Sample
	first := until.Add(time.Nanosecond) // of the hours
	take := func(s Sample) bool {
		if s.Time.Before(since) {
			return false
		}
		held, there := s.Buckets[bucket]
		if s.Time.After(until) || bucket != uuid.Nil && !there {
			return true
		}
		if s.Buckets = nil; there {
			s.Buckets = map[uuid.UUID]Held{bucket: held}
		}
		all = append(all, s)
		return true
	}
	err := newest(ctx, h.hours, func(s Sample) bool {
		if s.Time.Before(first) {
			first = s.Time
		}
		return take(s)
	})
	if err == nil {
		err = newest(ctx, h.days, func(s Sample) bool { return !s.Time.Before(first) || take(s) })
	}
	slices.Reverse(all)
	return all, err
}
