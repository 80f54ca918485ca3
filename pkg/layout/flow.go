package layout

import (
	"math"

	"deuxfleurs.fr/garage/pkg/errors"
)

// The flow goes from each partition, which sends one unit for each copy,
// through its zones, which let at most perZone units of it pass, to nodes,
// which take one unit of a partition and room units in all. A unit costs
// the node's place in the partition's walk, and, if the node did not
// hold the partition before, more than all places together.
//
// There are few nodes and many partitions, so the search is among nodes: first
// every partition takes the owners that cost it least, whatever the room; then,
// while a node holds more than its room, the cheapest chain of shifts (a
// partition from this node to a second, another from there to a third, …) that
// ends at a node with room is made. The arcs between nodes are the cheapest
// shifts of one partition. This is the method of successive shortest paths
// with potentials (Ahuja, Magnanti and Orlin, Network Flows, 1993, section
// 9.7); its result is a flow of minimum cost.
//
// A partition that holds nodes u and w may be able to shift u to v and w to x,
// but not both. A chain that needs both is never the shortest in steps among
// the cheapest: shifting u to x at once leaves out all between, and what is left
// out cannot have a negative cost. So chains are compared by cost, then by steps.

// flowSpec is what a flow is about. Nodes are numbered from 0.
type flowSpec struct {
	partitions int // at most 4096
	copies     int
	perZone    int
	zones      []int              // of each node
	room       []int              // of each node
	walk       func(int) []uint16 // all nodes in a partition's order of preference
	held       func(int) []int    // the nodes that hold a partition already; valid until the next call
}

// shift is a partition and what it costs to shift it along an arc: the cost
// above the lowest 12 bits, the partition in them. Comparing shifts
// compares their costs first.
type shift int64

const (
	partitionBits = 12
	noShift       = shift(math.MaxInt64)
)

func makeShift(cost int64, p int) shift { return shift(cost<<partitionBits | int64(p)) }

func (s shift) cost() int64    { return int64(s) >> partitionBits }
func (s shift) partition() int { return int(s & (1<<partitionBits - 1)) }

type flow struct {
	flowSpec
	nodes  int
	owners []uint16  // copies of them for each partition
	load   []int     // units that each node takes
	cost   []int32   // of each partition and node
	inZone [][]int   // the nodes of each zone
	shifts []heap    // for each arc, shifts along it; some may no longer be possible
	best   []shift   // for each arc the cheapest possible shift, or noShift
	price  []int64   // potentials of the nodes
	end    int64     // potential of the sink, which nodes with room reach at no cost
	search chainNode // see chain.go
	work   int       // arcs and shifts looked at
}

func newFlow(spec flowSpec) *flow {
	n := len(spec.room)
	f := &flow{
		flowSpec: spec,
		nodes:    n,
		owners:   make([]uint16, 0, spec.partitions*spec.copies),
		load:     make([]int, n),
		cost:     make([]int32, spec.partitions*n),
		shifts:   make([]heap, n*n),
		best:     make([]shift, n*n),
		price:    make([]int64, n),
		search:   newChainNode(n),
	}
	for i, z := range spec.zones {
		for len(f.inZone) <= z {
			f.inZone = append(f.inZone, nil)
		}
		f.inZone[z] = append(f.inZone[z], i)
	}
	moving := int32(spec.partitions*spec.copies*n + 1)
	for p := range spec.partitions {
		costs := f.costsOf(p)
		for place, v := range spec.walk(p) {
			costs[v] = int32(place) + moving
		}
		for _, v := range spec.held(p) {
			costs[v] -= moving
		}
	}
	return f
}

func (f *flow) costsOf(p int) []int32   { return f.cost[p*f.nodes : (p+1)*f.nodes] }
func (f *flow) ownersOf(p int) []uint16 { return f.owners[p*f.copies : (p+1)*f.copies] }
func (f *flow) arc(u, v int) int        { return u*f.nodes + v }
func (f *flow) excess(v int) int        { return f.load[v] - f.room[v] }
func (f *flow) usable(v int) bool       { return f.room[v] > 0 }
func (f *flow) shiftOf(p, u, v int) shift {
	costs := f.costsOf(p)
	return makeShift(int64(costs[v])-int64(costs[u]), p)
}

// solve finds the owners of all partitions.
func (f *flow) solve() error {
	for p := range f.partitions {
		if err := f.takeCheapest(p); err != nil {
			return err
		}
	}
	f.fillArcs()
	for v := range f.nodes {
		for f.excess(v) > 0 {
			if err := f.relieve(v); err != nil {
				return err
			}
		}
	}
	return nil
}

