package scan

import (
	"bytes"
	"context"
	"math"
	"strings"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta/listing"
)

// Row is a row of a shard that is to be shown.
type Row[V any] struct {
	Key string
	// Sub orders rows of one key that are each shown (uploads). It is empty where only
	// the newest row of a key counts.
	Sub   string
	Value V
}

// Place is a place between rows of a shard: before all rows of Key, or, if Sub is not empty, behind its row Sub.
type Place struct {
	Key string
	Sub string
}

// Ask is one statement: rows of a shard from a place on, in rising order.
type Ask struct {
	Shard int
	From  Place
	To    string // only keys below; empty: no bound
	Limit int    // rows to read, at least 1
	// Last asks instead for the last row of the range, with Limit 1.
	Last bool
}

// Answer is the answer to an Ask.
type Answer[V any] struct {
	// Rows are those to be shown: not those below the newest of their key, unless rows have a Sub, and not hidden ones.
	Rows []Row[V]
	// Read is how many rows were read, of any kind. Read = Limit: there may be more.
	Read int
	// Key and Sub are those of the last row read.
	Key, Sub string
}

// Source has the rows of shards.
type Source[V any] interface {
	// Round answers the asks, side by side: what it takes is one wait.
	Round(ctx context.Context, asks []Ask) ([]Answer[V], error)
}

// Cost is what a listing took.
type Cost struct {
	Rounds, Asks, Rows int
}

// maxRounds ends a page early, if it has entries, so that no page takes much longer than others.
const maxRounds = 64

// List lists what the query asks for of all shards and calls emit for each entry, in order; for a
// common prefix the row is empty. If behind is not the zero Place, rows before it are not shown.
// It reports whether there are more entries. Errors are those of the source and the context.
func List[V any](ctx context.Context, source Source[V], shards int, q listing.Query, behind Place, emit func(listing.Entry, Row[V])) (more bool, cost Cost, err error) {
	more, _, cost, err = ListSome(ctx, source, shards, q, behind, math.MaxInt, emit)
	return more, cost, err
}

// ListSome is List for rows without Sub that ends a page, also an empty one, when it has read that many rows or more
// and does not know the next entry yet. Then there may be more, behind the key looked, which need not be there; it is empty if the page ended otherwise.
// A common prefix is looked through to its end, as a listing cannot begin in it.
func ListSome[V any](ctx context.Context, source Source[V], shards int, q listing.Query, behind Place, rows int, emit func(listing.Entry, Row[V])) (more bool, looked string, cost Cost, err error) {
	w := &walk[V]{
		ctx: ctx, source: source, q: q, most: rows, known: make([]known[V], shards),
		front: place{Place: behind}, end: place{last: true}, shown: make(map[string]int), guesses: maxGuesses / 4, found: -maxGuesses, before: -1, perEntry: 1 / float64(shards),
	}
	w.q.SeekAtOnce = true
	if after := listing.Successor([]byte(q.Prefix)); after != nil {
		w.end = at(string(after))
	}
	its := make([]listing.Iterator, shards)
	for i := range its {
		its[i] = &cursor[V]{walk: w, known: &w.known[i]}
	}
	w.merged = listing.Merge(its...)
	more = listing.Walk(w, w.q, func(e listing.Entry) bool {
		w.emitted++
		if w.passed = e.Prefix; e.Prefix != "" {
			w.last = e.Prefix
			emit(e, Row[V]{})
		} else {
			w.last = w.current().row.Key
			emit(e, *w.current().row)
		}
		return w.cost.Rounds < maxRounds
	})
	return more || w.looked != "", w.looked, w.cost, w.err
}

// walk is a listing under way, and the listing.Iterator over all its shards: where what it comes to is not
// known, it plans a round and waits for it.
type walk[V any] struct {
	ctx    context.Context
	source Source[V]
	q      listing.Query
	known  []known[V] // by shard
	merged *listing.Merged
	front  place // what is before it has been shown or does not count
	end    place // nothing is shown from here on
	err    error
	cost   Cost
	most   int    // rows to read until a page may end without a next entry
	looked string // the last key looked at, if a page ended so

	// What the plans rest on.
	emitted  int
	passed   string         // the common prefix shown last; empty: a key was
	last     string         // the key or common prefix shown last
	shown    map[string]int // visible rows known of each common prefix
	alphabet [256]bool      // bytes that keys have behind the prefix
	visible  int            // of the rows read, those that are to be shown
	pages    int            // page rounds in a row
	barren   int            // those of them since which nothing was shown
	before   int            // what had been shown at the last of them
	perEntry float64        // rows of a shard for each entry, where the walk last read
	guesses  int            // points to guess in the next round
	found    int            // entries known ahead when guesses were last made
	lastKey  string         // of a shard; empty: not known
	turn     int            // the shard that is asked for the next guess
}

