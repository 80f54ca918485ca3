package layout

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"strconv"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
)

// MaxActive is how many layouts may be in force at the same time: one more is not published before the oldest is retired.
const MaxActive = 8

// Active is the layouts in force, oldest first. What is written goes to the owners in the last one, the current; what
// is read is there, or at the owners in the others, until they have handed it over. A reference is removed at all of
// them. An Active is not changed once made and may be shared.
type Active struct {
	placements []Placement
	nodes      []Node     // of all layouts, sorted by ID; as the newest layout that has it describes it
	owners     [][]uint16 // of each partition in the current layout, as indexes into nodes
	former     [][]uint16 // of each partition in the others, and not in the current one, the newest first
	walk       *Ring      // of the current layout
	index      []uint16   // of the nodes of the current layout in nodes
	lost       []chunk.NodeID
}

// NewActive makes one of layouts with growing numbers, of which the last is the current one. Kinds: Invalid.
func NewActive(placements ...Placement) (*Active, error) {
	if len(placements) == 0 || len(placements) > MaxActive {
		return nil, invalid("active", "1 to %d layouts may be in force, not %d", MaxActive, len(placements))
	}
	for i, p := range placements {
		if err := p.Check(); err != nil {
			return nil, errors.Wrap(errors.Invalid, err, "layout %d", p.Layout.Number)
		}
		if i > 0 && p.Layout.Number <= placements[i-1].Layout.Number {
			return nil, invalid("active", "layout %d follows layout %d", p.Layout.Number, placements[i-1].Layout.Number)
		}
	}
	a := &Active{placements: slices.Clone(placements), owners: make([][]uint16, chunk.Partitions), former: make([][]uint16, chunk.Partitions)}
	for _, p := range slices.Backward(a.placements) {
		for _, n := range p.Layout.Nodes {
			if at, found := a.find(n.ID); !found {
				a.nodes = slices.Insert(a.nodes, at, n)
			}
		}
	}
	if len(a.nodes) > MaxNodes {
		return nil, invalid("active", "the layouts in force have %d nodes, more than %d", len(a.nodes), MaxNodes)
	}
	current := a.Current()
	a.walk, a.index = NewRing(current.Layout), a.indexes(current)
	for p := range chunk.Partition(chunk.Partitions) {
		a.owners[p] = translated(current.Assignment.Owners(p), a.index)
	}
	for i := len(a.placements) - 2; i >= 0; i-- {
		old := a.placements[i]
		index := a.indexes(old)
		for p := range chunk.Partition(chunk.Partitions) {
			for _, n := range translated(old.Assignment.Owners(p), index) {
				if !slices.Contains(a.owners[p], n) && !slices.Contains(a.former[p], n) {
					a.former[p] = append(a.former[p], n)
				}
			}
		}
	}
	return a, nil
}

func (a *Active) find(id chunk.NodeID) (int, bool) {
	return slices.BinarySearchFunc(a.nodes, id, func(n Node, id chunk.NodeID) int { return bytes.Compare(n.ID[:], id[:]) })
}

// indexes gives for each node of a layout its index in nodes.
func (a *Active) indexes(p Placement) []uint16 {
	all := make([]uint16, len(p.Layout.Nodes))
	for i, n := range p.Layout.Nodes {
		at, _ := a.find(n.ID)
		all[i] = uint16(at)
	}
	return all
}

func translated(from, index []uint16) []uint16 {
	to := make([]uint16, len(from))
	for i, n := range from {
		to[i] = index[n]
	}
	return to
}

// Current is the layout that writes go to.
func (a *Active) Current() Placement { return a.placements[len(a.placements)-1] }

// Number is the number of the current layout.
func (a *Active) Number() uint64 { return a.Current().Layout.Number }

// Oldest is the number of the oldest layout that is not retired.
func (a *Active) Oldest() uint64 { return a.placements[0].Layout.Number }

// Placements are the layouts in force, oldest first. The slice must not be changed.
func (a *Active) Placements() []Placement { return a.placements }

// Newer reports whether a is what came after b, which may be nil: a newer layout is the current one, or more old ones are retired, or more
// nodes are given up.
func (a *Active) Newer(b *Active) bool {
	if b == nil {
		return true
	}
	return cmp.Or(cmp.Compare(a.Number(), b.Number()), cmp.Compare(a.Oldest(), b.Oldest()), cmp.Compare(len(a.lost), len(b.lost))) > 0
}

// WithLost is a with the nodes that the operator has given up, each for the layouts up to a number. One that a newer layout in force has is
// not given up: it is to come back. So no node stops being lost before a layout is published or retired.
func (a *Active) WithLost(upTo map[chunk.NodeID]uint64) *Active {
	with := *a
	with.lost = nil
	for _, n := range a.nodes {
		for _, p := range slices.Backward(a.placements) {
			if p.Layout.Index(n.ID) < 0 {
				continue
			}
			if number, given := upTo[n.ID]; given && number >= p.Layout.Number {
				with.lost = append(with.lost, n.ID)
			}
			break
		}
	}
	return &with
}

