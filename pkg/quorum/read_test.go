package quorum

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestRead(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	three := ReadConfig{Owners: 3, Hedge: []time.Duration{ms(10), ms(20), ms(30)}, Width: 2}
	more := three
	more.Others = 3
	retried := three
	retried.Retries, retried.Backoff = 2, ms(50)
	for _, c := range []struct {
		name   string
		config ReadConfig
		steps  []step
	}{
		{"the first owner has it", three, []step{
			{0, "start", "ask 0"},
			{5, "0 ok", "answer found at 0, finish"},
		}},
		{"the first is slow, the second answers", three, []step{
			{0, "start", "ask 0"},
			{10, "wake", "ask 1"},
			{15, "1 ok", "answer found at 1, cancel 0, finish"},
			{16, "0 ok", ""},
		}},
		{"two are slow, the first answers after all", three, []step{
			{0, "start", "ask 0"},
			{10, "wake", "ask 1"},
			{30, "wake", "ask 2"},
			{31, "0 ok", "answer found at 0, cancel 1, cancel 2, finish"},
		}},
		{"an early tick asks nobody", three, []step{
			{0, "start", "ask 0"},
			{9, "tick", ""},
			{10, "0 ok", "answer found at 0, finish"},
		}},
		{"the first fails, the second is asked at once", three, []step{
			{0, "start", "ask 0"},
			{1, "0 failed", "ask 1"},
			{2, "1 ok", "answer found at 1, finish"},
		}},
		{"a bad copy is repaired with a good one", three, []step{
			{0, "start", "ask 0"},
			{1, "0 bad", "ask 1"},
			{2, "1 ok", "answer found at 1, repair 0, finish"},
		}},
		{"an owner without it does not decide", three, []step{
			{0, "start", "ask 0"},
			{1, "0 missing", "ask 1"},
			{2, "1 missing", "ask 2"},
			{3, "2 ok", "answer found at 2, finish"},
		}},
		{"no owner has it and there is nobody else", three, []step{
			{0, "start", "ask 0"},
			{1, "0 missing", "ask 1"},
			{2, "1 missing", "ask 2"},
			{3, "2 missing", "ask 0, ask 1, ask 2"},
			{4, "1 missing", ""},
			{5, "0 missing", ""},
			{6, "2 missing", "answer not found, finish"},
		}},
		{"an owner got it while the others were asked", three, []step{
			{0, "start", "ask 0"},
			{1, "0 missing", "ask 1"},
			{2, "1 missing", "ask 2"},
			{3, "2 missing", "ask 0, ask 1, ask 2"},
			{4, "0 ok", "answer found at 0, cancel 1, cancel 2, finish"},
		}},
		{"an owner that is slow may still have it", three, []step{
			{0, "start", "ask 0"},
			{10, "wake", "ask 1"},
			{11, "1 missing", "ask 2"},
			{12, "2 missing", ""},
			{50, "0 ok", "answer found at 0, finish"},
		}},
		{"one away: not found cannot be said", three, []step{
			{0, "start", "ask 0"},
			{1, "0 failed", "ask 1"},
			{2, "1 missing", "ask 2"},
			{3, "2 missing", "answer unavailable, finish"},
		}},
		{"only bad copies", three, []step{
			{0, "start", "ask 0"},
			{1, "0 bad", "ask 1"},
			{2, "1 missing", "ask 2"},
			{3, "2 bad", "ask 1"},
			{4, "1 missing", "answer corrupted, finish"},
		}},
		{"no owner has it, but another node does", more, []step{
			{0, "start", "ask 0"},
			{1, "0 missing", "ask 1"},
			{2, "1 missing", "ask 2"},
			{3, "2 missing", "ask 3, ask 4"},
			{4, "3 missing", "ask 5"},
			{5, "5 ok", "answer found at 5, cancel 4, finish"},
		}},
		{"nobody at all has it", more, []step{
			{0, "start", "ask 0"},
			{1, "0 missing", "ask 1"},
			{2, "1 missing", "ask 2"},
			{3, "2 missing", "ask 3, ask 4"},
			{4, "4 missing", "ask 5"},
			{5, "5 missing", ""},
			{6, "3 missing", "ask 0, ask 1, ask 2"},
			{7, "0 missing", ""},
			{8, "1 missing", ""},
			{9, "2 missing", "answer not found, finish"},
		}},
		{"another node does not answer", more, []step{
			{0, "start", "ask 0"},
			{1, "0 missing", "ask 1"},
			{2, "1 missing", "ask 2"},
			{3, "2 missing", "ask 3, ask 4"},
			{4, "4 failed", "ask 5"},
			{5, "5 missing", ""},
			{6, "3 missing", "answer unavailable, finish"},
		}},
		{"owners that failed are asked again", retried, []step{
			{0, "start", "ask 0"},
			{1, "0 failed", "ask 1"},
			{2, "1 missing", "ask 2"},
			{3, "2 failed", ""},
			{53, "wake", "ask 0, ask 2"},
			{54, "0 failed", ""},
			{55, "2 failed", ""},
			{155, "wake", "ask 0, ask 2"},
			{156, "2 ok", "answer found at 2, cancel 0, finish"},
		}},
		{"the caller goes away", three, []step{
			{0, "start", "ask 0"},
			{10, "wake", "ask 1"},
			{20, "stop", "answer unavailable, cancel 0, cancel 1, finish"},
			{21, "1 ok", ""},
		}},
		{"one owner alone", ReadConfig{Owners: 1, Hedge: []time.Duration{ms(10)}}, []step{
			{0, "start", "ask 0"},
			{100, "0 ok", "answer found at 0, finish"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) { run(t, NewRead(c.config), c.steps) })
	}
}

// Whatever the nodes do, a read is answered once; it finds what an owner that
// answers has; and it says "not found" only if all said so.
func TestReadProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := ReadConfig{
			Owners: rapid.IntRange(1, 4).Draw(t, "owners"), Others: rapid.IntRange(0, 4).Draw(t, "others"),
			Width: rapid.IntRange(0, 3).Draw(t, "width"), Retries: rapid.IntRange(0, 2).Draw(t, "retries"), Backoff: 50 * time.Millisecond,
		}
		for range c.Owners {
			c.Hedge = append(c.Hedge, time.Duration(rapid.IntRange(0, 50).Draw(t, "hedge"))*time.Millisecond)
		}
		// What each node will answer, whenever it is asked.
		answers := rapid.SliceOfN(rapid.SampledFrom([]Outcome{OK, Missing, Missing, Missing, Bad, Failed}), c.Owners+c.Others, c.Owners+c.Others).Draw(t, "answers")
		r := NewRead(c)
		now := begin
		pending, replied := map[int]bool{}, map[int]bool{}
		asks := 0
		var answer *Action
		finished, stopped := false, false
		apply := func(actions []Action) {
			for _, a := range actions {
				require.False(t, finished, "%v after the end", a)
				switch a.Do {
				case Ask:
					require.Nil(t, answer)
					require.False(t, pending[a.Node])
					if a.Node >= c.Owners {
						for o := range c.Owners {
							require.True(t, replied[o], "owner %d comes first", o)
						}
					}
					pending[a.Node] = true
					asks++
				case Cancel:
					require.True(t, pending[a.Node])
					delete(pending, a.Node)
				case Repair:
					require.True(t, replied[a.Node] && answers[a.Node] == Bad && answer.Result == Found)
				case Answer:
					require.Nil(t, answer)
					answer = &a
				case Finish:
					finished = true
				default:
					require.Failf(t, "unexpected", "%v", a)
				}
			}
		}
		apply(r.Start(now))
		for !finished {
			wake, timed := r.Wake()
			require.True(t, len(pending) > 0 || timed, "nothing under way and nothing to wait for")
			switch choice := rapid.IntRange(0, 19).Draw(t, "event"); {
			case choice == 0:
				stopped = true
				apply(r.Stop(now))
			case timed && (choice < 7 || len(pending) == 0):
				if wake.After(now) {
					now = wake
				}
				apply(r.Tick(now))
			case len(pending) > 0:
				nodes := make([]int, 0, len(pending))
				for n := range answers {
					if pending[n] {
						nodes = append(nodes, n)
					}
				}
				n := rapid.SampledFrom(nodes).Draw(t, "who")
				delete(pending, n)
				replied[n] = true
				apply(r.Replied(n, answers[n], now))
			}
		}
		require.Empty(t, pending)
		require.LessOrEqual(t, asks, c.Owners*(2+c.Retries)+c.Others)
		has := func(o Outcome) bool {
			for _, a := range answers {
				if a == o {
					return true
				}
			}
			return false
		}
		switch answer.Result {
		case Found:
			require.True(t, replied[answer.Node] && answers[answer.Node] == OK)
		case NotFound:
			for _, a := range answers {
				require.Equal(t, Missing, a)
			}
		case Corrupted:
			require.True(t, has(Bad) && !has(OK) && !has(Failed))
		case Unavailable:
			require.True(t, stopped || has(Failed) && !has(OK))
		default:
			require.Failf(t, "unexpected", "%v", answer)
		}
	})
}