func (w *walk[V]) current() *cursor[V] {
	c, _ := w.merged.Current().(*cursor[V])
	return c
}

// SeekGE implements listing.Iterator.
func (w *walk[V]) SeekGE(key []byte) {
	w.front = later(w.front, at(string(key)))
	w.settle()
}

// Next implements listing.Iterator. The walk seeks past common prefixes, so the current row is one that was shown.
func (w *walk[V]) Next() {
	row := w.current().row
	w.front = behind(row.Key, row.Sub)
	if w.merged.Next(); w.unknown() {
		w.settle()
	}
}

// Key implements listing.Iterator.
func (w *walk[V]) Key() []byte {
	if w.err != nil || w.looked != "" {
		return nil
	}
	return w.merged.Key()
}

// settle moves to the first row at or behind the front, after as many rounds as it takes to know it.
func (w *walk[V]) settle() {
	for w.err == nil {
		if w.merged.SeekGE([]byte(w.front.Key)); !w.unknown() {
			return
		}
		if w.cost.Rows >= w.most {
			if looked := max(w.upTo(string(w.current().key)), w.last); looked > w.q.After {
				w.looked = looked
				return
			}
		}
		w.err = w.round()
	}
}

// upTo is where the next listing may go on behind, all shards being known up to the lowest place that is not: the last key that its
// shard answered, or, in a common prefix, which would be skipped from any place in it, a place before that prefix.
func (w *walk[V]) upTo(unknown string) string {
	if common := w.common(unknown); common != "" {
		return common[:len(common)-1]
	}
	key, ok := strings.CutSuffix(unknown, "\x00")
	if !ok {
		return ""
	}
	return key
}

// unknown reports whether the lowest row of all shards is one of which only is known that it is not lower.
func (w *walk[V]) unknown() bool {
	c := w.current()
	return c != nil && c.row == nil && w.shown[w.common(string(c.key))] == 0
}

// common is the common prefix as which the listing shows a key, or empty.
func (w *walk[V]) common(key string) string {
	if !bytes.HasPrefix([]byte(key), []byte(w.q.Prefix)) {
		return ""
	}
	return string(w.q.CommonPrefix([]byte(key)))
}

// round asks what the plan says and learns from the answers.
func (w *walk[V]) round() error {
	if err := w.ctx.Err(); err != nil {
		return errors.Wrap(errors.KindOf(err), err, "listing")
	}
	asks, atFront := w.plan()
	answers, err := w.source.Round(w.ctx, asks)
	if err != nil {
		return err
	}
	if len(answers) != len(asks) {
		return errors.Newf(errors.Internal, "a round of %d statements of a listing has %d answers", len(asks), len(answers))
	}
	w.cost.Rounds++
	w.cost.Asks += len(asks)
	rows, entries := 0, make(map[string]bool) // that are shown, at the front
	for i, ask := range asks {
		w.cost.Rows += answers[i].Read
		if ask.Last {
			w.lastKey = answers[i].Key
			continue
		}
		if i < atFront {
			for _, row := range answers[i].Rows {
				rows, entries[w.entry(row.Key)] = rows+1, true
			}
		}
		w.learn(ask, answers[i])
	}
	if rows > 0 && atFront*2 >= len(w.known) {
		w.perEntry = float64(rows) / float64(len(entries)) / float64(atFront)
	}
	return nil
}

// learn adds an answer to what is known.
func (w *walk[V]) learn(ask Ask, answer Answer[V]) {
	to := w.end
	if ask.To != "" {
		to = at(ask.To)
	}
	if answer.Read >= ask.Limit {
		to = behind(answer.Key, answer.Sub)
	}
	fresh := w.known[ask.Shard].add(segment[V]{from: place{Place: ask.From}, to: to, rows: answer.Rows, hidden: answer.Read - len(answer.Rows)})
	w.visible += len(fresh)
	for _, row := range fresh {
		if common := w.common(row.Key); common != "" {
			w.shown[common]++
		}
		for _, b := range []byte(row.Key[len(w.q.Prefix):]) {
			w.alphabet[b] = true
		}
	}
}

// entry is the common prefix as which a key is shown, or the key.
func (w *walk[V]) entry(key string) string {
	if common := w.common(key); common != "" {
		return common
	}
	return key
}
