package scan

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"deuxfleurs.fr/garage/pkg/meta/listing"
)

// version is a row of the table that fake keeps: the newest of a key comes first.
type version struct {
	key, sub string
	hidden   bool
}

// fake answers rounds from slices, and checks what it is asked.
type fake struct {
	t      require.TestingT
	shards [][]version
	touch  []int                   // statements that each shard was asked
	before func(asks []Ask, i int) // called before each statement, in a random order
	random *rand.Rand
}

func newFake(t require.TestingT, shards int) *fake {
	return &fake{t: t, shards: make([][]version, shards), touch: make([]int, shards), random: rand.New(rand.NewPCG(1, 2))}
}

func (f *fake) shard(key string) int {
	h := fnv.New32a()
	h.Write([]byte(key))
	return int(h.Sum32()>>8) % len(f.shards)
}

// put adds a row above those of its key.
func (f *fake) put(v version) {
	rows := f.shards[f.shard(v.key)]
	i := sort.Search(len(rows), func(i int) bool { return rows[i].key > v.key || rows[i].key == v.key && rows[i].sub >= v.sub })
	rows = append(rows, version{})
	copy(rows[i+1:], rows[i:])
	rows[i] = v
	f.shards[f.shard(v.key)] = rows
}

// fill puts keys that come in their order.
func (f *fake) fill(keys ...string) {
	for _, k := range keys {
		s := f.shard(k)
		f.shards[s] = append(f.shards[s], version{key: k})
	}
}

func (f *fake) Round(_ context.Context, asks []Ask) ([]Answer[string], error) {
	answers := make([]Answer[string], len(asks))
	require.NotEmpty(f.t, asks)
	require.LessOrEqual(f.t, len(asks), maxAsks+2*len(f.shards))
	for _, i := range f.random.Perm(len(asks)) {
		if f.before != nil {
			f.before(asks, i)
		}
		answers[i] = f.answer(asks[i])
	}
	return answers, nil
}

func (f *fake) answer(a Ask) (answer Answer[string]) {
	require.Positive(f.t, a.Limit)
	require.True(f.t, a.To == "" || a.From.Key < a.To, "%+v", a)
	f.touch[a.Shard]++
	all := f.shards[a.Shard]
	low := sort.Search(len(all), func(i int) bool {
		return all[i].key > a.From.Key || all[i].key == a.From.Key && (a.From.Sub == "" || all[i].sub > a.From.Sub)
	})
	high := len(all)
	if a.To != "" {
		high = sort.Search(len(all), func(i int) bool { return all[i].key >= a.To })
	}
	rows := all[min(low, high):high]
	if a.Last {
		rows = rows[max(0, len(rows)-a.Limit):]
	}
	rows = rows[:min(a.Limit, len(rows))]
	answer.Read = len(rows)
	for i, v := range rows {
		answer.Key, answer.Sub = v.key, v.sub
		if below := v.sub == "" && i > 0 && rows[i-1].key == v.key; !below && !v.hidden {
			answer.Rows = append(answer.Rows, Row[string]{Key: v.key, Sub: v.sub, Value: v.key + "#" + v.sub})
		}
	}
	return answer
}

// page lists one page: keys (with their sub), and common prefixes with a star.
func (f *fake) page(q listing.Query, behind Place) (page []string, last Place, more bool, cost Cost) {
	more, cost, err := List(context.Background(), f, len(f.shards), q, behind, func(e listing.Entry, row Row[string]) {
		if e.Prefix != "" {
			page, last = append(page, e.Prefix+"*"), Place{Key: e.Prefix}
			return
		}
		require.Equal(f.t, row.Key+"#"+row.Sub, row.Value)
		page, last = append(page, row.Key+row.Sub), Place{Key: row.Key, Sub: row.Sub}
	})
	require.NoError(f.t, err)
	require.LessOrEqual(f.t, len(page), q.Limit)
	return page, last, more, cost
}

// visible are the keys that a listing shows, in order.
func (f *fake) visible() []string {
	var keys []string
	for _, rows := range f.shards {
		for i, v := range rows {
			if (v.sub != "" || i == 0 || rows[i-1].key != v.key) && !v.hidden {
				keys = append(keys, v.key)
			}
		}
	}
	sort.Strings(keys)
	return keys
}

// whole is the page that package listing makes of the visible keys.
func whole(keys []string, q listing.Query) (page []string, more bool) {
	it := &listing.Slice{Keys: keys}
	more = listing.Walk(it, q, func(e listing.Entry) bool {
		if e.Prefix != "" {
			page = append(page, e.Prefix+"*")
		} else {
			page = append(page, string(it.Key()))
		}
		return true
	})
	return page, more
}

