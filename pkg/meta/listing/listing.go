package listing

import (
	"bytes"
	"strings"
)

// Iterator moves over rows in rising order of their keys. Two rows may have the same
// key (uploads); Walk then shows each.
type Iterator interface {
	// SeekGE moves to the first row with a key at or above key.
	SeekGE(key []byte)
	// Next moves to the next row.
	Next()
	// Key is the key of the current row, or nil behind the last row and after an
	// error. It is valid until the iterator moves.
	Key() []byte
}

// Query is what to list.
type Query struct {
	Prefix    string
	Delimiter string
	After     string
	// From, if not empty, begins at this key and not above After, unless After
	// lies in a common prefix.
	From  string
	Limit int // at least 1
	// SeekAtOnce says to seek past a common prefix without stepping over its first rows: right for
	// iterators that have to fetch the rows that they step to.
	SeekAtOnce bool
}

// Entry is a key or a common prefix.
type Entry struct {
	// Prefix is the common prefix, or empty: then the entry is the row at which the
	// iterator stands.
	Prefix string
}

// nextBeforeSeek is how many rows of a common prefix are stepped over before
// the iterator seeks past it: stepping is cheaper than seeking where prefixes hold few keys.
const nextBeforeSeek = 3

// Walk calls emit for up to q.Limit entries and reports whether there are more.
// emit may end the walk early by returning false after it has taken the entry.
func Walk(it Iterator, q Query, emit func(Entry) bool) (more bool) {
	prefix := []byte(q.Prefix)
	start, ok := q.Start()
	if !ok {
		return false
	}
	it.SeekGE(start)
	stop := false
	for n := 0; ; n++ {
		key := it.Key()
		if key == nil || !bytes.HasPrefix(key, prefix) {
			return false
		}
		if stop || n == q.Limit {
			return true
		}
		if common := q.CommonPrefix(key); common != nil {
			p := string(common)
			stop = !emit(Entry{Prefix: p})
			if !q.skip(it, p) {
				return false
			}
			continue
		}
		stop = !emit(Entry{})
		it.Next()
	}
}

// Start is the lowest key that can be shown; ok is false if none can.
func (q Query) Start() (start []byte, ok bool) {
	from := q.From
	if from == "" && q.After != "" {
		from = q.After + "\x00"
	}
	if q.After != "" && strings.HasPrefix(q.After, q.Prefix) {
		if common := q.CommonPrefix([]byte(q.After)); common != nil {
			after := Successor(common)
			if after == nil {
				return nil, false
			}
			from = max(from, string(after))
		}
	}
	return []byte(max(q.Prefix, from)), true
}

// CommonPrefix is the common prefix as which the listing shows the key, which begins with
// q.Prefix: the part up to its first delimiter behind q.Prefix, or nil if it has none.
func (q Query) CommonPrefix(key []byte) []byte {
	if q.Delimiter == "" {
		return nil
	}
	i := bytes.Index(key[len(q.Prefix):], []byte(q.Delimiter))
	if i < 0 {
		return nil
	}
	return key[:len(q.Prefix)+i+len(q.Delimiter)]
}

// skip moves past all keys with the prefix; it reports whether any key can lie there.
func (q Query) skip(it Iterator, prefix string) bool {
	for n := 0; n < nextBeforeSeek && !q.SeekAtOnce; n++ {
		it.Next()
		key := it.Key()
		if key == nil {
			return false
		}
		if !bytes.HasPrefix(key, []byte(prefix)) {
			return true
		}
	}
	after := Successor([]byte(prefix))
	if after == nil {
		return false
	}
	it.SeekGE(after)
	return true
}

// Successor is the lowest key above all keys that begin with prefix, or nil if
// there is none (the prefix is empty or all 0xff).
func Successor(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			after := bytes.Clone(prefix[:i+1])
			after[i]++
			return after
		}
	}
	return nil
}
