package kv

import (
	"encoding/binary"
	"encoding/json"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
)

// Published is a layout that was published, and who owns which partition in it.
type Published struct {
	Layout     layout.Layout
	Assignment *layout.Assignment
}

// The encoding: "GLY1", the length of the layout in JSON in 4 bytes, most significant first, that JSON, and the
// assignment as layout.Assignment encodes it.
const (
	encodingMagic = "GLY1"
	headerSize    = 8
)

// MarshalBinary is the layout and its assignment as one value of Consul's store, or of a file.
func (p Published) MarshalBinary() ([]byte, error) {
	nodes, err := json.Marshal(p.Layout)
	if err != nil {
		return nil, err
	}
	owners, err := p.Assignment.MarshalBinary()
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, headerSize+len(nodes)+len(owners))
	b = append(b, encodingMagic...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(nodes)))
	return append(append(b, nodes...), owners...), nil
}

// UnmarshalBinary reads what MarshalBinary wrote; kind Corrupted for anything else.
func (p *Published) UnmarshalBinary(b []byte) error {
	if len(b) < headerSize || string(b[:4]) != encodingMagic {
		return damaged(nil, "it does not begin as one does")
	}
	length := binary.BigEndian.Uint32(b[4:])
	if b = b[headerSize:]; uint64(length) > uint64(len(b)) {
		return damaged(nil, "it is cut off")
	}
	read := Published{Assignment: new(layout.Assignment)}
	if err := json.Unmarshal(b[:length], &read.Layout); err != nil {
		return damaged(err, "its node table")
	}
	if err := read.Assignment.UnmarshalBinary(b[length:]); err != nil {
		return damaged(err, "its owners")
	}
	if err := read.check(); err != nil {
		return err
	}
	*p = read
	return nil
}

// check makes sure that both halves belong together.
func (p Published) check() error {
	nodes := p.Assignment.Nodes()
	if p.Assignment.Number() != p.Layout.Number || p.Assignment.Replication() != p.Layout.Replication || len(nodes) != len(p.Layout.Nodes) {
		return damaged(nil, "its node table is of number %d and its owners of number %d", p.Layout.Number, p.Assignment.Number())
	}
	for i, n := range p.Layout.Nodes {
		if nodes[i] != n.ID {
			return damaged(nil, "its node table and its owners name different nodes")
		}
	}
	return nil
}

func damaged(cause error, format string, args ...any) error {
	err := errors.E(errors.Corrupted, errors.Layout, "", "the published layout cannot be read: "+format, args...)
	if e := (*errors.Error)(nil); cause != nil && errors.As(err, &e) {
		e.Err = cause
	}
	return err
}
