package pebble

import (
	"hash/maphash"
	"slices"
	"sync"
)

// stripes are locks that stand for more names than there are: two names may share one.
type stripes struct {
	seed  maphash.Seed
	locks []sync.Mutex
}

// newStripes makes n locks of 8 bytes; n is a power of two.
func newStripes(n int) *stripes {
	return &stripes{seed: maphash.MakeSeed(), locks: make([]sync.Mutex, n)}
}

func (s *stripes) index(name []byte) int {
	return int(maphash.Bytes(s.seed, name) & uint64(len(s.locks)-1))
}

// lock takes the lock of a name and returns what gives it back.
func (s *stripes) lock(name []byte) func() {
	l := &s.locks[s.index(name)]
	l.Lock()
	return l.Unlock
}

// lockAll takes the locks of several names, in one order for all callers. It returns which, and what gives them back.
func (s *stripes) lockAll(names [][]byte) ([]int, func()) {
	indexes := make([]int, len(names))
	for i, n := range names {
		indexes[i] = s.index(n)
	}
	slices.Sort(indexes)
	indexes = slices.Compact(indexes)
	for _, i := range indexes {
		s.locks[i].Lock()
	}
	return indexes, func() {
		for _, i := range indexes {
			s.locks[i].Unlock()
		}
	}
}
