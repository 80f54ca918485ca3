package adopt

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
)

func placement(t *testing.T, number uint64, ids ...chunk.NodeID) layout.Placement {
	t.Helper()
	var nodes []layout.Node
	for _, id := range ids {
		nodes = append(nodes, layout.Node{ID: id, Zone: "here", Tokens: 1})
	}
	l, err := layout.New(number, 1, nodes)
	require.NoError(t, err)
	a, err := layout.Assign(nil, l)
	require.NoError(t, err)
	return layout.Placement{Layout: l, Assignment: a}
}

func active(t *testing.T, placements ...layout.Placement) *layout.Active {
	t.Helper()
	a, err := layout.NewActive(placements...)
	require.NoError(t, err)
	return a
}

func open(t *testing.T, path string) *Gate {
	t.Helper()
	l, err := Open(path)
	require.NoError(t, err)
	return l
}

func differs(t *testing.T, err error, number uint64) {
	t.Helper()
	got, is := layout.Differing(err)
	require.True(t, is, "%v", err)
	require.Equal(t, number, got)
}

func TestWhatWasAdoptedOutlivesARestartAndNeverGoesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "layouts")
	l := open(t, path)
	require.Nil(t, l.Current())
	one, two := placement(t, 1, uuid.New()), placement(t, 2, uuid.New())
	changed := l.Changed()
	both := active(t, one, two)
	require.NoError(t, l.Adopt(both))
	<-changed
	changed = l.Changed()
	require.NoError(t, l.Adopt(active(t, one)), "an older one changes nothing")
	require.NoError(t, l.Adopt(active(t, one, two)))
	select {
	case <-changed:
		require.Fail(t, "nothing has changed")
	default:
	}
	l = open(t, path)
	require.Equal(t, both, l.Current())
	require.NoError(t, l.Adopt(active(t, one)))
	require.EqualValues(t, 2, l.Current().Number())
	require.NoError(t, l.Adopt(active(t, two)))
	require.EqualValues(t, 2, open(t, path).Current().Oldest(), "the first was retired")
}

func TestTwoLayoutsWithOneNumberAreRefused(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "layouts"))
	first := active(t, placement(t, 1, uuid.New()))
	require.NoError(t, l.Adopt(first))
	err := l.Adopt(active(t, placement(t, 1, uuid.New())))
	require.True(t, errors.IsEntity(err, errors.Conflict, errors.Layout), "%v", err)
	require.Equal(t, first, l.Current())
}

func TestWhatCannotBeKeptIsNotAdopted(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "gone")
	l := open(t, filepath.Join(folder, "layouts"))
	require.True(t, errors.Is(l.Adopt(active(t, placement(t, 1, uuid.New()))), errors.Internal))
	require.Nil(t, l.Current())
	_, err := l.Enter(1)
	differs(t, err, 0)
}

func TestADamagedFileIsSaid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "layouts")
	require.NoError(t, open(t, path).Adopt(active(t, placement(t, 1, uuid.New()))))
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, content[:len(content)-1], 0o600))
	_, err = Open(path)
	require.True(t, errors.Is(err, errors.Corrupted), "%v", err)
	require.ErrorContains(t, err, path)
}

func TestOnlyRequestsOfTheCurrentLayoutAreLetIn(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "layouts"))
	one, two := placement(t, 1, uuid.New()), placement(t, 2, uuid.New())
	_, err := l.Enter(1)
	differs(t, err, 0)
	for _, a := range []*layout.Active{active(t, one), active(t, one, two)} {
		require.NoError(t, l.Adopt(a))
		for number := range uint64(4) {
			adopted, err := l.Enter(number)
			if number != 0 && number != a.Number() {
				differs(t, err, a.Number())
				differs(t, l.Compare(number), a.Number())
				continue
			}
			require.NoError(t, err)
			require.NoError(t, l.Compare(number))
			l.Leave(adopted)
		}
	}
}

func TestALayoutIsSettledWhenWhatCameBeforeHasEnded(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "layouts"))
	one, two := placement(t, 1, uuid.New()), placement(t, 2, uuid.New())
	settled := make(chan error, 1)
	go func() { settled <- l.Settled(context.Background(), 2) }()
	waits := func(why string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		require.True(t, errors.Is(l.Settled(ctx, 2), errors.Deadline), why)
	}
	early, err := l.Enter(0)
	require.NoError(t, err)
	require.NoError(t, l.Adopt(active(t, one)))
	var old []uint64
	for range 2 {
		adopted, err := l.Enter(1)
		require.NoError(t, err)
		old = append(old, adopted)
	}
	waits("it is not adopted")
	require.NoError(t, l.Adopt(active(t, one, two)))
	for range 3 { // what begins now does not keep it
		_, err := l.Enter(2)
		require.NoError(t, err)
	}
	l.Leave(old[0])
	l.Leave(early)
	waits("one of layout 1 is under way")
	l.Leave(old[1])
	require.NoError(t, <-settled)
}
