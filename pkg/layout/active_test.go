package layout

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
)

func active(t testing.TB, placements ...Placement) *Active {
	t.Helper()
	a, err := NewActive(placements...)
	require.NoError(t, err)
	return a
}

// sequence is a random layout and changes of it, each with the assignment that follows the one before.
func sequence(t testing.TB, r *rand.Rand, count int) []Placement {
	l := randomLayout(t, r)
	all := []Placement{placed(t, l.Number, l.Replication, nil, l.Nodes...)}
	for len(all) < count {
		last := all[len(all)-1]
		next := changed(t, r, last.Layout)
		all = append(all, placed(t, next.Number, next.Replication, last.Assignment, next.Nodes...))
	}
	return all
}

// ownersIn are the owners of a partition in one layout, by what the placement itself says.
func ownersIn(p Placement, partition chunk.Partition) []chunk.NodeID {
	var all []chunk.NodeID
	for _, o := range p.Assignment.Owners(partition) {
		all = append(all, p.Assignment.Nodes()[o])
	}
	return all
}

func idsOf(a *Active, indexes []uint16) []chunk.NodeID {
	var all []chunk.NodeID
	for _, i := range indexes {
		all = append(all, a.Nodes()[i].ID)
	}
	return all
}

func TestLayoutsInForceNameTheirOwnersFormerOwnersAndStandIns(t *testing.T) {
	for i := range uint64(6) {
		r := rand.New(rand.NewPCG(11, i))
		placements := sequence(t, r, 1+r.IntN(4))
		a := active(t, placements...)
		current := placements[len(placements)-1]
		require.Equal(t, current.Layout.Number, a.Number())
		require.Equal(t, placements[0].Layout.Number, a.Oldest())
		require.Equal(t, current, a.Current())
		require.Equal(t, placements, a.Placements())
		zones := make(map[chunk.NodeID]string)
		for _, p := range placements { // the newest that has a node describes it
			for _, n := range p.Layout.Nodes {
				zones[n.ID] = n.Zone
			}
		}
		require.Len(t, a.Nodes(), len(zones))
		for at, n := range a.Nodes() {
			require.Equal(t, zones[n.ID], n.Zone)
			require.Equal(t, at, a.Index(n.ID))
		}
		ring := NewRing(current.Layout)
		for p := chunk.Partition(0); p < chunk.Partitions; p += 37 {
			owners := idsOf(a, a.Owners(p))
			require.Equal(t, ownersIn(current, p), owners, "in their order")
			var former []chunk.NodeID
			for _, old := range slices.Backward(placements[:len(placements)-1]) {
				for _, id := range ownersIn(old, p) {
					if !slices.Contains(owners, id) && !slices.Contains(former, id) {
						former = append(former, id)
					}
				}
			}
			require.Equal(t, former, idsOf(a, a.Former(p)), "the newest first")
			for id := range zones {
				require.Equal(t, slices.Contains(owners, id), a.Owns(id, p))
			}
			requireStandIns(t, a, current, ring.Walk(p), p)
		}
	}
}

// requireStandIns checks that all other nodes of the current layout stand in, those in zones without an owner first, each kind as the walk has them.
func requireStandIns(t *testing.T, a *Active, current Placement, walk []uint16, p chunk.Partition) {
	t.Helper()
	owners := idsOf(a, a.Owners(p))
	zoneOf := func(id chunk.NodeID) string { return current.Layout.Nodes[current.Layout.Index(id)].Zone }
	standIns := idsOf(a, a.StandIns(p))
	require.Len(t, standIns, len(current.Layout.Nodes)-len(owners))
	taken := make(map[string]bool)
	for _, o := range owners {
		taken[zoneOf(o)] = true
	}
	place := func(id chunk.NodeID) int { return slices.Index(walk, uint16(current.Layout.Index(id))) }
	for i, s := range standIns {
		require.NotContains(t, owners, s)
		if i == 0 {
			continue
		}
		before, now := taken[zoneOf(standIns[i-1])], taken[zoneOf(s)]
		require.False(t, before && !now, "one beside an owner comes before one elsewhere")
		if before == now {
			require.Less(t, place(standIns[i-1]), place(s))
		}
	}
}

func TestOnlyLayoutsThatFollowEachOtherAreInForceTogether(t *testing.T) {
	_, err := NewActive()
	require.True(t, errors.Is(err, errors.Invalid), "%v", err)
	all := make([]Placement, MaxActive+1)
	for i := range all {
		all[i] = equalPlacement(t, uint64(i+1), 1, 3)
	}
	_, err = NewActive(all...)
	require.True(t, errors.Is(err, errors.Invalid), "%v", err)
	active(t, all[1:]...)
	for name, wrong := range map[string][]Placement{"twice": {all[0], all[0]}, "back": {all[1], all[0]}} {
		_, err = NewActive(wrong...)
		require.True(t, errors.Is(err, errors.Invalid), "%s: %v", name, err)
	}
	_, err = NewActive(Placement{Layout: all[0].Layout, Assignment: all[1].Assignment})
	require.True(t, errors.Is(err, errors.Invalid), "%v", err)
}

