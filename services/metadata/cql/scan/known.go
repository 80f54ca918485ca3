package scan

import (
	"cmp"
	"slices"
	"sort"
)

// place is a Place, or the one behind all rows.
type place struct {
	Place
	last bool
}

// at is the place before all rows of a key.
func at(key string) place { return place{Place: Place{Key: key}} }

// behind is the place behind a row, and behind those of its key that it hides.
func behind(key, sub string) place {
	if sub == "" {
		return at(key + "\x00")
	}
	return place{Place: Place{Key: key, Sub: sub}}
}

// compare orders places.
func (p place) compare(o place) int {
	if p.last || o.last {
		switch {
		case p.last && o.last:
			return 0
		case p.last:
			return 1
		}
		return -1
	}
	if c := cmp.Compare(p.Key, o.Key); c != 0 {
		return c
	}
	return cmp.Compare(p.Sub, o.Sub)
}

func (p place) before(o place) bool { return p.compare(o) < 0 }

func later(a, b place) place {
	if a.before(b) {
		return b
	}
	return a
}

func earlier(a, b place) place {
	if a.before(b) {
		return a
	}
	return b
}

// past reports whether a row lies before the place.
func past[V any](row *Row[V], p place) bool {
	if p.last || row.Key != p.Key {
		return p.last || row.Key < p.Key
	}
	return p.Sub != "" && row.Sub <= p.Sub
}

// segment is a part of a shard of which all rows are known.
type segment[V any] struct {
	from, to place
	rows     []Row[V]
	hidden   int // rows read that are not to be shown
}

// index is that of the first row at or behind the place.
func (s *segment[V]) index(p place) int {
	return sort.Search(len(s.rows), func(i int) bool { return !past(&s.rows[i], p) })
}

// known is what is known of a shard: segments that do not meet, in order.
type known[V any] struct {
	segments []segment[V]
}

// find is the segment that holds the place, or nil.
func (k *known[V]) find(p place) *segment[V] {
	i := sort.Search(len(k.segments), func(i int) bool { return p.before(k.segments[i].to) })
	if i == len(k.segments) || p.before(k.segments[i].from) {
		return nil
	}
	return &k.segments[i]
}

// add adds what of a segment is not known yet, and returns the rows that are new.
func (k *known[V]) add(s segment[V]) []Row[V] {
	var fresh []Row[V]
	all := slices.Clone(k.segments)
	piece := func(from, to place) {
		rows := s.rows[s.index(from):s.index(to)]
		fresh = append(fresh, rows...)
		all = append(all, segment[V]{from: from, to: to, rows: rows, hidden: s.hidden})
	}
	from := s.from
	for _, old := range k.segments {
		if !from.before(old.to) || !old.from.before(s.to) {
			continue
		}
		if from.before(old.from) {
			piece(from, old.from)
		}
		from = old.to
	}
	if from.before(s.to) {
		piece(from, s.to)
	}
	slices.SortFunc(all, func(a, b segment[V]) int { return a.from.compare(b.from) })
	k.segments = all[:0]
	for _, next := range all {
		if n := len(k.segments); n > 0 && k.segments[n-1].to == next.from {
			last := &k.segments[n-1]
			last.to, last.hidden = next.to, last.hidden+next.hidden
			last.rows = append(slices.Clip(last.rows), next.rows...)
			continue
		}
		k.segments = append(k.segments, next)
	}
	return fresh
}

// cursor is the listing.Iterator over what is known of a shard. Where nothing is known it stands at the
// lowest key that the next row can have, without a row.
type cursor[V any] struct {
	walk  *walk[V]
	known *known[V]
	key   []byte
	row   *Row[V]
}

// SeekGE implements listing.Iterator.
func (c *cursor[V]) SeekGE(key []byte) { c.seek(later(c.walk.front, at(string(key)))) }

// Next implements listing.Iterator.
func (c *cursor[V]) Next() { c.seek(behind(c.row.Key, c.row.Sub)) }

// Key implements listing.Iterator.
func (c *cursor[V]) Key() []byte { return c.key }

func (c *cursor[V]) seek(p place) {
	c.key, c.row = nil, nil
	for p.before(c.walk.end) {
		s := c.known.find(p)
		if s == nil {
			c.key = []byte(p.Key)
			return
		}
		if i := s.index(p); i < len(s.rows) {
			c.key, c.row = []byte(s.rows[i].Key), &s.rows[i]
			return
		}
		p = s.to
	}
}
