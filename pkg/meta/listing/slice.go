package listing

import "sort"

// Slice is an Iterator over keys in rising order.
type Slice struct {
	Keys []string
	At   int // the index of the current row
	Rows int // rows that the iterator stood at, for tests of the cost
}

// SeekGE implements Iterator.
func (s *Slice) SeekGE(key []byte) {
	s.At = sort.SearchStrings(s.Keys, string(key))
	s.Rows++
}

// Next implements Iterator.
func (s *Slice) Next() {
	s.At++
	s.Rows++
}

// Key implements Iterator.
func (s *Slice) Key() []byte {
	if s.At >= len(s.Keys) {
		return nil
	}
	return []byte(s.Keys[s.At])
}
