package sweep

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"deuxfleurs.fr/garage/pkg/meta"
)

var rules = Rules{
	Interval: time.Hour, Pause: time.Second, Idle: 24 * time.Hour, RetryMin: time.Second, RetryMax: time.Minute,
	Page: 3, Cleaning: 2, Batch: 2, GiveUp: 4,
}

func garbage(n int) []meta.Garbage {
	var g []meta.Garbage
	for i := range n {
		g = append(g, meta.Garbage{ID: fmt.Appendf(nil, "%d", i), Attempts: []uuid.UUID{{byte(i)}}})
	}
	return g
}

var start = time.Unix(1e9, 0)

func list(now time.Time, full bool, cursor string) List {
	l := List{meta.ListGarbage{Limit: rules.Page}}
	if full {
		l.IdleBefore = now.Add(-rules.Idle)
	}
	if cursor != "" {
		l.Cursor = []byte(cursor)
	}
	return l
}

func TestAWalkCleansThenDropsThenWaits(t *testing.T) {
	m := New(rules)
	g := garbage(3)
	require.Equal(t, []Action{list(start, true, "")}, m.Step(start, Tick{}))
	require.Equal(t, []Action{Clean{g[0]}, Clean{g[1]}}, m.Step(start, Listed{Garbage: g}))
	_, ok := m.Wake()
	require.False(t, ok)
	require.Equal(t, 3, m.Busy())
	require.Equal(t, []Action{Clean{g[2]}}, m.Step(start, Cleaned{ID: g[1].ID}))
	require.Equal(t, []Action{Drop{[][]byte{g[1].ID, g[0].ID}}}, m.Step(start, Cleaned{ID: g[0].ID}))
	require.Empty(t, m.Step(start, Cleaned{ID: g[2].ID}), "one drop at a time")
	require.Equal(t, []Action{Drop{[][]byte{g[2].ID}}}, m.Step(start, Dropped{}))
	require.Empty(t, m.Step(start, Dropped{}))
	at, ok := m.Wake()
	require.True(t, ok)
	require.Equal(t, start.Add(rules.Interval), at)
	require.Empty(t, m.Step(at.Add(-1), Tick{}))
	require.Len(t, m.Step(at, Tick{}), 1)
}

func TestAPokeStartsAWalkAfterAPause(t *testing.T) {
	m := New(rules)
	m.Step(start, Tick{})
	m.Step(start, Poke{})
	require.Empty(t, m.Step(start, Listed{}), "the walk is over; the poke during it waits for the pause")
	at, _ := m.Wake()
	require.Equal(t, start.Add(rules.Pause), at)
	require.Equal(t, []Action{list(at, false, "")}, m.Step(at, Tick{}), "without looking for idle uploads")
	m.Step(at, Listed{})
	later := at.Add(time.Minute)
	require.Len(t, m.Step(later, Poke{}), 1, "at once when the last walk is long ago")
}

func TestGarbageIsLeftAloneForItsGrace(t *testing.T) {
	patient := rules
	patient.Grace = 10 * time.Minute
	m := New(patient)
	first := m.Step(start, Tick{})[0].(List)
	require.Equal(t, start.Add(-patient.Grace), first.Before)
	m.Step(start, Listed{})
	due := func(want time.Time) {
		t.Helper()
		at, ok := m.Wake()
		require.True(t, ok)
		require.Equal(t, want, at)
		require.Empty(t, m.Step(at.Add(-1), Tick{}))
		require.Equal(t, at.Add(-patient.Grace), m.Step(at, Tick{})[0].(List).Before)
		m.Step(at, Listed{})
	}
	a, b, c := start.Add(time.Minute), start.Add(2*time.Minute), start.Add(7*time.Minute)
	for _, at := range []time.Time{a, b, c} {
		require.Empty(t, m.Step(at, Poke{}))
	}
	patience := patient.Grace + patient.Pause
	due(a.Add(patience))
	due(c.Add(patience))
	at, _ := m.Wake()
	require.Equal(t, start.Add(patient.Interval), at, "nothing is left to call for a walk")
}

func TestAFailureIsTriedAgainWithBackOff(t *testing.T) {
	m := New(rules)
	now := start
	var waits []time.Duration
	for range 9 {
		actions := m.Step(now, Tick{})
		require.Len(t, actions, 1)
		m.Step(now, Listed{Garbage: garbage(1)})
		require.Empty(t, m.Step(now, Cleaned{ID: []byte("0"), Err: errors.New("away")}), "nothing is dropped")
		require.Empty(t, m.Step(now, Poke{}), "new garbage does not shorten the wait")
		at, ok := m.Wake()
		require.True(t, ok)
		waits = append(waits, at.Sub(now))
		now = at
	}
	s := time.Second
	require.Equal(t, []time.Duration{s, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 60 * s, 60 * s, 60 * s}, waits)
	m.Step(now, Tick{})
	m.Step(now, Listed{Garbage: garbage(1)})
	require.Len(t, m.Step(now, Cleaned{ID: []byte("0")}), 1)
	m.Step(now, Dropped{})
	require.Len(t, m.Step(now.Add(rules.Pause), Poke{}), 1)
}

