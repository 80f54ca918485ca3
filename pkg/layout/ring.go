package layout

import (
	"cmp"
	"encoding/binary"
	"slices"

	"lukechampine.com/blake3"

	"deuxfleurs.fr/garage/pkg/chunk"
)

// Ring is the order in which each partition prefers the nodes of a layout.
type Ring struct {
	nodes int
	walks []uint16 // for each partition, all node indexes in order
}

type token struct {
	place uint64
	node  uint16
}

// NewRing places the tokens of a layout. It holds two bytes for each partition
// and node.
func NewRing(l Layout) *Ring {
	var tokens []token
	for i, n := range l.Nodes {
		tokens = appendTokens(tokens, uint16(i), n)
	}
	slices.SortFunc(tokens, func(a, b token) int {
		return cmp.Or(cmp.Compare(a.place, b.place), cmp.Compare(a.node, b.node))
	})

	r := &Ring{nodes: len(l.Nodes), walks: make([]uint16, chunk.Partitions*len(l.Nodes))}
	// Going backwards round the ring and moving each node that is met to the
	// front keeps the nodes in the order in which a walk forwards meets them.
	// The first round only fills the order.
	order := make([]uint16, len(l.Nodes))
	for i := range order {
		order[i] = uint16(i)
	}
	for i := len(tokens) - 1; i >= 0; i-- {
		moveToFront(order, tokens[i].node)
	}
	next := len(tokens) - 1
	for p := chunk.Partitions - 1; p >= 0; p-- {
		for ; next >= 0 && tokens[next].place >= placeOf(chunk.Partition(p)); next-- {
			moveToFront(order, tokens[next].node)
		}
		copy(r.walks[p*r.nodes:], order)
	}
	return r
}

// Walk is all nodes of the layout, as indexes, in the order in which the
// partition prefers them. It must not be changed.
func (r *Ring) Walk(p chunk.Partition) []uint16 {
	from := int(p) * r.nodes
	return r.walks[from : from+r.nodes : from+r.nodes]
}

// placeOf is where the walk of a partition begins: its hashes begin with its
// digits, and so do the places from there on.
func placeOf(p chunk.Partition) uint64 { return uint64(p) << 52 }

// appendTokens adds the tokens of a node: the first 8 bytes of the hash of its
// ID followed by the token's number, in 4 bytes, most significant first.
func appendTokens(tokens []token, index uint16, n Node) []token {
	var name [20]byte
	copy(name[:], n.ID[:])
	for i := range n.Tokens {
		binary.BigEndian.PutUint32(name[16:], uint32(i+1))
		sum := blake3.Sum256(name[:])
		tokens = append(tokens, token{binary.BigEndian.Uint64(sum[:]), index})
	}
	return tokens
}

func moveToFront(order []uint16, node uint16) {
	at := 0
	for order[at] != node {
		at++
	}
	copy(order[1:at+1], order[:at])
	order[0] = node
}