// drawKey draws keys that share prefixes, few of them or many.
func drawKey(t *rapid.T, letters []string, long int) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom(letters), 1, long).Draw(t, "key"), "")
}

func drawQuery(t *rapid.T) listing.Query {
	part := rapid.SampledFrom([]string{"", "a", "/", "ab", "a/", "\xff", "\xff\xff", "//", "b/a", "a/b/"})
	return listing.Query{
		Prefix: part.Draw(t, "prefix"), Delimiter: rapid.SampledFrom([]string{"", "/", "/", "a", "\xff", "b/"}).Draw(t, "delimiter"),
		After: part.Draw(t, "after"), Limit: rapid.SampledFrom([]int{1, 2, 5, 30, 1000}).Draw(t, "limit"),
	}
}

var letterSets = [][]string{{"a", "b", "/"}, {"a", "/", "\xff", "\x00"}, {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "/"}}

func TestAPageIsWhatTheVisibleKeysSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFake(t, rapid.IntRange(1, 5).Draw(t, "shards"))
		letters := rapid.SampledFrom(letterSets).Draw(t, "letters")
		for range rapid.SampledFrom([]int{0, 5, 60, 600}).Draw(t, "keys") {
			f.put(version{key: drawKey(t, letters, 5), hidden: rapid.IntRange(0, 3).Draw(t, "hidden") == 0})
		}
		q := drawQuery(t)
		for range 4 {
			got, last, more, _ := f.page(q, Place{})
			want, wantMore := whole(f.visible(), q)
			require.Equal(t, want, got, "%+v", q)
			require.Equal(t, wantMore, more)
			if !more {
				break
			}
			q.After = last.Key
		}
	})
}

func TestBigPrefixesAreListedAsSmallOnesAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFake(t, rapid.SampledFrom([]int{1, 3, 16}).Draw(t, "shards"))
		for range rapid.IntRange(1, 25).Draw(t, "prefixes") {
			prefix := drawKey(t, letterSets[rapid.IntRange(0, 2).Draw(t, "letters")], 4)
			size := rapid.SampledFrom([]int{0, 1, 10, 300}).Draw(t, "size")
			hidden := rapid.SampledFrom([]int{0, 0, 2, 1}).Draw(t, "hidden")
			for i := range size {
				f.put(version{key: fmt.Sprintf("%s/%03d", prefix, i), hidden: hidden > 0 && (i%hidden == 0)})
			}
			f.put(version{key: prefix})
		}
		q := drawQuery(t)
		got, _, more, cost := f.page(q, Place{})
		want, wantMore := whole(f.visible(), q)
		require.Equal(t, want, got, "%+v", q)
		require.Equal(t, wantMore, more)
		require.LessOrEqual(t, cost.Rounds, len(want)+6)
	})
}

func TestPagesThatEndBehindHiddenRowsAreTheListingPutTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFake(t, rapid.IntRange(1, 5).Draw(t, "shards"))
		letters := rapid.SampledFrom(letterSets).Draw(t, "letters")
		often := rapid.SampledFrom([]int{1, 3, 100}).Draw(t, "often")
		for range rapid.SampledFrom([]int{0, 5, 60, 600}).Draw(t, "keys") {
			f.put(version{key: drawKey(t, letters, 5), hidden: rapid.IntRange(0, often).Draw(t, "hidden") != 0})
		}
		q := drawQuery(t)
		all := q
		all.Limit = 1000
		want, _ := whole(f.visible(), all)
		most := rapid.SampledFrom([]int{1, 10, 100}).Draw(t, "most")
		var got []string
		for {
			next := q.After
			more, looked, cost, err := ListSome(context.Background(), f, len(f.shards), q, Place{}, most, func(e listing.Entry, row Row[string]) {
				if next = row.Key; e.Prefix != "" {
					next = e.Prefix
					got = append(got, next+"*")
					return
				}
				got = append(got, next)
			})
			require.NoError(t, err)
			if looked != "" {
				require.True(t, more)
				require.GreaterOrEqual(t, cost.Rows, most)
				require.GreaterOrEqual(t, looked, next)
				next = looked
			}
			if !more {
				break
			}
			require.Greater(t, next, q.After)
			q.After = next
		}
		require.Equal(t, want, got, "%+v", all)
	})
}

