package scan

import (
	"math"
	"slices"
	"strings"

	"deuxfleurs.fr/garage/pkg/meta/listing"
)

const (
	// maxPage bounds the rows of one statement.
	maxPage = 2000
	// splitAbove is how many rows of a common prefix a shard has where seeking past them costs less than
	// reading over them: a statement costs about as much as some tens of rows.
	splitAbove = 12
	// maxAsks bounds the statements of a round, beyond one for each shard.
	maxAsks = 512
	// The statements of a round that guess.
	minGuesses, maxGuesses = 32, 128
	// Rows that a statement reads in a split round: at the front enough to see whether to go on
	// splitting, and ahead enough to step over a hidden row or two.
	rowsAtFront, rowsAhead, rowsOfGuess = splitAbove + 5, 8, 2
)

// plan is what to ask in the next round; the first atFront statements read what comes next.
func (w *walk[V]) plan() (asks []Ask, atFront int) {
	perEntry := w.perEntry
	if w.passed != "" { // the walk is behind a common prefix: the next may be as large
		perEntry = max(perEntry, float64(w.shown[w.passed])/float64(len(w.known)))
	}
	if perEntry > splitAbove {
		return w.split()
	}
	asks = w.page(perEntry)
	atFront = len(asks)
	if w.q.Delimiter != "" && w.cost.Rounds == 0 {
		last := Ask{Shard: len(w.known) - 1, From: w.front.Place, Limit: 1, Last: true}
		asks = append(asks, w.bounded(last, w.end))
	}
	return asks, atFront
}

// wanted is how many entries are still wanted, with the one that shows that there are more.
func (w *walk[V]) wanted() int { return max(1, w.q.Limit+1-w.emitted) }

// page asks every shard for its share of the rows wanted, by the law of large numbers; a shard that has more of
// them than expected is asked again, for more.
func (w *walk[V]) page(perEntry float64) []Ask {
	ratio := (float64(w.visible) + 1) / (float64(w.cost.Rows) + 1)
	mean := float64(w.wanted()) * perEntry
	share := mean + 3*math.Sqrt(mean) + 4
	if perEntry*float64(len(w.known)) < 1.5 { // keys, one by one: no shard needs give more than all that are wanted
		share = min(share*math.Pow(4, float64(min(w.pages, 6))), float64(w.wanted()))
	}
	if w.emitted > w.before {
		w.barren = 0
	}
	rows := int(min(maxPage, (share/min(1, ratio)+1)*math.Pow(4, float64(min(w.barren, 6)))))
	w.pages, w.barren, w.before = w.pages+1, w.barren+1, w.emitted
	var asks []Ask
	for i := range w.known {
		from, visible := w.reach(i, w.front)
		if from.before(w.end) && visible*4 < rows*3 {
			// What is known further on is read again: it is little.
			asks = append(asks, w.bounded(Ask{Shard: i, From: from.Place, Limit: rows - visible}, w.end))
		}
	}
	return asks
}

// reach is how far a shard is known from a place on, and how many visible rows it has there. The rest of a
// common prefix that is shown anyway counts as known.
func (w *walk[V]) reach(shard int, p place) (_ place, visible int) {
	for p.before(w.end) {
		s := w.known[shard].find(p)
		if s == nil {
			after, ok := w.past(p)
			if !ok {
				return p, visible
			}
			p = after
			continue
		}
		visible += len(s.rows) - s.index(p)
		p = s.to
	}
	return p, visible
}

// past is the place behind the common prefix in which a place lies, if that is known to have a row.
func (w *walk[V]) past(p place) (place, bool) {
	common := w.common(p.Key)
	if common == "" || w.shown[common] == 0 {
		return p, false
	}
	after := listing.Successor([]byte(common))
	if after == nil {
		return w.end, true
	}
	return earlier(w.end, at(string(after))), true
}

func (w *walk[V]) bounded(a Ask, to place) Ask {
	if !to.last {
		a.To = to.Key
	}
	return a
}

// gap is a part of the listing between two neighbouring entries that are known.
type gap struct{ from, to place }

// split closes the gaps between the entries known ahead, beginning at the front, and guesses where more are.
func (w *walk[V]) split() (asks []Ask, atFront int) {
	w.pages = 0
	gaps, horizon := w.gaps()
	found := len(gaps) + w.emitted
	if found-w.found < w.guesses/8 {
		w.guesses = max(minGuesses, w.guesses/2)
	} else {
		w.guesses = min(maxGuesses, w.guesses*2)
	}
	w.found = found
	guesses := min(w.guesses, 2*w.wanted())
	closed := w.front // gaps before this place are closed in this round
	for i, g := range gaps {
		if i > 0 && len(asks)+len(w.known) > maxAsks-guesses {
			break
		}
		for shard := range w.known {
			from, _ := w.reach(shard, g.from)
			if !from.before(g.to) {
				continue
			}
			rows := rowsAhead
			if i == 0 {
				rows = rowsAtFront
			}
			if s := w.known[shard].find(g.from); s != nil {
				rows = max(rows, min(maxPage, 4*s.hidden))
			}
			asks = append(asks, w.bounded(Ask{Shard: shard, From: from.Place, Limit: rows}, g.to))
		}
		if closed = g.to; i == 0 {
			atFront = len(asks)
		}
	}
	return append(asks, w.guess(closed, horizon, guesses)...), atFront
}

