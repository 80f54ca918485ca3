package listing

import (
	"bytes"
	"container/heap"
)

// Merge is an Iterator over the rows of several, in one order. Rows with equal
// keys come in the order of the iterators given.
func Merge(its ...Iterator) Iterator { return &merge{all: its} }

type merge struct {
	all  []Iterator
	heap []source // those with a row left
}

type source struct {
	it    Iterator
	index int
}

func (m *merge) SeekGE(key []byte) {
	m.heap = m.heap[:0]
	for i, it := range m.all {
		if it.SeekGE(key); it.Key() != nil {
			m.heap = append(m.heap, source{it, i})
		}
	}
	heap.Init(m)
}

func (m *merge) Next() {
	if len(m.heap) == 0 {
		return
	}
	if m.heap[0].it.Next(); m.heap[0].it.Key() == nil {
		heap.Pop(m)
		return
	}
	heap.Fix(m, 0)
}

func (m *merge) Key() []byte {
	if len(m.heap) == 0 {
		return nil
	}
	return m.heap[0].it.Key()
}

// Len, Less, Swap, Push and Pop are for package heap.
func (m *merge) Len() int { return len(m.heap) }

func (m *merge) Less(i, j int) bool {
	if c := bytes.Compare(m.heap[i].it.Key(), m.heap[j].it.Key()); c != 0 {
		return c < 0
	}
	return m.heap[i].index < m.heap[j].index
}

func (m *merge) Swap(i, j int) { m.heap[i], m.heap[j] = m.heap[j], m.heap[i] }
func (m *merge) Push(x any)    { m.heap = append(m.heap, x.(source)) }

func (m *merge) Pop() any {
	last := m.heap[len(m.heap)-1]
	m.heap = m.heap[:len(m.heap)-1]
	return last
}
