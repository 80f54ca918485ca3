package layout

import (
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
)

// placed is a layout of nodes in zones with its assignment, which follows that of previous.
func placed(t testing.TB, number uint64, copies int, previous *Assignment, nodes ...Node) Placement {
	t.Helper()
	l, err := New(number, copies, nodes)
	require.NoError(t, err)
	a, err := Assign(previous, l)
	require.NoError(t, err)
	return Placement{Layout: l, Assignment: a}
}

func equalPlacement(t testing.TB, number uint64, copies, nodes int) Placement {
	return placed(t, number, copies, nil, equalLayout(t, number, copies, nodes, 3).Nodes...)
}

func TestAPlacementIsReadAsItWasWritten(t *testing.T) {
	p := equalPlacement(t, 7, 3, 5)
	b, err := p.MarshalBinary()
	require.NoError(t, err)
	var again Placement
	require.NoError(t, again.UnmarshalBinary(b))
	require.Equal(t, p, again)
}

func TestDamagedPlacementsAreRefused(t *testing.T) {
	p := equalPlacement(t, 7, 3, 5)
	b, err := p.MarshalBinary()
	require.NoError(t, err)
	for n := range len(b) {
		if n > 2000 && n < len(b)-100 && n%97 != 0 {
			continue
		}
		var read Placement
		err := read.UnmarshalBinary(b[:n])
		require.True(t, errors.Is(err, errors.Corrupted), "cut to %d bytes: %v", n, err)
	}
	for name, mixed := range map[string]Placement{
		"number": {Layout: p.Layout, Assignment: equalPlacement(t, 8, 3, 5).Assignment},
		"nodes":  {Layout: p.Layout, Assignment: equalPlacement(t, 7, 3, 4).Assignment},
		"copies": {Layout: p.Layout, Assignment: equalPlacement(t, 7, 2, 5).Assignment},
	} {
		b, err := mixed.MarshalBinary()
		require.NoError(t, err)
		var read Placement
		require.True(t, errors.Is(read.UnmarshalBinary(b), errors.Corrupted), name)
	}
}