// gaps are those between the entries known ahead, as many as are wanted, beginning at the front; horizon is where the last
// of them ends that has an entry behind it, or else the last key known to exist.
func (w *walk[V]) gaps() (gaps []gap, horizon place) {
	ahead := make(map[string]bool)
	for i := range w.known {
		for _, s := range w.known[i].segments {
			for _, row := range s.rows[s.index(w.front):] {
				ahead[w.entry(row.Key)] = true
			}
		}
	}
	entries := make([]string, 0, len(ahead))
	for e := range ahead {
		entries = append(entries, e)
	}
	slices.Sort(entries)
	from := w.front
	for _, e := range entries {
		if len(gaps) == w.wanted() {
			return gaps, horizon
		}
		to, after := at(e), at(e+"\x00")
		if w.common(e) == e {
			after, _ = w.past(to)
		} else {
			to = after
		}
		if from.before(to) {
			gaps = append(gaps, gap{from, to})
		}
		from, horizon = later(from, after), to
	}
	if from.before(w.end) {
		gaps = append(gaps, gap{from, w.end})
	}
	return gaps, later(horizon, at(w.lastKey))
}

// guess asks one shard each for rows at points before the horizon of which no shard knows anything. The gaps
// before closed are asked for already, so that their beginnings are no guesses.
func (w *walk[V]) guess(closed, horizon place, points int) []Ask {
	var asks []Ask
	dark := w.dark(horizon)
	for i, d := range dark {
		n := max(1, points/len(dark))
		if i >= points {
			break
		}
		keys := between(d.from.Key, d.to.Key, n, &w.alphabet)
		if !d.from.before(closed) {
			keys = append([]string{d.from.Key}, keys...)
		}
		for _, key := range keys[:min(n, len(keys))] {
			shard := w.turn % len(w.known)
			w.turn++
			asks = append(asks, w.bounded(Ask{Shard: shard, From: Place{Key: key}, Limit: rowsOfGuess}, d.to))
		}
	}
	return asks
}

// dark are the parts between the front and the horizon of which no shard knows anything.
func (w *walk[V]) dark(horizon place) []gap {
	var all []gap
	for i := range w.known {
		for _, s := range w.known[i].segments {
			all = append(all, gap{s.from, s.to})
		}
	}
	slices.SortFunc(all, func(a, b gap) int { return a.from.compare(b.from) })
	var dark []gap
	from := w.front
	add := func(to place) {
		if after, ok := w.past(from); ok {
			from = after
		}
		if from.Sub == "" && from.before(to) {
			dark = append(dark, gap{from, to})
		}
	}
	for _, lit := range all {
		if !lit.from.before(horizon) {
			break
		}
		add(lit.from)
		from = later(from, lit.to)
	}
	add(horizon)
	return dark
}

// between are up to n keys above a and below b, evenly spread over the strings of the bytes that keys use.
func between(a, b string, n int, alphabet *[256]bool) []string {
	same := 0 // bytes at the beginning
	for same < min(len(a), len(b)) && a[same] == b[same] {
		same++
	}
	used := *alphabet
	for _, c := range []byte(a[same:] + b[same:]) {
		used[c] = true
	}
	fill(&used, '0', '9', '0')
	fill(&used, 'A', 'Z', 'G') // not those of hexadecimal numbers
	fill(&used, 'a', 'z', 'g')
	var digits []byte
	var value [256]uint64 // 0 is the end of a key
	for c := range used {
		if used[c] {
			digits = append(digits, byte(c))
			value[c] = uint64(len(digits))
		}
	}
	base := uint64(len(digits) + 1)
	length, scale := 0, uint64(1)
	for scale < 1<<50/base {
		length, scale = length+1, scale*base
	}
	number := func(s string) (v uint64) {
		for i := range length {
			if v *= base; i < len(s) {
				v += value[s[i]]
			}
		}
		return v
	}
	low, high := number(a[same:]), number(b[same:])
	var keys []string
	last := a
	for i := 1; i <= n && high > low; i++ {
		v := low + (high-low)*uint64(i)/uint64(n+1)
		var key strings.Builder
		key.WriteString(a[:same])
		for unit := scale / base; unit > 0 && v/unit > 0; unit /= base {
			key.WriteByte(digits[v/unit-1])
			v %= unit
		}
		if k := key.String(); k > last && k < b {
			keys, last = append(keys, k), k
		}
	}
	return keys
}

// fill adds the bytes from low to high if one of them, from some on, is used.
func fill(used *[256]bool, low, high, some byte) {
	if !slices.Contains(used[some:int(high)+1], true) {
		return
	}
	for c := low; c <= high; c++ {
		used[c] = true
	}
}
