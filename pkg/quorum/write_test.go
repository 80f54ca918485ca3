package quorum

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var begin = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }

func words(actions []Action) string {
	var s []string
	for _, a := range actions {
		s = append(s, a.String())
	}
	return strings.Join(s, ", ")
}

// step is an event at a time, in milliseconds, and the actions expected of it.
type step struct {
	ms    int
	event string // start, tick, stop, "1 ok" (owner 1 replied), "owed 2", "not owed 2"
	want  string
}

var outcomeOf = map[string]Outcome{"ok": OK, "removed": Removed, "missing": Missing, "bad": Bad, "failed": Failed, "refused": Refused, "silent": Silent, "outdated": Outdated}

type machine interface {
	Start(time.Time) []Action
	Replied(int, Outcome, time.Time) []Action
	Tick(time.Time) []Action
	Stop(time.Time) []Action
	Wake() (time.Time, bool)
}

func run(t *testing.T, m machine, steps []step) {
	t.Helper()
	for _, s := range steps {
		var node int
		var word string
		var got []Action
		switch {
		case s.event == "start":
			got = m.Start(at(s.ms))
		case s.event == "tick":
			got = m.Tick(at(s.ms))
		case s.event == "wake":
			wake, ok := m.Wake()
			require.True(t, ok, "at %d ms nothing is to wait for", s.ms)
			require.Equal(t, at(s.ms), wake)
			got = m.Tick(wake)
		case s.event == "stop":
			got = m.Stop(at(s.ms))
		case strings.HasPrefix(s.event, "owed"):
			_, err := fmt.Sscanf(s.event, "owed %d", &node)
			require.NoError(t, err)
			got = m.(*Write).Owed(node, true, at(s.ms))
		case strings.HasPrefix(s.event, "not owed"):
			_, err := fmt.Sscanf(s.event, "not owed %d", &node)
			require.NoError(t, err)
			got = m.(*Write).Owed(node, false, at(s.ms))
		default:
			_, err := fmt.Sscanf(s.event, "%d %s", &node, &word)
			require.NoError(t, err)
			o, known := outcomeOf[word]
			require.True(t, known, word)
			got = m.Replied(node, o, at(s.ms))
		}
		require.Equal(t, s.want, words(got), "after %q at %d ms", s.event, s.ms)
	}
	_, waits := m.Wake()
	require.False(t, waits, "a finished machine waits for nothing")
}

func TestMajority(t *testing.T) {
	for n, want := range map[int]int{1: 1, 2: 2, 3: 2, 4: 3, 5: 3} {
		require.Equal(t, want, Majority(n))
	}
}

