package layout

import (
	"encoding/binary"
	"encoding/json"

	"deuxfleurs.fr/garage/pkg/errors"
)

// Placement is a layout and who owns which partition in it.
type Placement struct {
	Layout     Layout
	Assignment *Assignment
}

// The encoding: "GLY1", the length of the layout in JSON in 4 bytes, most significant first, that JSON, and the
// assignment as Assignment encodes it.
const (
	placementMagic  = "GLY1"
	placementHeader = 8
)

// MarshalBinary is the layout and its assignment as one value of Consul's store, or of a file.
func (p Placement) MarshalBinary() ([]byte, error) {
	nodes, err := json.Marshal(p.Layout)
	if err != nil {
		return nil, err
	}
	owners, err := p.Assignment.MarshalBinary()
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, placementHeader+len(nodes)+len(owners))
	b = append(b, placementMagic...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(nodes)))
	return append(append(b, nodes...), owners...), nil
}

// UnmarshalBinary reads what MarshalBinary wrote; kind Corrupted for anything else.
func (p *Placement) UnmarshalBinary(b []byte) error {
	if len(b) < placementHeader || string(b[:4]) != placementMagic {
		return damagedPlacement(nil, "it does not begin as one does")
	}
	length := binary.BigEndian.Uint32(b[4:])
	if b = b[placementHeader:]; uint64(length) > uint64(len(b)) {
		return damagedPlacement(nil, "it is cut off")
	}
	read := Placement{Assignment: new(Assignment)}
	if err := json.Unmarshal(b[:length], &read.Layout); err != nil {
		return damagedPlacement(err, "its node table")
	}
	if err := read.Assignment.UnmarshalBinary(b[length:]); err != nil {
		return damagedPlacement(err, "its owners")
	}
	if err := read.Check(); err != nil {
		return err
	}
	*p = read
	return nil
}

// Check makes sure that both halves belong together. Kinds: Corrupted.
func (p Placement) Check() error {
	nodes := p.Assignment.Nodes()
	if p.Assignment.Number() != p.Layout.Number || p.Assignment.Replication() != p.Layout.Replication || len(nodes) != len(p.Layout.Nodes) {
		return damagedPlacement(nil, "its node table is of number %d and its owners of number %d", p.Layout.Number, p.Assignment.Number())
	}
	for i, n := range p.Layout.Nodes {
		if nodes[i] != n.ID {
			return damagedPlacement(nil, "its node table and its owners name different nodes")
		}
	}
	return nil
}

func damagedPlacement(cause error, format string, args ...any) error {
	err := errors.E(errors.Corrupted, errors.Layout, "", "the layout cannot be read: "+format, args...)
	if e := (*errors.Error)(nil); cause != nil && errors.As(err, &e) {
		e.Err = cause
	}
	return err
}