// takeCheapest gives p the owners that cost least, whatever their room. Taking
// the cheapest that is allowed, again and again, is exact: what a partition
// may hold is a matroid.
func (f *flow) takeCheapest(p int) error {
	var taken [MaxReplication]uint16
	count := 0
	take := func(v int) {
		if count == f.copies || !f.usable(v) {
			return
		}
		sameZone := 0
		for _, o := range taken[:count] {
			if int(o) == v {
				return
			}
			if f.zones[o] == f.zones[v] {
				sameZone++
			}
		}
		if sameZone < f.perZone {
			taken[count] = uint16(v)
			count++
			f.load[v]++
		}
	}
	walk := f.walk(p)
	held := f.held(p)
	if len(held) > 0 {
		for _, v := range walk { // in the order of the walk, which is that of their costs
			for _, h := range held {
				if h == int(v) {
					take(h)
				}
			}
		}
	}
	for i := 0; i < len(walk) && count < f.copies; i++ {
		take(int(walk[i]))
	}
	if count < f.copies {
		return errors.E(errors.Internal, errors.Layout, "", "partition %03x finds only %d of %d owners", p, count, f.copies)
	}
	f.owners = append(f.owners, taken[:count]...)
	return nil
}

// fillArcs collects the possible shifts of each arc.
func (f *flow) fillArcs() {
	for p := range f.partitions {
		for _, u := range f.ownersOf(p) {
			f.addShifts(p, int(u))
		}
	}
	for a := range f.shifts {
		f.shifts[a].init()
		f.best[a] = f.shifts[a].top()
	}
}

// addShifts collects the possible shifts of p away from u, in no order.
func (f *flow) addShifts(p, u int) {
	costs := f.costsOf(p)
	open := f.openZones(p)
	base := int64(costs[u])
	for v, c := range costs {
		f.work++
		if f.usable(v) && (f.zones[v] == f.zones[u] || open(f.zones[v])) && !f.holds(p, v) {
			a := f.arc(u, v)
			f.shifts[a] = append(f.shifts[a], makeShift(int64(c)-base, p))
		}
	}
}

func (f *flow) holds(p, v int) bool {
	for _, o := range f.ownersOf(p) {
		if int(o) == v {
			return true
		}
	}
	return false
}

// openZones tells of a zone whether it may hold one more copy of p.
func (f *flow) openZones(p int) func(zone int) bool {
	owners := f.ownersOf(p)
	return func(zone int) bool {
		held := 0
		for _, o := range owners {
			if f.zones[o] == zone {
				held++
			}
		}
		return held < f.perZone
	}
}

// possible reports whether p can be shifted from u to v.
func (f *flow) possible(p, u, v int) bool {
	holdsU, held := false, 0
	for _, o := range f.ownersOf(p) {
		switch {
		case int(o) == v:
			return false
		case int(o) == u:
			holdsU = true
		}
		if f.zones[o] == f.zones[v] {
			held++
		}
	}
	return holdsU && (f.zones[u] == f.zones[v] || held < f.perZone)
}

// refresh finds the cheapest possible shift of an arc again.
func (f *flow) refresh(u, v int) {
	a := f.arc(u, v)
	for {
		f.work++
		s := f.shifts[a].top()
		if s == noShift || f.possible(s.partition(), u, v) {
			f.best[a] = s
			return
		}
		f.shifts[a].pop()
	}
}

// offer adds the shift of p from u to v, if it is possible.
func (f *flow) offer(p, u, v int) {
	f.work++
	if u == v || !f.usable(v) || !f.possible(p, u, v) {
		return
	}
	a := f.arc(u, v)
	s := f.shiftOf(p, u, v)
	f.shifts[a].push(s)
	f.best[a] = min(f.best[a], s)
}

// move shifts p from u to v and brings the arcs up to date.
func (f *flow) move(p, u, v int) error {
	if !f.possible(p, u, v) {
		return errors.E(errors.Internal, errors.Layout, "", "partition %03x cannot go from node %d to %d", p, u, v)
	}
	owners := f.ownersOf(p)
	for i, o := range owners {
		if int(o) == u {
			owners[i] = uint16(v)
		}
	}
	f.load[u]--
	f.load[v]++
	// Shifts of p that are no longer possible must not stay the best of their arc.
	f.refreshFrom(p, u)
	for _, o := range owners {
		f.refreshFrom(p, int(o))
	}
	// What became possible: p from v to anywhere, from its other nodes to u,
	// and, if it left a zone, from these into that zone.
	for y := range f.nodes {
		f.offer(p, v, y)
	}
	for _, o := range owners {
		x := int(o)
		switch {
		case x == v:
		case f.zones[u] == f.zones[v]:
			f.offer(p, x, u)
		default:
			for _, y := range f.inZone[f.zones[u]] {
				f.offer(p, x, y)
			}
		}
	}
	return nil
}

// refreshFrom finds the best shifts away from x again where they are of p.
func (f *flow) refreshFrom(p, x int) {
	for y := range f.nodes {
		if s := f.best[f.arc(x, y)]; s != noShift && s.partition() == p {
			f.refresh(x, y)
		}
	}
	f.work += f.nodes
}

// ownersInOrder gives the owners of each partition in the order of its walk.
func (f *flow) ownersInOrder() []uint16 {
	place := make([]int, f.nodes)
	for p := range f.partitions {
		for i, v := range f.walk(p) {
			place[v] = i
		}
		owners := f.ownersOf(p)
		for i := 1; i < len(owners); i++ {
			for j := i; j > 0 && place[owners[j]] < place[owners[j-1]]; j-- {
				owners[j], owners[j-1] = owners[j-1], owners[j]
			}
		}
	}
	return f.owners
}
