package layout

import (
	"math"
	"slices"
	"sort"

	"deuxfleurs.fr/garage/pkg/chunk"
)

// The bounds here share no code with the assignment that they judge.

// fractionalUsable is the most plain bytes that fit if every partition may be
// split over the nodes in any proportion: the largest U such that the nodes
// can take copies*U bytes when no node takes more than U nor more than it has,
// and no zone more than U times what the spread over zones lets it have. What
// they can take grows with U slower and slower, so bisection finds it.
func fractionalUsable(l Layout) float64 {
	byZone := make(map[string][]float64)
	total := 0.0
	for _, n := range l.Nodes {
		c := float64(n.Capacity)
		byZone[n.Zone] = append(byZone[n.Zone], c)
		total += c
	}
	// Each other zone that must have a copy takes at least one.
	most := float64(l.Replication - (min(l.Replication, len(byZone)) - 1))
	low, high := 0.0, total
	for range 200 {
		usable := (low + high) / 2
		taken := 0.0
		for _, capacities := range byZone {
			inZone := 0.0
			for _, c := range capacities {
				inZone += math.Min(c, usable)
			}
			taken += math.Min(inZone, most*usable)
		}
		if taken >= usable*float64(l.Replication) {
			low = usable
		} else {
			high = usable
		}
	}
	return low
}

// network is a plain maximum flow by Dinic's method.
type network struct {
	arcs  []netArc
	first [][]int
	level []int
	next  []int
}

type netArc struct{ to, capacity int }

func newNetwork(vertices int) *network {
	return &network{first: make([][]int, vertices), level: make([]int, vertices), next: make([]int, vertices)}
}

func (g *network) add(from, to, capacity int) {
	g.first[from] = append(g.first[from], len(g.arcs))
	g.arcs = append(g.arcs, netArc{to, capacity})
	g.first[to] = append(g.first[to], len(g.arcs))
	g.arcs = append(g.arcs, netArc{from, 0})
}

func (g *network) maximum(source, sink int) int {
	total := 0
	for {
		for i := range g.level {
			g.level[i], g.next[i] = -1, 0
		}
		g.level[source] = 0
		for queue := []int{source}; len(queue) > 0; queue = queue[1:] {
			for _, a := range g.first[queue[0]] {
				if arc := g.arcs[a]; arc.capacity > 0 && g.level[arc.to] < 0 {
					g.level[arc.to] = g.level[queue[0]] + 1
					queue = append(queue, arc.to)
				}
			}
		}
		if g.level[sink] < 0 {
			return total
		}
		for sent := 1; sent > 0; total += sent {
			sent = g.push(source, sink, math.MaxInt)
		}
	}
}

func (g *network) push(v, sink, limit int) int {
	if v == sink {
		return limit
	}
	for ; g.next[v] < len(g.first[v]); g.next[v]++ {
		a := g.first[v][g.next[v]]
		arc := g.arcs[a]
		if arc.capacity == 0 || g.level[arc.to] != g.level[v]+1 {
			continue
		}
		if sent := g.push(arc.to, sink, min(limit, arc.capacity)); sent > 0 {
			g.arcs[a].capacity -= sent
			g.arcs[a^1].capacity += sent
			return sent
		}
	}
	return 0
}

// mostKept is an upper bound of the copies that can stay where they are with
// slots of that size: the maximum flow that uses nothing but the old owners,
// whether or not the rest could then be placed.
func mostKept(old *Assignment, oldLayout, l Layout, slot uint64) int {
	zoneNumber := make(map[string]int)
	for _, n := range l.Nodes {
		if _, known := zoneNumber[n.Zone]; !known {
			zoneNumber[n.Zone] = len(zoneNumber)
		}
	}
	nodeOf := make(map[chunk.NodeID]int)
	for i, n := range l.Nodes {
		nodeOf[n.ID] = i
	}
	zones := len(zoneNumber)
	perZone := l.Replication - (min(l.Replication, zones) - 1)
	const source, sink = 0, 1
	partition := func(p int) int { return 2 + p*(1+zones) }
	node := func(i int) int { return 2 + chunk.Partitions*(1+zones) + i }
	g := newNetwork(node(len(l.Nodes)))
	for i, n := range l.Nodes {
		g.add(node(i), sink, int(min(n.Capacity/slot, chunk.Partitions)))
	}
	for p := range chunk.Partitions {
		g.add(source, partition(p), l.Replication)
		entered := make(map[int]bool, 3)
		for _, o := range old.Owners(chunk.Partition(p)) {
			i, stays := nodeOf[oldLayout.Nodes[o].ID]
			if !stays {
				continue
			}
			z := zoneNumber[l.Nodes[i].Zone]
			if !entered[z] {
				entered[z] = true
				g.add(partition(p), partition(p)+1+z, perZone)
			}
			g.add(partition(p)+1+z, node(i), 1)
		}
	}
	return g.maximum(source, sink)
}

// cheaperExists looks for a cycle of shifts that makes the assignment cheaper,
// by the given cost of an owner; without one it is the cheapest there is with
// its slots. A shift of one partition goes from a node to another; a
// node with a free slot may also give its claim to any other (the row and column of
// the sink).
func cheaperExists(l Layout, a *Assignment, cost func(p chunk.Partition, node int) int) bool {
	n := len(l.Nodes)
	zones := make(map[string]bool)
	for _, node := range l.Nodes {
		zones[node.Zone] = true
	}
	perZone := l.Replication - (min(l.Replication, len(zones)) - 1)
	distance := make([][]int, n+1)
	const none = math.MaxInt / 4
	for u := range distance {
		distance[u] = slices.Repeat([]int{none}, n+1)
	}
	for p := range chunk.Partition(chunk.Partitions) {
		owners := a.Owners(p)
		for v := range n {
			inZone := 0
			for _, o := range owners {
				if l.Nodes[o].Zone == l.Nodes[v].Zone {
					inZone++
				}
			}
			if slices.Contains(owners, uint16(v)) {
				continue
			}
			for _, o := range owners {
				if l.Nodes[o].Zone == l.Nodes[v].Zone || inZone < perZone {
					distance[o][v] = min(distance[o][v], cost(p, v)-cost(p, int(o)))
				}
			}
		}
	}
	for v, slots := range a.Slots() {
		if uint64(slots+1)*a.SlotSize() <= l.Nodes[v].Capacity {
			distance[v][n] = 0
		}
		if slots > 0 {
			distance[n][v] = 0
		}
	}
	// Bellman and Ford: n+1 vertices, so a change in the last round is a negative cycle.
	reach := make([]int, n+1)
	for round := 0; ; round++ {
		better := false
		for u := range distance {
			for v, d := range distance[u] {
				if d < none && reach[u]+d < reach[v] {
					reach[v] = reach[u] + d
					better = true
				}
			}
		}
		if !better {
			return false
		}
		if round > n+1 {
			return true
		}
	}
}

// walkOf is the walk of a partition the slow way: sort the tokens by how far
// after the partition they are.
func walkOf(tokens []token, p chunk.Partition) []uint16 {
	ahead := slices.Clone(tokens)
	sort.SliceStable(ahead, func(i, j int) bool { return ahead[i].place-placeOf(p) < ahead[j].place-placeOf(p) })
	var walk []uint16
	for _, t := range ahead {
		if !slices.Contains(walk, t.node) {
			walk = append(walk, t.node)
		}
	}
	return walk
}
