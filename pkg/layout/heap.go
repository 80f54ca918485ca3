package layout

// heap is a binary heap with the least shift at its top.
type heap []shift

func (h heap) top() shift {
	if len(h) == 0 {
		return noShift
	}
	return h[0]
}

// init puts what was appended in order.
func (h heap) init() {
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.sink(i)
	}
}

func (h *heap) push(s shift) {
	*h = append(*h, s)
	q := *h
	i := len(q) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if q[parent] <= s {
			break
		}
		q[i] = q[parent]
		i = parent
	}
	q[i] = s
}

func (h *heap) pop() {
	q := *h
	n := len(q) - 1
	q[0] = q[n]
	*h = q[:n]
	if n > 0 {
		(*h).sink(0)
	}
}

func (h heap) sink(i int) {
	s := h[i]
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1] < h[child] {
			child++
		}
		if h[child] >= s {
			break
		}
		h[i] = h[child]
		i = child
	}
	h[i] = s
}