func TestWhatCameAfterIsNewer(t *testing.T) {
	one, two, three := equalPlacement(t, 1, 1, 3), equalPlacement(t, 2, 1, 3), equalPlacement(t, 3, 1, 3)
	order := []*Active{nil, active(t, one), active(t, one, two), active(t, two), active(t, one, two, three), active(t, two, three), active(t, three)}
	for i, a := range order[1:] {
		for j, b := range order {
			require.Equal(t, i+1 > j, a.Newer(b), "%d against %d", i+1, j)
		}
	}
}

func TestLayoutsInForceAreReadAsTheyWereWritten(t *testing.T) {
	for i := range uint64(4) {
		a := active(t, sequence(t, rand.New(rand.NewPCG(12, i)), int(i)+1)...)
		b, err := a.MarshalBinary()
		require.NoError(t, err)
		again, err := ParseActive(b)
		require.NoError(t, err)
		require.Equal(t, a, again)
	}
}

func TestDamagedLayoutsInForceAreRefused(t *testing.T) {
	a := active(t, equalPlacement(t, 1, 3, 5), equalPlacement(t, 2, 3, 6))
	b, err := a.MarshalBinary()
	require.NoError(t, err)
	refused := func(b []byte, what string) {
		t.Helper()
		_, err := ParseActive(b)
		require.True(t, errors.Is(err, errors.Corrupted), "%s: %v", what, err)
	}
	for n := 0; n < len(b); n += 1 + n/10 {
		refused(b[:n], fmt.Sprintf("cut to %d bytes", n))
	}
	refused(append(slices.Clone(b), 0), "one byte more")
	longer := slices.Clone(b)
	longer[4] = 0xff // 65,282 layouts
	refused(longer, "too many")
	one, err := equalPlacement(t, 1, 3, 5).MarshalBinary()
	require.NoError(t, err)
	refused(one, "a placement alone")
	twice := slices.Concat(b[:activeHeader], b[activeHeader:activeHeader+4+len(one)], b[activeHeader:activeHeader+4+len(one)])
	refused(twice, "the same layout twice")
}

func FuzzParseActive(f *testing.F) {
	for i := range uint64(2) {
		b, err := active(f, sequence(f, rand.New(rand.NewPCG(13, i)), int(i)+1)...).MarshalBinary()
		require.NoError(f, err)
		f.Add(b)
		f.Add(b[:len(b)-1])
	}
	f.Add([]byte(activeMagic + "\x00\x01\xff\xff\xff\xff"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseActive(b)
		if err != nil {
			require.True(t, errors.Is(err, errors.Corrupted), "%v", err)
			return
		}
		written, err := a.MarshalBinary()
		require.NoError(t, err)
		again, err := ParseActive(written)
		require.NoError(t, err)
		require.Equal(t, a, again)
	})
}

func TestThatLayoutsDifferIsToldOverTheWire(t *testing.T) {
	err := errors.FromStatus(errors.ToStatus(errors.Annotate(Differs(7), "node 1")))
	number, differs := Differing(errors.Annotate(err, "node 1 at 192.0.2.1:3901"))
	require.True(t, differs, "%v", err)
	require.EqualValues(t, 7, number)
	for _, other := range []error{nil, errors.E(errors.Conflict, errors.Layout, "", "changed"), errors.E(errors.Conflict, errors.Node, "7", "other"),
		errors.E(errors.NotFound, errors.Layout, "7", "unknown"), errors.New("plain")} {
		_, differs := Differing(other)
		require.False(t, differs, "%v", other)
	}
}

func TestNodesThatAreGivenUpAreKnownUntilALayoutHasThemAgain(t *testing.T) {
	one, two, three := equalPlacement(t, 1, 1, 3), equalPlacement(t, 2, 1, 4), equalPlacement(t, 3, 1, 3)
	at := slices.IndexFunc(two.Layout.Nodes, func(n Node) bool { return one.Layout.Index(n.ID) < 0 })
	last, first := two.Layout.Nodes[at].ID, one.Layout.Nodes[0].ID // only layout 2 has the last one
	a := active(t, one, two, three)
	lost := a.WithLost(map[chunk.NodeID]uint64{last: 2, first: 2, {99}: 3})
	require.True(t, lost.Lost(last))
	require.False(t, lost.Lost(first), "layout 3 has it again")
	require.False(t, lost.Lost(chunk.NodeID{99}), "no layout in force has it")
	require.False(t, a.Lost(last))
	require.True(t, lost.Newer(a))
	require.False(t, a.Newer(lost))
	require.False(t, lost.Newer(lost))
	require.True(t, lost.WithLost(map[chunk.NodeID]uint64{last: 2, first: 3}).Newer(lost))
	require.True(t, active(t, two, three).Newer(lost), "more are retired")

	b, err := lost.MarshalBinary()
	require.NoError(t, err)
	again, err := ParseActive(b)
	require.NoError(t, err)
	require.Equal(t, lost, again)
	for name, wrong := range map[string][]byte{"cut": b[:len(b)-1], "more": append(slices.Clone(b), 0), "unknown": append(slices.Clone(b[:len(b)-16]), make([]byte, 16)...)} {
		_, err := ParseActive(wrong)
		require.True(t, errors.Is(err, errors.Corrupted), "%s: %v", name, err)
	}
}
