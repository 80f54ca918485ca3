package leave

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/layout"
)

func id(i int) chunk.NodeID { return chunk.NodeID{15: byte(i + 1)} }

func process(i, start int) uuid.UUID { return uuid.UUID{0: byte(start + 1), 15: byte(i + 1)} }

// cluster is a layout of nodes in the zones given, one letter for each node.
func cluster(t require.TestingT, copies int, zones string) *layout.Active {
	return inForce(t, placement(t, nil, 1, copies, zones))
}

func inForce(t require.TestingT, placements ...layout.Placement) *layout.Active {
	a, err := layout.NewActive(placements...)
	require.NoError(t, err)
	return a
}

// placement is a layout that follows previous; a dash is a node that it does not have.
func placement(t require.TestingT, previous *layout.Assignment, number uint64, copies int, zones string) layout.Placement {
	var nodes []layout.Node
	for i, z := range zones {
		if z == '-' {
			continue
		}
		nodes = append(nodes, layout.Node{ID: id(i), Zone: string(z), Tokens: 10})
	}
	l, err := layout.New(number, copies, nodes)
	require.NoError(t, err)
	a, err := layout.Assign(previous, l)
	require.NoError(t, err)
	return layout.Placement{Layout: l, Assignment: a}
}

func everybody(n int) map[chunk.NodeID]Member {
	members := map[chunk.NodeID]Member{}
	for i := range n {
		members[id(i)] = Member{Present: true, Process: process(i, 0)}
	}
	return members
}

var start = time.Unix(1_700_000_000, 0)

func TestOneOfThreeOwnersLeavesAtATime(t *testing.T) {
	l := cluster(t, 3, "abc")
	members := everybody(3)
	var b Book
	ask := func(i int, at time.Duration) Answer {
		return b.Ask(Question{Node: id(i), Process: process(i, 0), Now: start.Add(at), Members: members, Layouts: l})
	}
	require.True(t, ask(0, 0).Granted)
	require.True(t, ask(0, time.Second).Granted, "it did not get the answer and asks again")
	no := ask(1, 2*time.Second)
	require.False(t, no.Granted)
	require.Contains(t, no.Reason, id(0).String())

	members[id(0)] = Member{} // it has gone
	require.False(t, ask(1, 3*time.Second).Granted)
	require.False(t, ask(1, time.Hour).Granted, "it is away, however long ago it got leave")

	members[id(0)] = Member{Present: true, Process: process(0, 1)}
	require.True(t, ask(1, time.Hour).Granted, "it is back")
	require.False(t, ask(2, time.Hour).Granted)
}

func TestALeaveThatWasNotUsedEnds(t *testing.T) {
	l := cluster(t, 3, "abc")
	members := everybody(3)
	var b Book
	require.True(t, b.Ask(Question{Node: id(0), Process: process(0, 0), Now: start, Members: members, Layouts: l}).Granted)
	other := Question{Node: id(1), Process: process(1, 0), Now: start.Add(ValidFor + slack - 1), Members: members, Layouts: l}
	require.False(t, b.Ask(other).Granted)
	other.Now = start.Add(ValidFor + slack)
	require.True(t, b.Ask(other).Granted)
}

func TestNodesOfOneZoneMayLeaveTogether(t *testing.T) {
	l := cluster(t, 3, "aabbcc")
	var b Book
	ask := func(i int) Answer {
		return b.Ask(Question{Node: id(i), Process: process(i, 0), Now: start, Members: everybody(6), Layouts: l})
	}
	require.True(t, ask(0).Granted)
	require.True(t, ask(1).Granted, "it owns nothing that the other owns")
	require.False(t, ask(2).Granted)
	require.Equal(t, []chunk.NodeID{id(0), id(1)}, b.Open(Question{Now: start, Members: everybody(6)}))
}

func TestWhoHoldsNothingMayLeave(t *testing.T) {
	l := cluster(t, 2, "ab")
	var b Book
	stranger := Question{Node: id(7), Now: start, Layouts: l}
	require.True(t, b.Ask(stranger).Granted)
	require.True(t, b.Ask(Question{Node: id(0), Now: start}).Granted, "no layout was published")
	require.False(t, b.Ask(Question{Node: id(0), Now: start, Layouts: l}).Granted, "nothing is known of the other owner")
}

func TestNeighboursShareAPartition(t *testing.T) {
	a := cluster(t, 2, "abcd")
	for i := range 4 {
		var want []chunk.NodeID
		for j := range 4 {
			shares := false
			for p := range chunk.Partition(chunk.Partitions) {
				owners := a.Current().Assignment.Owners(p)
				shares = shares || slices.Contains(owners, uint16(i)) && slices.Contains(owners, uint16(j))
			}
			if shares && j != i {
				want = append(want, id(j))
			}
		}
		require.Equal(t, want, Neighbours(a, id(i)))
	}
}

func TestOwnersInALayoutThatIsNotRetiredAreNeighbours(t *testing.T) {
	first := placement(t, nil, 1, 2, "ab-")
	next := placement(t, first.Assignment, 2, 2, "-bc")
	require.Equal(t, []chunk.NodeID{id(1)}, Neighbours(inForce(t, first, next), id(0)))
	require.Equal(t, []chunk.NodeID{id(0), id(2)}, Neighbours(inForce(t, first, next), id(1)))
	require.Empty(t, Neighbours(inForce(t, next), id(0)), "it is not in force any more")
}

// lag is how long the rebalancer may count a node as present that is not: its reports stay fresh so long.
const lag = 10 * time.Second

// simulation is a cluster whose nodes stop by leave, crash, come back, and report to an active rebalancer that changes.
type simulation struct {
	layouts *layout.Active
	now     time.Time
	term    int
	book    Book
	nodes   []*simulated
}

