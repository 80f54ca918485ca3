package listing

import (
	"bytes"
	"container/heap"
)

// Merge is an Iterator over the rows of several, in one order. Rows with equal
// keys come in the order of the iterators given.
func Merge(its ...Iterator) *Merged { return &Merged{all: its} }

// Merged is what Merge makes.
type Merged struct {
	all  []Iterator
	heap []source // those with a row left
}

type source struct {
	it    Iterator
	index int
}

// SeekGE implements Iterator.
func (m *Merged) SeekGE(key []byte) {
	m.heap = m.heap[:0]
	for i, it := range m.all {
		if it.SeekGE(key); it.Key() != nil {
			m.heap = append(m.heap, source{it, i})
		}
	}
	heap.Init(m)
}

// Next implements Iterator.
func (m *Merged) Next() {
	if len(m.heap) == 0 {
		return
	}
	if m.heap[0].it.Next(); m.heap[0].it.Key() == nil {
		heap.Pop(m)
		return
	}
	heap.Fix(m, 0)
}

// Key implements Iterator.
func (m *Merged) Key() []byte {
	if len(m.heap) == 0 {
		return nil
	}
	return m.heap[0].it.Key()
}

// Current is the iterator that stands at the current row, or nil behind the last row.
func (m *Merged) Current() Iterator {
	if len(m.heap) == 0 {
		return nil
	}
	return m.heap[0].it
}

// Len, Less, Swap, Push and Pop are for package heap.
func (m *Merged) Len() int { return len(m.heap) }

func (m *Merged) Less(i, j int) bool {
	if c := bytes.Compare(m.heap[i].it.Key(), m.heap[j].it.Key()); c != 0 {
		return c < 0
	}
	return m.heap[i].index < m.heap[j].index
}

func (m *Merged) Swap(i, j int) { m.heap[i], m.heap[j] = m.heap[j], m.heap[i] }
func (m *Merged) Push(x any)    { m.heap = append(m.heap, x.(source)) }

func (m *Merged) Pop() any {
	last := m.heap[len(m.heap)-1]
	m.heap = m.heap[:len(m.heap)-1]
	return last
}
