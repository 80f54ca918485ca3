package scan

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/meta/listing"
)

func TestAPageOfKeysTouchesEachShardAtMostTwice(t *testing.T) {
	f := newFake(t, 16)
	for i := range 100_000 {
		f.fill(fmt.Sprintf("key-%08d", i))
	}
	q := listing.Query{Limit: 1000}
	sum := 0
	for range 100 {
		f.touch = make([]int, 16)
		page, last, _, cost := f.page(q, Place{})
		require.Len(t, page, 1000)
		for shard, n := range f.touch {
			require.LessOrEqual(t, n, 2, "shard %d", shard)
		}
		require.LessOrEqual(t, cost.Rows, 2500)
		sum += cost.Rounds
		q.After = last.Key
	}
	require.LessOrEqual(t, sum, 120, "seldom twice")
}

// names are 100 prefixes in several habits of naming.
var names = map[string]func(i int) string{
	"numbers":       func(i int) string { return fmt.Sprintf("%03d/", i) },
	"long names":    func(i int) string { return fmt.Sprintf("backups/host-%04d.example.org/", i*7) },
	"dates":         func(i int) string { return fmt.Sprintf("2026-%02d-%02d/", 1+i/28, 1+i%28) },
	"hexadecimal":   func(i int) string { return fmt.Sprintf("%08x/", uint32(i)*2654435761) },
	"one far away":  func(i int) string { return fmt.Sprintf("b%03d/", i%99) + map[bool]string{true: "zzz/"}[i == 99] },
	"words":         func(i int) string { return words(i) + "/" },
	"close numbers": func(i int) string { return fmt.Sprintf("user-00000%04d/", 4000+i) },
}

func words(i int) string {
	r := rand.New(rand.NewPCG(7, uint64(i)))
	syllables := []string{"ba", "ko", "mi", "tra", "lu", "sen", "do", "pi", "xa", "re"}
	return syllables[r.IntN(10)] + syllables[r.IntN(10)] + syllables[r.IntN(10)] + fmt.Sprint(i%3)
}

func TestPrefixesTakeFewRounds(t *testing.T) {
	for name, prefix := range names {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, 16)
			var keys []string
			for p := range 100 {
				for k := range 1000 {
					keys = append(keys, prefix(p)+fmt.Sprintf("%04d", k))
				}
			}
			sort.Strings(keys)
			f.fill(keys...)
			q := listing.Query{Delimiter: "/", Limit: 1000}
			if name == "long names" {
				q.Prefix = "backups/"
			}
			page, _, more, cost := f.page(q, Place{})
			want, _ := whole(f.visible(), q)
			require.Equal(t, want, page)
			require.False(t, more)
			t.Logf("%d prefixes: %+v", len(page), cost)
			require.LessOrEqual(t, cost.Rounds, 12)
			require.LessOrEqual(t, cost.Asks, 2*16*101)
		})
	}
}

func TestNoListingTakesMuchMoreThanAPlainWalk(t *testing.T) {
	for _, perPrefix := range []int{1, 3, 10, 30, 100, 300, 1000} {
		for _, limit := range []int{10, 100, 1000} {
			t.Run(fmt.Sprintf("%d keys a prefix, %d entries", perPrefix, limit), func(t *testing.T) {
				f := newFake(t, 16)
				for i := range 100_000 {
					f.fill(fmt.Sprintf("p%06d/%04d", i/perPrefix, i%perPrefix))
				}
				page, _, _, cost := f.page(listing.Query{Delimiter: "/", Limit: limit}, Place{})
				t.Logf("%d entries: %+v", len(page), cost)
				require.Len(t, page, min(limit, (100_000+perPrefix-1)/perPrefix))
				plain := 16 * (len(page) + 1) // a seek for each entry in each shard
				require.LessOrEqual(t, cost.Asks, 2*plain)
				require.LessOrEqual(t, cost.Rows, 30*plain)
			})
		}
	}
}

func TestHiddenRowsAreReadInLargePages(t *testing.T) {
	f := newFake(t, 16)
	for i := range 300_000 {
		s := f.shard(fmt.Sprintf("key-%08d", i))
		v := version{key: fmt.Sprintf("key-%08d", i), hidden: i != 299_999}
		f.shards[s] = append(f.shards[s], v, v) // the marker, and what it hides
	}
	page, _, more, cost := f.page(listing.Query{Limit: 1000}, Place{})
	t.Logf("%+v", cost)
	require.Equal(t, []string{"key-00299999"}, page)
	require.False(t, more)
	require.LessOrEqual(t, cost.Rounds, 30)
}
