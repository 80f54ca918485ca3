package kv

import (
	"encoding/binary"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/layout"
)

func node(i int) layout.Node {
	id := uuid.UUID{6: 0x40, 8: 0x80}
	binary.BigEndian.PutUint32(id[12:], uint32(i))
	return layout.Node{ID: id, Zone: "zone-" + string(rune('a'+i%3)), Capacity: 1 << 40, Tokens: 100}
}

// widened is the assignment of the first nodes of a layout as one of the whole layout, whose other nodes own nothing.
func widened(t *testing.T, a *layout.Assignment, l layout.Layout) *layout.Assignment {
	t.Helper()
	b, err := a.MarshalBinary()
	require.NoError(t, err)
	had := len(a.Nodes())
	wide := append([]byte{}, b[:24]...)
	binary.BigEndian.PutUint16(wide[22:], uint16(len(l.Nodes)))
	for _, n := range l.Nodes {
		wide = append(wide, n.ID[:]...)
	}
	wide = append(wide, b[24+16*had:]...)
	made := new(layout.Assignment)
	require.NoError(t, made.UnmarshalBinary(wide))
	return made
}