func TestWrite(t *testing.T) {
	three := WriteConfig{Owners: 3, Needed: 2, Grace: time.Second, Patience: 3 * time.Second}
	retried := three
	retried.Retries, retried.Backoff = 2, 50*time.Millisecond
	avoiding := three
	avoiding.Standing = []Standing{Ready, Away, Ready}
	avoidingTwo := three
	avoidingTwo.Standing = []Standing{Ready, Away, Away}
	busy := three
	busy.Standing = []Standing{Away, Ready, Busy}
	for _, c := range []struct {
		name   string
		config WriteConfig
		steps  []step
	}{
		{"all three acknowledge", three, []step{
			{0, "start", "send 0, send 1, send 2"},
			{1, "1 ok", ""},
			{2, "0 ok", "answer acknowledged"},
			{3, "2 ok", "finish"},
		}},
		{"one owner alone", WriteConfig{Owners: 1, Needed: 1, Grace: time.Second}, []step{
			{0, "start", "send 0"},
			{1, "0 ok", "answer acknowledged, finish"},
		}},
		{"one owner alone fails", WriteConfig{Owners: 1, Needed: 1, Grace: time.Second}, []step{
			{0, "start", "send 0"},
			{1, "0 failed", "answer unavailable, finish"},
		}},
		{"two owners need both", WriteConfig{Owners: 2, Needed: 2, Grace: time.Second}, []step{
			{0, "start", "send 0, send 1"},
			{1, "0 ok", ""},
			{2, "1 refused", "answer unavailable, finish"},
		}},
		{"one fails before the answer and is owed", three, []step{
			{0, "start", "send 0, send 1, send 2"},
			{1, "2 failed", ""},
			{2, "0 ok", ""},
			{3, "1 ok", "answer acknowledged, owe 2 by 0"},
			{4, "owed 2", "finish"},
		}},
		{"one fails after the answer and is owed", three, []step{
			{0, "start", "send 0, send 1, send 2"},
			{2, "0 ok", ""},
			{3, "1 ok", "answer acknowledged"},
			{4, "2 refused", "owe 2 by 0"},
			{5, "owed 2", "finish"},
		}},
		{"one is late and is owed after the grace", three, []step{
			{0, "start", "send 0, send 1, send 2"},
			{2, "2 ok", ""},
			{3, "1 ok", "answer acknowledged"},
			{500, "tick", ""},
			{1003, "wake", "cancel 0, owe 0 by 1"},
			{1004, "0 ok", ""},
			{1005, "owed 0", "finish"},
		}},
		{"who should record the debt cannot, and another does", three, []step{
			{0, "start", "send 0, send 1, send 2"},
			{1, "0 ok", ""},
			{2, "1 ok", "answer acknowledged"},
			{3, "2 failed", "owe 2 by 0"},
			{4, "not owed 2", "owe 2 by 1"},
			{5, "owed 2", "finish"},
		}},
		{"nobody can record the debt", three, []step{
			{0, "start", "send 0, send 1, send 2"},
			{1, "0 ok", ""},
			{2, "1 ok", "answer acknowledged"},
			{3, "2 failed", "owe 2 by 0"},
			{4, "not owed 2", "owe 2 by 1"},
			{5, "not owed 2", "forget 2, finish"},
		}},
		{"two fail", three, []step{
			{0, "start", "send 0, send 1, send 2"},
			{1, "0 failed", ""},
			{2, "1 failed", "answer unavailable, cancel 2, finish"},
			{3, "2 ok", ""},
		}},
		{"two hang until the deadline", three, []step{
			{0, "start", "send 0, send 1, send 2"},
			{1, "0 ok", ""},
			{10000, "stop", "answer unavailable, cancel 1, cancel 2, finish"},
		}},
		{"removed before, says one", three, []step{
			{0, "start", "send 0, send 1, send 2"},
			{1, "0 ok", ""},
			{2, "1 removed", "answer gone, cancel 2, finish"},
		}},
		{"removed before, says one after the answer", three, []step{
			{0, "start", "send 0, send 1, send 2"},
			{1, "0 ok", ""},
			{2, "1 ok", "answer acknowledged"},
			{3, "2 removed", "finish"},
		}},
		{"failures that matter are tried again", retried, []step{
			{0, "start", "send 0, send 1, send 2"},
			{1, "0 failed", ""},
			{2, "1 failed", ""},
			{52, "wake", "send 0"},
			{53, "0 failed", ""},
			{54, "2 ok", ""},
			{55, "tick", ""},
			{103, "wake", "send 1"},
			{104, "1 ok", "answer acknowledged, owe 0 by 1"},
			{105, "owed 0", "finish"},
		}},
		{"retries end", retried, []step{
			{0, "start", "send 0, send 1, send 2"},
			{0, "0 refused", ""},
			{0, "1 failed", ""},
			{50, "wake", "send 1"},
			{50, "1 failed", ""},
			{150, "wake", "send 1"},
			{150, "1 failed", "answer unavailable, cancel 2, finish"},
		}},
		{"a failure that does not matter is not tried again", retried, []step{
			{0, "start", "send 0, send 1, send 2"},
			{1, "0 failed", ""},
			{2, "1 ok", ""},
			{3, "2 ok", "answer acknowledged, owe 0 by 1"},
			{4, "owed 0", "finish"},
		}},
		{"an owner that seems away is left out and owed", avoiding, []step{
			{0, "start", "send 0, send 2"},
			{1, "0 ok", ""},
			{2, "2 ok", "answer acknowledged, owe 1 by 0"},
			{4, "owed 1", "finish"},
		}},
		{"an owner that seems away is asked when needed", avoiding, []step{
			{0, "start", "send 0, send 2"},
			{1, "0 ok", ""},
			{2, "2 failed", "send 1"},
			{3, "1 ok", "answer acknowledged, owe 2 by 0"},
			{4, "owed 2", "finish"},
		}},
		{"owners that seem away are not waited for longer than the patience", avoidingTwo, []step{
			{0, "start", "send 0, send 1"},
			{2, "0 ok", ""},
			{3000, "wake", "answer unavailable, cancel 1, finish"},
		}},
		{"both owners that seem away may be needed", avoidingTwo, []step{
			{0, "start", "send 0, send 1"},
			{2, "1 failed", "send 2"},
			{4, "0 ok", ""},
			{5, "2 ok", "answer acknowledged, owe 1 by 0"},
			{6, "owed 1", "finish"},
		}},
		{"an owner that is busy is preferred to one that seems away, and waited for", busy, []step{
			{0, "start", "send 1, send 2"},
			{1, "1 ok", ""},
			{5000, "tick", ""},
			{9000, "2 ok", "answer acknowledged, owe 0 by 1"},
			{9001, "owed 0", "finish"},
		}},
		{"nobody waits after the answer: owed at once", three, []step{
			{0, "start", "send 0, send 1, send 2"},
			{1, "0 ok", ""},
			{2, "1 ok", "answer acknowledged"},
			{3, "stop", "cancel 2, owe 2 by 0"},
			{4, "owed 2", "finish"},
		}},
		{"who lacks the bytes is owed when a majority has them", three, []step{
			{0, "start", "send 0, send 1, send 2"},
			{1, "0 missing", ""},
			{2, "1 ok", ""},
			{3, "2 ok", "answer acknowledged, owe 0 by 1"},
			{4, "owed 0", "finish"},
		}},
		{"who lacks the bytes is fed when they are needed", three, []step{
			{0, "start", "send 0, send 1, send 2"},
			{1, "0 missing", ""},
			{2, "1 missing", ""},
			{3, "2 ok", "feed 0"},
			{4, "0 ok", "answer acknowledged, owe 1 by 0"},
			{5, "owed 1", "finish"},
		}},
		{"another is fed when feeding fails", three, []step{
			{0, "start", "send 0, send 1, send 2"},
			{1, "0 missing", ""},
			{2, "1 missing", ""},
			{3, "2 ok", "feed 0"},
			{4, "0 refused", "feed 1"},
			{5, "1 ok", "answer acknowledged, owe 0 by 1"},
			{6, "owed 0", "finish"},
		}},
		{"nobody has the bytes", three, []step{
			{0, "start", "send 0, send 1, send 2"},
			{1, "0 missing", ""},
			{2, "1 missing", ""},
			{3, "2 missing", "answer send data, finish"},
		}},
		{"two lack the bytes and the third is late", three, []step{
			{0, "start", "send 0, send 1, send 2"},
			{1, "0 missing", ""},
			{2, "1 missing", ""},
			{1002, "wake", "answer send data, cancel 2, finish"},
		}},
		{"one lacks the bytes and two are away", three, []step{
			{0, "start", "send 0, send 1, send 2"},
			{1, "0 missing", ""},
			{2, "1 failed", ""},
			{3, "2 failed", "answer unavailable, finish"},
		}},
		{"one has the bytes only after a retry, and another is fed then", retried, []step{
			{0, "start", "send 0, send 1, send 2"},
			{1, "0 missing", ""},
			{2, "1 refused", ""},
			{3, "2 failed", ""},
			{53, "wake", "send 2"},
			{54, "2 ok", "feed 0"},
			{55, "0 ok", "answer acknowledged, owe 1 by 0"},
			{56, "owed 1", "finish"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) { run(t, NewWrite(c.config), c.steps) })
	}
}

func TestStandIns(t *testing.T) {
	away := WriteConfig{Owners: 3, Needed: 2, Grace: time.Second, Patience: 3 * time.Second, Standing: []Standing{Ready, Away, Ready}}
	twoAway := away
	twoAway.Standing = []Standing{Ready, Away, Away}
	ready := away
	ready.Standing = nil
	refer := away
	refer.Refer = true
	for _, c := range []struct {
		name     string
		config   WriteConfig
		standIns int
		steps    []step
	}{
		{"one stands in for an owner that is away", away, 4, []step{
			{0, "start", "send 0, send stand-in 1 for 1, send 2"},
			{1, "1 ok", ""},
			{2, "2 ok", "answer acknowledged"},
			{3, "0 ok", "finish"},
		}},
		{"two stand in and make the majority", twoAway, 4, []step{
			{0, "start", "send 0, send stand-in 1 for 1, send stand-in 2 for 2"},
			{1, "1 ok", ""},
			{2, "2 ok", "answer acknowledged"},
			{3, "0 refused", "owe 0 by 1"},
			{4, "owed 0", "finish"},
		}},
		{"one that fails is replaced twice, then the owner is owed", away, 4, []step{
			{0, "start", "send 0, send stand-in 1 for 1, send 2"},
			{1, "1 refused", "send stand-in 2 for 1"},
			{2, "0 ok", ""},
			{3, "2 ok", "answer acknowledged"},
			{4, "1 silent", "owe 1 by 0"},
			{5, "owed 1", "finish"},
		}},
		{"where they are too few the owner is tried after all", twoAway, 1, []step{
			{0, "start", "send 0, send stand-in 1 for 1"},
			{1, "1 failed", "send 1"},
			{2, "0 ok", ""},
			{3, "1 ok", "answer acknowledged, owe 2 by 0"},
			{4, "owed 2", "finish"},
		}},
		{"one stands in for an owner that gives no answer, before the answer and after", ready, 4, []step{
			{0, "start", "send 0, send 1, send 2"},
			{1, "0 silent", "send stand-in 1 for 0"},
			{2, "1 ok", ""},
			{3, "0 ok", "answer acknowledged"},
			{4, "2 silent", "send stand-in 2 for 2"},
			{5, "2 ok", "finish"},
		}},
		{"one that is late is given up with the others", away, 4, []step{
			{0, "start", "send 0, send stand-in 1 for 1, send 2"},
			{1, "0 ok", ""},
			{2, "2 ok", "answer acknowledged"},
			{1002, "wake", "cancel 1, owe 1 by 0"},
			{1003, "owed 1", "finish"},
		}},
		{"one is fed with what is only referred to, as soon as somebody has it", refer, 4, []step{
			{0, "start", "send 0, send 2"},
			{1, "0 ok", ""},
			{2, "2 ok", "answer acknowledged, feed stand-in 1 for 1"},
			{3, "1 ok", "finish"},
		}},
		{"one is fed before the answer where it is needed", refer, 4, []step{
			{0, "start", "send 0, send 2"},
			{1, "0 ok", ""},
			{2, "2 refused", "feed stand-in 1 for 1"},
			{3, "1 ok", "answer acknowledged, owe 2 by 0"},
			{4, "owed 2", "finish"},
		}},
		{"what owners lack is not to be had from who would stand in", refer, 4, []step{
			{0, "start", "send 0, send 2"},
			{1, "0 missing", ""},
			{2, "2 missing", "answer send data, finish"},
		}},
		{"nobody stands in once an owner has a newer layout", ready, 4, []step{
			{0, "start", "send 0, send 1, send 2"},
			{1, "0 outdated", ""},
			{2, "1 silent", "answer unavailable, cancel 2, finish"},
		}},
		{"an owner that is away is not waited for then", away, 0, []step{
			{0, "start", "send 0, send 2"},
			{1, "0 outdated", "answer unavailable, cancel 2, finish"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := NewWrite(c.config)
			w.Provide(c.standIns)
			run(t, w, c.steps)
		})
	}
}

// Whatever the owners do, in whatever order, a write is answered once, rightly,
// and no owner that lacks it is passed over in silence.
func TestWriteProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		owners := rapid.IntRange(1, 5).Draw(t, "owners")
		c := WriteConfig{
			Owners: owners, Needed: rapid.IntRange(1, owners).Draw(t, "needed"),
			Grace: time.Second, Patience: 2 * time.Second, Backoff: 50 * time.Millisecond,
			Retries:  rapid.IntRange(0, 3).Draw(t, "retries"),
			Standing: rapid.SliceOfN(rapid.SampledFrom([]Standing{Ready, Ready, Busy, Away}), owners, owners).Draw(t, "standing"),
			Refer:    rapid.Bool().Draw(t, "refer"),
		}
		outcomes := rapid.SampledFrom([]Outcome{OK, OK, OK, Removed, Missing, Failed, Failed, Refused, Silent, Silent, Outdated})
		standIns := rapid.IntRange(0, 4).Draw(t, "stand-ins")
		w := NewWrite(c)
		w.Provide(standIns)
		standIn := map[int]int{} // who has an owner's place
		used := map[int]bool{}
		now := begin
		pending := map[int]bool{} // calls under way
		debts := map[int]int{}    // being recorded, and by whom
		acked, owedOrForgotten := map[int]bool{}, map[int]bool{}
		askedToRecord := map[[2]int]bool{}
		gone := false
		var answer *Result
		finished := false

		apply := func(actions []Action) {
			for _, a := range actions {
				require.False(t, finished, "%v after the end", a)
				switch a.Do {
				case Send, Feed:
					require.True(t, answer == nil || a.StandIn > 0 && *answer == Acknowledged, "owners are sent nothing after the answer")
					require.LessOrEqual(t, a.StandIn, standIns)
					if a.StandIn != 0 && a.StandIn != standIn[a.Node] {
						require.NotContains(t, used, a.StandIn, "one stand-in for two owners")
						used[a.StandIn] = true
					}
					require.False(t, a.Do == Send && a.StandIn > 0 && c.Refer, "a stand-in has no bytes to refer to")
					standIn[a.Node] = a.StandIn
					require.False(t, pending[a.Node], "two calls to %d", a.Node)
					require.False(t, acked[a.Node])
					pending[a.Node] = true
				case Cancel:
					require.True(t, pending[a.Node])
					delete(pending, a.Node)
				case Owe:
					require.True(t, acked[a.By] && !acked[a.Node] && !pending[a.Node])
					require.False(t, askedToRecord[[2]int{a.Node, a.By}], "asked twice")
					askedToRecord[[2]int{a.Node, a.By}] = true
					debts[a.Node] = a.By
				case Forget:
					for by := range acked {
						require.True(t, askedToRecord[[2]int{a.Node, by}], "%d was not asked", by)
					}
					owedOrForgotten[a.Node] = true
				case Answer:
					require.Nil(t, answer)
					answer = &a.Result
					require.Equal(t, a.Result == Acknowledged, len(acked) >= c.Needed && !gone)
					if a.Result == SendData {
						require.Empty(t, acked)
					}
				case Finish:
					finished = true
				default:
					require.Failf(t, "unexpected", "%v", a)
				}
			}
		}
		apply(w.Start(now))
		for range 200 {
			if finished {
				break
			}
			wake, timed := w.Wake()
			events := len(pending) + len(debts)
			require.True(t, events > 0 || timed, "nothing under way and nothing to wait for")
			choice := rapid.IntRange(0, events).Draw(t, "event")
			if choice == events { // the time
				if rapid.IntRange(0, 9).Draw(t, "stop") == 0 || !timed {
					apply(w.Stop(now))
					continue
				}
				require.False(t, wake.Before(now) && !timed)
				if wake.After(now) {
					now = wake
				}
				apply(w.Tick(now))
				continue
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 400).Draw(t, "ms")) * time.Millisecond)
			for node := range owners { // the choice-th of what is under way
				by, isDebt := debts[node]
				if !pending[node] && !isDebt {
					continue
				}
				if choice--; choice >= 0 {
					continue
				}
				if isDebt {
					delete(debts, node)
					recorded := rapid.Bool().Draw(t, "recorded")
					owedOrForgotten[node] = recorded
					_ = by
					apply(w.Owed(node, recorded, now))
					break
				}
				o := outcomes.Draw(t, "outcome")
				delete(pending, node)
				if o == OK {
					acked[node] = true
				}
				if o == Removed {
					gone = true
				}
				apply(w.Replied(node, o, now))
				break
			}
			if answer != nil && *answer == Acknowledged {
				gone = false // it no longer counts
			}
		}
		require.True(t, finished, "the write never ends")
		require.Empty(t, pending)
		require.NotNil(t, answer)
		if *answer == Acknowledged {
			for node := range owners {
				if !acked[node] {
					require.True(t, owedOrForgotten[node] || w.owners[node].state == removed, "owner %d is passed over", node)
				}
			}
		}
	})
}
