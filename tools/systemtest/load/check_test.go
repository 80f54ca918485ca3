package load

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const ms = time.Millisecond

func recorded(entries ...entry) *Load {
	l := New(Config{Seed: 1})
	for _, e := range entries {
		l.record("key", e)
	}
	return l
}

func check(t *testing.T, entries ...entry) error {
	t.Helper()
	return recorded(entries...).Check(t.TempDir())
}

func checkShared(t *testing.T, entries ...entry) error {
	t.Helper()
	return recorded(entries...).check(shared.ToModel(), t.TempDir())
}

func wrote(etag string, call, end time.Duration, o outcome) entry {
	return entry{kind: write, wrote: etag, call: call * ms, end: end * ms, outcome: o}
}

func saw(etag string, call, end time.Duration) entry {
	return entry{kind: read, saw: etag, call: call * ms, end: end * ms}
}

func TestHistoriesThatSomeOrderExplains(t *testing.T) {
	require.NoError(t, check(t, saw(absent, 0, 1), wrote("a", 2, 5, happened), saw("a", 6, 7), wrote(absent, 8, 9, happened), saw(absent, 10, 11)))
	// Side by side, either may come last, and a reader may see any of them on the way.
	require.NoError(t, check(t, wrote("a", 0, 10, happened), wrote("b", 0, 10, happened), saw("a", 1, 2), saw("b", 3, 4), saw("b", 11, 12)))
	// No answer: it may have happened, later even.
	require.NoError(t, check(t, wrote("a", 0, 1, happened), wrote("b", 2, 3, unknown), saw("a", 4, 5), saw("b", 6, 7)))
	require.NoError(t, check(t, wrote("a", 0, 1, happened), wrote("b", 2, 3, unknown), saw("a", 4, 5), saw("a", 6, 7)))
}

func TestHistoriesThatNothingExplains(t *testing.T) {
	for name, entries := range map[string][]entry{
		"an acknowledged write is lost":         {wrote("a", 0, 1, happened), saw(absent, 2, 3)},
		"an overwrite is undone":                {wrote("a", 0, 1, happened), wrote("b", 2, 3, happened), saw("a", 4, 5)},
		"a deleted object comes back":           {wrote("a", 0, 1, happened), wrote(absent, 2, 3, happened), saw("a", 4, 5)},
		"two readers see two orders":            {wrote("a", 0, 9, happened), wrote("b", 0, 9, happened), saw("a", 10, 11), saw("b", 12, 13)},
		"an unanswered write comes and goes":    {wrote("a", 0, 1, happened), wrote("b", 2, 3, unknown), saw("b", 4, 5), saw("a", 6, 7)},
		"a value that nobody wrote":             {wrote("a", 0, 1, happened), saw("z", 2, 3)},
		"two conditional creators win":          {conditional("a", "If-None-Match", "*", happened, 0, 9), conditional("b", "If-None-Match", "*", happened, 0, 9)},
		"a true condition is refused":           {conditional("a", "If-None-Match", "*", refused, 0, 1)},
		"a condition on a version that is gone": {wrote("a", 0, 1, happened), wrote("b", 2, 3, happened), conditional("c", "If-Match", "a", happened, 4, 5)},
	} {
		t.Run(name, func(t *testing.T) { require.ErrorContains(t, check(t, entries...), "no order") })
	}
}

func TestADatabaseMayTakeBackWhatWasNotAnswered(t *testing.T) {
	first, lost := wrote("a", 0, 1, happened), wrote("b", 2, 3, unknown)
	require.NoError(t, checkShared(t, first, lost, saw("b", 4, 5), saw("a", 6, 7), saw("a", 8, 9)))
	require.NoError(t, checkShared(t, first, lost, saw("b", 4, 5), saw("b", 6, 7)))
	for name, entries := range map[string][]entry{
		"it comes again":                   {first, lost, saw("b", 4, 5), saw("a", 6, 7), saw("b", 8, 9)},
		"an answered write is taken back":  {first, wrote("b", 2, 3, happened), saw("b", 4, 5), saw("a", 6, 7)},
		"what is written above it is lost": {first, lost, saw("b", 4, 5), wrote("c", 6, 7, happened), saw("a", 8, 9)},
		"the same is written, and is lost": {first, lost, saw("b", 4, 5), wrote("b", 6, 7, happened), saw("a", 8, 9)},
	} {
		require.ErrorContains(t, checkShared(t, entries...), "no order", name)
	}
}

func conditional(etag, condition, value string, o outcome, call, end time.Duration) entry {
	e := wrote(etag, call, end, o)
	e.condition, e.value = condition, value
	return e
}

func TestBodiesAreCompared(t *testing.T) {
	l := New(Config{})
	l.remember(etagOf([]byte("body")), []byte("body"))
	l.compare("key", etagOf([]byte("body")), []byte("body"))
	require.NoError(t, l.Wrong())
	l.compare("key", etagOf([]byte("body")), []byte("bodY"))
	require.ErrorContains(t, l.Wrong(), "other bytes")
}
