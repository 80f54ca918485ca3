package layout

import (
	"bytes"
	"fmt"
	"math/bits"
	"slices"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
)

// Limits of a layout.
const (
	MaxReplication = 3       // copies of a chunk
	MaxNodes       = 1 << 15 // owner indexes are two bytes
	MaxTokens      = 1 << 20 // of one node
	maxTotalTokens = 1 << 24
	maxNameLength  = 255 // of a zone or an address, in bytes
)

// AutoCapacity as a node's Capacity makes its tokens stand for its capacity,
// BytesPerToken each.
const AutoCapacity = 0

// BytesPerToken is the free space, in bytes, that a token stands for when the
// operator does not say otherwise.
const BytesPerToken = 10_000_000_000

// Node is a chunk-node as the operator wants it.
type Node struct {
	ID       chunk.NodeID
	Zone     string // a site: copies go to different zones
	Capacity uint64 // bytes that may be used, or AutoCapacity
	Tokens   int    // places on the ring
	Address  string // host:port of its gRPC service; may be empty where it is found otherwise
}

// Bytes is the capacity that placement reckons with.
func (n Node) Bytes() uint64 {
	if n.Capacity == AutoCapacity {
		return uint64(n.Tokens) * BytesPerToken
	}
	return n.Capacity
}

// ProposeTokens is the number of tokens proposed for a node with so many free
// bytes: one for each BytesPerToken of 80 % of it, and at least one.
func ProposeTokens(free uint64) int {
	return int(min(max(free/BytesPerToken*4/5+free%BytesPerToken*4/5/BytesPerToken, 1), MaxTokens))
}

// Layout is the operator's desired set of nodes. Its functions take a layout
// that Validate accepts, with the nodes sorted by ID; New makes one.
type Layout struct {
	Number      uint64 // grows with each change
	Replication int    // copies of a chunk
	Nodes       []Node // sorted by ID
}

// New makes a layout of the nodes, in any order, and checks it.
func New(number uint64, replication int, nodes []Node) (Layout, error) {
	l := Layout{Number: number, Replication: replication, Nodes: slices.Clone(nodes)}
	slices.SortStableFunc(l.Nodes, func(a, b Node) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	if err := l.Validate(); err != nil {
		return Layout{}, err
	}
	return l, nil
}

// Zones is the number of different zones.
func (l Layout) Zones() int {
	zones := make(map[string]struct{})
	for _, n := range l.Nodes {
		zones[n.Zone] = struct{}{}
	}
	return len(zones)
}

// Index is the place of the node in Nodes, or -1.
func (l Layout) Index(id chunk.NodeID) int {
	i, found := slices.BinarySearchFunc(l.Nodes, id, func(n Node, id chunk.NodeID) int { return bytes.Compare(n.ID[:], id[:]) })
	if !found {
		return -1
	}
	return i
}

// Validate reports what is wrong with the layout, with an error of kind Invalid.
func (l Layout) Validate() error {
	switch {
	case l.Number == 0:
		return invalid("number", "must be 1 or more")
	case l.Replication < 1 || l.Replication > MaxReplication:
		return invalid("replication", "must be 1 to %d, not %d", MaxReplication, l.Replication)
	case len(l.Nodes) < l.Replication:
		return invalid("nodes", "%d copies need as many nodes, and there are %d", l.Replication, len(l.Nodes))
	case len(l.Nodes) > MaxNodes:
		return invalid("nodes", "must be at most %d, not %d", MaxNodes, len(l.Nodes))
	}
	tokens, carry, total := 0, uint64(0), uint64(0)
	for i, n := range l.Nodes {
		if err := validateNode(fmt.Sprintf("nodes[%d]", i), n); err != nil {
			return err
		}
		if i > 0 {
			switch c := bytes.Compare(l.Nodes[i-1].ID[:], n.ID[:]); {
			case c == 0:
				return invalid("nodes", "the id %v is there twice", n.ID)
			case c > 0:
				return invalid("nodes", "must be sorted by id")
			}
		}
		tokens += n.Tokens
		var c uint64
		total, c = bits.Add64(total, n.Bytes(), 0)
		carry += c
	}
	switch {
	case tokens > maxTotalTokens:
		return invalid("nodes", "have %d tokens together, more than %d: divide all by the same number", tokens, maxTotalTokens)
	case carry > 0:
		return invalid("nodes", "have a capacity of more than %d bytes together", ^uint64(0))
	}
	return nil
}

func validateNode(field string, n Node) error {
	switch {
	case n.ID == chunk.NodeID{}:
		return invalid(field+".id", "must not be the nil UUID")
	case n.Zone == "":
		return invalid(field+".zone", "must not be empty")
	case len(n.Zone) > maxNameLength:
		return invalid(field+".zone", "must have at most %d bytes", maxNameLength)
	case n.Tokens < 1 || n.Tokens > MaxTokens:
		return invalid(field+".tokens", "must be 1 to %d, not %d", MaxTokens, n.Tokens)
	case len(n.Address) > maxNameLength:
		return invalid(field+".address", "must have at most %d bytes", maxNameLength)
	}
	return nil
}

// invalid says what is wrong with a field of a layout.
func invalid(field, format string, args ...any) error {
	return errors.E(errors.Invalid, errors.Layout, "", "%s: %s", field, fmt.Sprintf(format, args...))
}