func TestAFailedListingIsTriedAgain(t *testing.T) {
	m := New(rules)
	m.Step(start, Tick{})
	require.Empty(t, m.Step(start, Listed{Err: errors.New("away")}))
	at, ok := m.Wake()
	require.True(t, ok)
	require.Equal(t, []Action{list(at, true, "")}, m.Step(at, Tick{}), "a full walk again")
}

func TestAChunkStoreThatIsAwayEndsTheWalkAndTheNextGoesOnThere(t *testing.T) {
	m := New(rules)
	m.Step(start, Tick{})
	g := garbage(6)
	away := errors.New("away")
	m.Step(start, Listed{Garbage: g[:3], Next: []byte("2")})
	m.Step(start, Cleaned{ID: g[0].ID, Err: away})
	m.Step(start, Cleaned{ID: g[1].ID, Err: away})
	require.Empty(t, m.Step(start, Cleaned{ID: g[2].ID, Err: away}))
	require.Len(t, m.Step(start, Listed{Garbage: g[3:], Next: []byte("5")}), 2)
	require.Empty(t, m.Step(start, Cleaned{ID: g[3].ID, Err: away}), "the fourth in a row")
	require.Empty(t, m.Step(start, Cleaned{ID: g[4].ID, Err: away}))
	at, ok := m.Wake()
	require.True(t, ok)
	require.Equal(t, start.Add(rules.RetryMin), at)
	actions := m.Step(at, Tick{})
	require.Equal(t, []byte("5"), actions[0].(List).Cursor)
	m.Step(at, Listed{})
	require.Nil(t, m.Step(at.Add(time.Hour), Tick{})[0].(List).Cursor, "and the one after it begins anew")
}

// A model of the store and of the chunk store: the machine must clean before it drops, never do too
// much at a time, and bring everything down in the end, whatever the order and the failures.
func TestEverythingIsSweptInTheEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := New(rules)
		now := start
		left := map[string]bool{} // entry → its references are deleted
		var order []string
		var pending []Action
		cleaning, dropping, listing, next := 0, 0, 0, 0
		add := func() {
			id := fmt.Sprintf("%06d", next)
			next++
			left[id] = false
			order = append(order, id)
		}
		take := func(e Event) {
			for _, a := range m.Step(now, e) {
				pending = append(pending, a)
				switch a.(type) {
				case Clean:
					cleaning++
				case Drop:
					dropping++
				case List:
					listing++
				}
			}
			require.LessOrEqual(t, cleaning, rules.Cleaning)
			require.LessOrEqual(t, dropping, 1)
			require.LessOrEqual(t, listing, 1)
			require.LessOrEqual(t, m.Busy(), 2*rules.Page+rules.Cleaning+rules.Batch)
		}
		answer := func(i int, fail bool) {
			a := pending[i]
			pending = append(pending[:i], pending[i+1:]...)
			var err error
			if fail {
				err = errors.New("injected")
			}
			switch a := a.(type) {
			case List:
				listing--
				var page []meta.Garbage
				var cursor []byte
				for _, id := range order {
					if _, there := left[id]; there && id > string(a.Cursor) {
						if len(page) == a.Limit {
							cursor = page[len(page)-1].ID
							break
						}
						page = append(page, meta.Garbage{ID: []byte(id)})
					}
				}
				if fail {
					page, cursor = nil, nil
				}
				take(Listed{Garbage: page, Next: cursor, Err: err})
			case Clean:
				cleaning--
				if !fail {
					left[string(a.Garbage.ID)] = true
				}
				take(Cleaned{ID: a.Garbage.ID, Err: err})
			case Drop:
				dropping--
				for _, id := range a.IDs {
					require.True(t, left[string(id)], "dropped before its references were deleted")
					if !fail {
						delete(left, string(id))
					}
				}
				take(Dropped{Err: err})
			}
		}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				add()
				take(Poke{})
			case 1:
				now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
				take(Tick{})
			default:
				if len(pending) > 0 {
					answer(rapid.IntRange(0, len(pending)-1).Draw(t, "which"), rapid.IntRange(0, 3).Draw(t, "fails") == 0)
				}
			}
		}
		for range 10000 {
			if len(left) == 0 {
				return
			}
			if len(pending) > 0 {
				answer(0, false)
				continue
			}
			at, ok := m.Wake()
			require.True(t, ok, "it waits for nothing")
			now = later(now, at)
			take(Tick{})
		}
		t.Fatalf("%d entries are left", len(left))
	})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
