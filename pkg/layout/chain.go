package layout

import (
	"math"

	"deuxfleurs.fr/garage/pkg/errors"
)

// chainNode holds what the search for a chain knows of each node.
type chainNode struct {
	distance []int64 // from where the chain begins, by reduced costs
	steps    []int32
	before   []int32 // the node before it on the chain
	done     []bool
}

const far = math.MaxInt64

func newChainNode(n int) chainNode {
	return chainNode{make([]int64, n), make([]int32, n), make([]int32, n), make([]bool, n)}
}

// relieve makes the cheapest chain of shifts from start, which holds more than
// its room, to a node with room. Reduced costs (the cost of an arc, plus the
// price of where it begins, less the price of where it ends) are never
// negative, so that Dijkstra's method finds it.
func (f *flow) relieve(start int) error {
	s := &f.search
	for v := range s.distance {
		s.distance[v], s.steps[v], s.done[v] = far, 0, false
	}
	s.distance[start] = 0
	last, shortest, fewest := -1, int64(far), int32(0)
	for {
		u := s.nearest()
		if u < 0 || s.distance[u] > shortest || s.distance[u] == shortest && s.steps[u] >= fewest {
			break // the sink is nearest: it is one step behind last
		}
		s.done[u] = true
		if f.excess(u) < 0 {
			if d := s.distance[u] + f.price[u] - f.end; d < shortest || d == shortest && s.steps[u]+1 < fewest {
				last, shortest, fewest = u, d, s.steps[u]+1
			}
		}
		f.extend(u)
	}
	if last < 0 {
		return errors.E(errors.Internal, errors.Layout, "", "no node has room for what node %d has too much", start)
	}
	for v := range f.price {
		f.price[v] += min(s.distance[v], shortest)
	}
	f.end += shortest

	return f.follow(start, last)
}

// nearest is the node not done that is nearest, by steps where distances are equal, or -1.
func (s *chainNode) nearest() int {
	best, distance, steps := -1, int64(far), int32(0)
	for v, d := range s.distance {
		if !s.done[v] && (d < distance || d == distance && d < far && s.steps[v] < steps) {
			best, distance, steps = v, d, s.steps[v]
		}
	}
	return best
}

// extend looks at the arcs away from u.
func (f *flow) extend(u int) {
	s := &f.search
	f.work += f.nodes
	base, steps := s.distance[u]+f.price[u], s.steps[u]+1
	for v, b := range f.best[u*f.nodes : (u+1)*f.nodes] {
		if b == noShift || s.done[v] {
			continue
		}
		if d := base + b.cost() - f.price[v]; d < s.distance[v] || d == s.distance[v] && steps < s.steps[v] {
			s.distance[v], s.steps[v], s.before[v] = d, steps, int32(u)
		}
	}
}

// follow makes the shifts of the chain that ends at last. They are those that
// were best when the chain was found: shifts made on the way may change the
// best of other arcs.
func (f *flow) follow(start, last int) error {
	type step struct{ p, u, v int }
	var chain []step
	for v := last; v != start; {
		u := int(f.search.before[v])
		chain = append(chain, step{f.best[f.arc(u, v)].partition(), u, v})
		v = u
	}
	for _, c := range chain {
		if err := f.move(c.p, c.u, c.v); err != nil {
			return err
		}
	}
	return nil
}