// Lost reports whether the operator has given the node up: nobody waits to hear what it has. It may come back all the same.
func (a *Active) Lost(id chunk.NodeID) bool { return slices.Contains(a.lost, id) }

// Nodes are the nodes of all layouts in force, sorted by ID. The slice must not be changed.
func (a *Active) Nodes() []Node { return a.nodes }

// Index is the place of a node in Nodes, or -1.
func (a *Active) Index(id chunk.NodeID) int {
	if at, found := a.find(id); found {
		return at
	}
	return -1
}

// Owners are the owners of a partition in the current layout, as indexes into Nodes, most preferred first. The slice must not be changed.
func (a *Active) Owners(p chunk.Partition) []uint16 { return a.owners[p] }

// Former are the nodes that own a partition in an older layout in force and not in the current one, as indexes into Nodes. The slice must not be changed.
func (a *Active) Former(p chunk.Partition) []uint16 { return a.former[p] }

// Owns reports whether the node owns the partition in the current layout.
func (a *Active) Owns(id chunk.NodeID, p chunk.Partition) bool {
	at, found := a.find(id)
	return found && slices.Contains(a.owners[p], uint16(at))
}

// StandIns are the nodes of the current layout that do not own the partition, as indexes into Nodes, in the order in which they
// stand in for an owner that is away: those in a zone without an owner first, and each as the partition's walk has them.
func (a *Active) StandIns(p chunk.Partition) []uint16 {
	owners := a.owners[p]
	var elsewhere, beside []uint16
	for _, w := range a.walk.Walk(p) {
		n := a.index[w]
		switch {
		case slices.Contains(owners, n):
		case slices.ContainsFunc(owners, func(o uint16) bool { return a.nodes[o].Zone == a.nodes[n].Zone }):
			beside = append(beside, n)
		default:
			elsewhere = append(elsewhere, n)
		}
	}
	return append(elsewhere, beside...)
}

// The encoding: "GLV1", the number of layouts in 2 bytes, and for each its length in 4 bytes, most significant first,
// and what Placement.MarshalBinary makes of it. If nodes are lost, their number in 2 bytes and their IDs follow.
const (
	activeMagic  = "GLV1"
	activeHeader = 6
)

// MarshalBinary is the layouts in force, as one node tells another, or a data folder keeps them.
func (a *Active) MarshalBinary() ([]byte, error) {
	b := binary.BigEndian.AppendUint16([]byte(activeMagic), uint16(len(a.placements)))
	for _, p := range a.placements {
		one, err := p.MarshalBinary()
		if err != nil {
			return nil, err
		}
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(one))), one...)
	}
	if len(a.lost) > 0 {
		b = binary.BigEndian.AppendUint16(b, uint16(len(a.lost)))
		for _, id := range a.lost {
			b = append(b, id[:]...)
		}
	}
	return b, nil
}

// ParseActive reads what MarshalBinary wrote; kind Corrupted for anything else.
func ParseActive(b []byte) (*Active, error) {
	if len(b) < activeHeader || string(b[:4]) != activeMagic {
		return nil, damagedPlacement(nil, "they do not begin as layouts do")
	}
	count := int(binary.BigEndian.Uint16(b[4:]))
	b = b[activeHeader:]
	var all []Placement
	for range min(count, MaxActive+1) {
		if len(b) < 4 || uint64(binary.BigEndian.Uint32(b)) > uint64(len(b)-4) {
			return nil, damagedPlacement(nil, "they are cut off")
		}
		length := binary.BigEndian.Uint32(b)
		var p Placement
		if err := p.UnmarshalBinary(b[4 : 4+length]); err != nil {
			return nil, err
		}
		all, b = append(all, p), b[4+length:]
	}
	a, err := NewActive(all...)
	if err != nil {
		return nil, errors.Wrap(errors.Corrupted, err, "the stored layouts")
	}
	if len(b) == 0 {
		return a, nil
	}
	const size = len(chunk.NodeID{})
	if len(b) < 2 || len(b) != 2+size*int(binary.BigEndian.Uint16(b)) {
		return nil, damagedPlacement(nil, "what follows them is no list of nodes")
	}
	upTo := make(map[chunk.NodeID]uint64)
	for id := range slices.Chunk(b[2:], size) {
		upTo[chunk.NodeID(id)] = a.Number()
	}
	with := a.WithLost(upTo)
	if len(with.lost) != int(binary.BigEndian.Uint16(b)) {
		return nil, damagedPlacement(nil, "a node that is given up is in none of them, or there twice")
	}
	return with, nil
}

// Differs is the error of a request that was computed with another layout than the one that answers it: number is that of
// who answers. Who asked catches up, or hands over its own, and asks again.
func Differs(number uint64) error {
	return errors.E(errors.Conflict, errors.Layout, strconv.FormatUint(number, 10), "this is the current one here, and not the one of the request")
}

// Differing tells whether err says that layouts differ, and the number of the one that refused.
func Differing(err error) (number uint64, differs bool) {
	var e *errors.Error
	if !errors.IsEntity(err, errors.Conflict, errors.Layout) || !errors.As(err, &e) {
		return 0, false
	}
	number, parse := strconv.ParseUint(e.Name, 10, 64)
	return number, parse == nil
}