func TestAPageLooksAtABoundedNumberOfHiddenRows(t *testing.T) {
	f := newFake(t, 16)
	for i := range 100_000 {
		key := fmt.Sprintf("%06d", i)
		s := f.shard(key)
		f.shards[s] = append(f.shards[s], version{key: key, hidden: i != 90_000})
	}
	q, got, pages := listing.Query{Limit: 1000}, []string(nil), 0
	for more := true; more; pages++ {
		var cost Cost
		var err error
		more, q.After, cost, err = ListSome(context.Background(), f, len(f.shards), q, Place{}, 10_000, func(_ listing.Entry, row Row[string]) {
			got = append(got, row.Key)
		})
		require.NoError(t, err)
		require.LessOrEqual(t, cost.Rows, 10_000+16*maxPage)
	}
	require.Equal(t, []string{"090000"}, got)
	require.Less(t, pages, 12)
}

func TestWithADelimiterAPageLooksAtABoundedNumberOfHiddenRowsToo(t *testing.T) {
	f := newFake(t, 16)
	for i := range 100_000 {
		key := fmt.Sprintf("%03d/%06d", i/500, i)
		s := f.shard(key)
		f.shards[s] = append(f.shards[s], version{key: key, hidden: i != 90_000})
	}
	q, got, pages := listing.Query{Delimiter: "/", Limit: 1000}, []string(nil), 0
	for more := true; more; pages++ {
		var cost Cost
		var err error
		more, q.After, cost, err = ListSome(context.Background(), f, len(f.shards), q, Place{}, 10_000, func(e listing.Entry, _ Row[string]) {
			got = append(got, e.Prefix)
		})
		require.NoError(t, err)
		require.LessOrEqual(t, cost.Rows, 10_000+500+16*maxPage)
	}
	require.Equal(t, []string{"180/"}, got)
	require.Less(t, pages, 13)
}

func TestUploadsOfOneKeyAreEachShown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFake(t, rapid.IntRange(1, 4).Draw(t, "shards"))
		var want []string
		for i := range rapid.SampledFrom([]int{1, 10, 100}).Draw(t, "uploads") {
			v := version{key: drawKey(t, letterSets[0], 2), sub: fmt.Sprintf("%03d", i), hidden: rapid.Bool().Draw(t, "hidden")}
			if f.put(v); !v.hidden {
				want = append(want, v.key+v.sub)
			}
		}
		sort.Slice(want, func(i, j int) bool {
			a, b := len(want[i])-3, len(want[j])-3
			if want[i][:a] != want[j][:b] {
				return want[i][:a] < want[j][:b]
			}
			return want[i][a:] < want[j][b:]
		})
		q := listing.Query{Limit: rapid.IntRange(1, 12).Draw(t, "limit")}
		var got []string
		var behind Place
		for {
			page, last, more, _ := f.page(q, behind)
			if got = append(got, page...); !more {
				break
			}
			behind, q.After, q.From = last, last.Key, last.Key
		}
		require.Equal(t, want, got)
	})
}

func TestWhatIsThereAllTheTimeIsShownAndWhatNeverIsIsNot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFake(t, rapid.SampledFrom([]int{1, 3, 16}).Draw(t, "shards"))
		letters := letterSets[rapid.IntRange(0, 2).Draw(t, "letters")]
		stays := make(map[string]bool)
		ever := make(map[string]bool)
		for range rapid.SampledFrom([]int{5, 100, 1000}).Draw(t, "keys") {
			k := drawKey(t, letters, 4)
			stays[k], ever[k] = true, true
			f.put(version{key: k})
		}
		q := drawQuery(t)
		f.before = func(asks []Ask, _ int) {
			for range 3 { // written anywhere, and just where it is asked
				k := drawKey(t, letters, 4)
				if rapid.Bool().Draw(t, "near") {
					k = asks[f.random.IntN(len(asks))].From.Key + k
				}
				hidden := rapid.Bool().Draw(t, "deleted")
				if hidden {
					delete(stays, k)
				} else {
					ever[k] = true
				}
				f.put(version{key: k, hidden: hidden})
			}
		}
		got, last, more, _ := f.page(q, Place{})
		shown := make(map[string]bool)
		for i, e := range got {
			shown[e] = true
			if i > 0 {
				require.Less(t, strings.TrimSuffix(got[i-1], "*"), strings.TrimSuffix(e, "*"))
			}
		}
		must, _ := whole(sorted(stays), q)
		can, _ := whole(sorted(ever), listing.Query{Prefix: q.Prefix, Delimiter: q.Delimiter, After: q.After, Limit: len(ever) + 1})
		for _, e := range must {
			if !more || strings.TrimSuffix(e, "*") <= last.Key {
				require.True(t, shown[e], "%q is missing in %q", e, got)
			}
		}
		for _, e := range got {
			require.Contains(t, can, e)
		}
	})
}

func sorted(set map[string]bool) []string {
	var keys []string
	for k := range set {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