// simulated is one node as it really is, and as the rebalancer sees it.
type simulated struct {
	starts  int
	up      bool
	byLeave bool     // it is not up because it was given leave
	term    int      // the highest whose rebalancer has accepted its stream
	granted []answer // on their way

	seen   Member    // by the rebalancer of the present term
	hidden time.Time // until when the rebalancer does not notice that it is not up; zero: it has
}

// answer grants leave.
type answer struct {
	term  int
	asked time.Time
}

func (s *simulation) members() map[chunk.NodeID]Member {
	members := map[chunk.NodeID]Member{}
	for i, n := range s.nodes {
		members[id(i)] = n.seen
	}
	return members
}

// settle lets the rebalancer notice what it must have noticed by now.
func (s *simulation) settle() {
	for _, n := range s.nodes {
		if !n.up && !n.hidden.After(s.now) {
			n.seen.Present = false
		}
	}
}

func (s *simulation) check(t *rapid.T) {
	for i, n := range s.nodes {
		if n.up || !n.byLeave {
			continue
		}
		for _, other := range Neighbours(s.layouts, id(i)) {
			if o := s.nodes[int(other[15])-1]; !o.up && o.byLeave {
				t.Fatalf("nodes %d and %d own the same partition, and both have left with leave", i, int(other[15])-1)
			}
		}
	}
}

func TestTwoOwnersOfAPartitionNeverLeaveTogether(t *testing.T) {
	shapes := []struct {
		copies int
		zones  string
	}{{3, "abc"}, {3, "aabbcc"}, {2, "abcd"}, {3, "aab"}, {2, "aaa"}, {2, "aaab"}, {3, "abcde"}}
	layouts := make([]*layout.Active, len(shapes))
	for i, s := range shapes {
		layouts[i] = cluster(t, s.copies, s.zones)
	}
	first := placement(t, nil, 1, 2, "abcd-")
	layouts = append(layouts, inForce(t, first, placement(t, first.Assignment, 2, 2, "-bcde"))) // data is on its way
	granted, refusals := 0, 0
	history := func(t *rapid.T) {
		shape := rapid.IntRange(0, len(layouts)-1).Draw(t, "shape")
		s := &simulation{layouts: layouts[shape], now: start}
		for i := range s.layouts.Nodes() {
			s.nodes = append(s.nodes, &simulated{up: true, seen: Member{Present: true, Process: process(i, 0)}})
		}
		pick := func(want func(*simulated) bool) (int, *simulated) {
			var fit []int
			for i, n := range s.nodes {
				if want(n) {
					fit = append(fit, i)
				}
			}
			if len(fit) == 0 {
				t.Skip("no such node")
			}
			i := rapid.SampledFrom(fit).Draw(t, "node")
			return i, s.nodes[i]
		}
		down := func(n *simulated, byLeave bool) {
			n.up, n.byLeave, n.granted = false, byLeave, nil
			n.hidden = s.now.Add(rapid.SampledFrom([]time.Duration{0, lag / 2, lag}).Draw(t, "unnoticed"))
		}
		ask := func(t *rapid.T) {
			i, n := pick(func(n *simulated) bool { return n.up && n.term == s.term })
			a := s.book.Ask(Question{Node: id(i), Process: process(i, n.starts), Now: s.now, Members: s.members(), Layouts: s.layouts})
			if a.Granted {
				granted++
				n.granted = append(n.granted, answer{s.term, s.now})
				return
			}
			refusals++
		}
		arrive := func(t *rapid.T) {
			_, n := pick(func(n *simulated) bool { return n.up && len(n.granted) > 0 })
			a := n.granted[0]
			n.granted = n.granted[1:]
			if a.term == n.term && s.now.Sub(a.asked) <= ValidFor {
				down(n, true)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) { s.settle(); s.check(t) },
			"time passes": func(t *rapid.T) {
				s.now = s.now.Add(time.Duration(rapid.SampledFrom([]int{1, 4, 9}).Draw(t, "seconds")) * time.Second)
			},
			"much time passes": func(t *rapid.T) {
				s.now = s.now.Add(time.Duration(rapid.SampledFrom([]int{11, 29, 31, 300}).Draw(t, "seconds")) * time.Second)
			},
			"a node asks":            ask,
			"another node asks":      ask,
			"an answer arrives":      arrive,
			"another answer arrives": arrive,
			"a node crashes": func(t *rapid.T) {
				_, n := pick(func(n *simulated) bool { return n.up })
				down(n, false)
			},
			"a node is back": func(t *rapid.T) {
				i, n := pick(func(n *simulated) bool { return !n.up })
				n.up, n.byLeave, n.term, n.hidden = true, false, s.term, time.Time{}
				n.starts++
				n.seen = Member{Present: true, Process: process(i, n.starts)}
			},
			"another rebalancer": func(t *rapid.T) {
				if rapid.IntRange(0, 3).Draw(t, "rarely") > 0 {
					t.Skip()
				}
				s.term++
				s.book = Book{}
				for _, n := range s.nodes {
					n.seen = Member{}
				}
			},
			"streams move": func(t *rapid.T) {
				all := rapid.Bool().Draw(t, "all")
				for i, n := range s.nodes {
					if n.up && n.term < s.term {
						n.term = s.term
						if n.seen = (Member{Present: true, Process: process(i, n.starts)}); !all {
							return
						}
					}
				}
			},
		})
	}
	for range 30 { // each is 100 histories
		rapid.Check(t, history)
	}
	require.Positive(t, granted)
	require.Positive(t, refusals)
	t.Logf("granted %d, refused %d", granted, refusals)
}
