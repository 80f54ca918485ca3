package ldap

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/identity"
)

var start = time.Unix(1e9, 0)

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

func keptFor(keep, refused, away time.Duration) *kept {
	return newKept(&Config{CacheTime: keep, RefusedTime: refused, AwayTime: away})
}

func ann() identity.Identity { return identity.Identity{AccessKey: "ann", Secret: "s"} }

func decides(t *testing.T, k *kept, accessKey string, now time.Time, want verdict) {
	t.Helper()
	got, id := k.decide(accessKey, now)
	require.Equal(t, want, got)
	if want == serve || want == serveAndAsk {
		require.Equal(t, accessKey, id.AccessKey)
	} else {
		require.Zero(t, id)
	}
}

func TestAnAnswerIsKeptForItsTime(t *testing.T) {
	k := keptFor(2*time.Second, time.Second, time.Hour)
	decides(t, k, "ann", at(0), ask)
	require.False(t, k.isThere("ann", ann(), at(0)))
	decides(t, k, "ann", at(1.9), serve)
	decides(t, k, "ann", at(2), ask)
	require.False(t, k.isNotThere("ann", at(2)))
	decides(t, k, "ann", at(2.9), refuse)
	decides(t, k, "ann", at(3), ask)
	k.isThere("ann", ann(), at(3))
	decides(t, k, "ann", at(3.1), serve)
	decides(t, k, "ben", at(3.1), ask)
}

func TestAClockThatGoesBackKeepsNothing(t *testing.T) {
	k := keptFor(2*time.Second, time.Second, time.Hour)
	k.isThere("ann", ann(), at(100))
	decides(t, k, "ann", at(50), ask)
}

func TestNothingIsKeptWithoutTimeForIt(t *testing.T) {
	k := keptFor(0, 0, 0)
	k.isThere("ann", ann(), at(0))
	decides(t, k, "ann", at(0), ask)
	k.isNotThere("ben", at(0))
	decides(t, k, "ben", at(0), ask)
	_, served, _ := k.cannotTell("ann", at(0), at(0))
	require.False(t, served)
}

func TestWhileTheDirectoryIsAwayKeptIdentitiesServeAndOneAtATimeAsks(t *testing.T) {
	k := keptFor(2*time.Second, time.Second, time.Hour)
	k.isThere("ann", ann(), at(0))
	decides(t, k, "ann", at(10), ask)
	id, served, wasUp := k.cannotTell("ann", at(10), at(13))
	require.Equal(t, ann(), id)
	require.True(t, served)
	require.True(t, wasUp)

	decides(t, k, "ann", at(13.5), serve)
	decides(t, k, "ben", at(13.5), unavailable)
	decides(t, k, "ann", at(14), serveAndAsk)
	decides(t, k, "ann", at(14), serve)
	decides(t, k, "ben", at(14), unavailable)
	_, _, wasUp = k.cannotTell("ann", at(14), at(17))
	require.False(t, wasUp)

	decides(t, k, "ben", at(18), ask)
	decides(t, k, "ann", at(18), serve)
	_, served, _ = k.cannotTell("ben", at(18), at(18))
	require.False(t, served)

	decides(t, k, "ann", at(3599), serveAndAsk)
	k.cannotTell("ann", at(3599), at(3600))
	decides(t, k, "ann", at(3600), unavailable) // its hour is over
	decides(t, k, "ann", at(3601), ask)
	_, served, _ = k.cannotTell("ann", at(3601), at(3601))
	require.False(t, served)

	decides(t, k, "ben", at(3700), ask)
	require.True(t, k.isNotThere("ben", at(3700)), "it is back")
	decides(t, k, "ann", at(3700), ask)
	decides(t, k, "ben", at(3700.5), refuse)
	require.False(t, k.isThere("ann", ann(), at(3701)))
}

func TestWhoWasRefusedIsNotServedWhenTheDirectoryGoesAway(t *testing.T) {
	k := keptFor(2*time.Second, time.Second, time.Hour)
	k.isThere("ann", ann(), at(0))
	k.isNotThere("ann", at(3))
	_, served, _ := k.cannotTell("ann", at(5), at(5))
	require.False(t, served)
	decides(t, k, "ann", at(5.5), unavailable)
}

func TestACrowdMakesNothingOlderServe(t *testing.T) {
	k := keptFor(2*time.Second, time.Second, time.Hour)
	k.isThere("ann", ann(), at(0))
	_, served := k.crowded("ann", at(10))
	require.False(t, served)
	decides(t, k, "ann", at(10), ask) // the directory is not away
	k.cannotTell("ben", at(10), at(10))
	decides(t, k, "ann", at(11), serveAndAsk)
	id, served := k.crowded("ann", at(11))
	require.True(t, served, "it is away")
	require.Equal(t, ann(), id)
	decides(t, k, "ann", at(11), serveAndAsk) // another may ask
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	k := keptFor(2*time.Second, time.Second, 100*time.Second)
	for i := range maxKept {
		k.isThere(fmt.Sprint("old", i), ann(), at(0))
	}
	k.isThere("ann", ann(), at(99))
	require.Len(t, k.found, maxKept, "one made room")
	k.isThere("ben", ann(), at(101))
	require.Len(t, k.found, 2, "those that cannot serve any more go first")
	decides(t, k, "ann", at(100), serve)
	for i := range 3 * maxKept {
		k.isNotThere(fmt.Sprint("no", i), at(101))
		require.LessOrEqual(t, len(k.refused), maxKept)
	}
}
