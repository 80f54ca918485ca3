package listing

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// entries is the definition of a listing, written without seeking.
func entries(keys []string, prefix, delimiter string) []string {
	var all []string
	for _, k := range keys {
		if !strings.HasPrefix(k, prefix) {
			continue
		}
		if delimiter != "" {
			if i := strings.Index(k[len(prefix):], delimiter); i >= 0 {
				k = k[:len(prefix)+i+len(delimiter)] + "*"
			}
		}
		all = append(all, k)
	}
	return slices.Compact(all)
}

func walk(it Iterator, q Query) (page []string, last string, more bool) {
	more = Walk(it, q, func(e Entry) bool {
		last = e.Prefix
		if e.Prefix == "" {
			last = string(it.Key())
			page = append(page, last)
		} else {
			page = append(page, last+"*")
		}
		return true
	})
	return page, last, more
}

func drawKeys(t *rapid.T) []string {
	letters := []rune{'a', 'b', '/', '\x01', '\u00ff'}
	word := rapid.StringOfN(rapid.SampledFrom(letters), 1, 6, -1)
	high := rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]byte{'a', '/', 0xfe, 0xff}), 1, 4), func(b []byte) string { return string(b) })
	keys := rapid.SliceOfNDistinct(rapid.OneOf(word, high), 0, 40, rapid.ID[string]).Draw(t, "keys")
	sort.Strings(keys)
	return keys
}

func TestPagesPutTogetherAreTheListing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := drawKeys(t)
		part := rapid.SampledFrom([]string{"", "a", "/", "ab", "a/", "\xff", "\xff\xff", "//", "b/a"})
		q := Query{Prefix: part.Draw(t, "prefix"), Delimiter: part.Draw(t, "delimiter"), Limit: rapid.IntRange(1, 5).Draw(t, "limit")}
		shards := make([]Iterator, rapid.IntRange(1, 4).Draw(t, "shards"))
		parts := make([][]string, len(shards))
		for i, k := range keys {
			parts[i%len(shards)] = append(parts[i%len(shards)], k)
		}
		for i := range shards {
			shards[i] = &Slice{Keys: parts[i]}
		}
		var got []string
		for {
			page, last, more := walk(Merge(shards...), q)
			require.LessOrEqual(t, len(page), q.Limit)
			got = append(got, page...)
			if !more {
				break
			}
			require.NotEmpty(t, page)
			q.After = last
		}
		require.Equal(t, entries(keys, q.Prefix, q.Delimiter), got)
	})
}

func TestAPageIsWhatLiesAboveAfter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := drawKeys(t)
		part := rapid.SampledFrom([]string{"", "a", "/", "ab", "a/", "\xff", "a/b", "b/"})
		q := Query{Prefix: part.Draw(t, "prefix"), Delimiter: part.Draw(t, "delimiter"), After: part.Draw(t, "after"), Limit: 100}
		var want []string
		for _, e := range entries(keys, q.Prefix, q.Delimiter) {
			// A common prefix is shown only if it is itself above After.
			if strings.TrimSuffix(e, "*") > q.After {
				want = append(want, e)
			}
		}
		got, _, more := walk(&Slice{Keys: keys}, q)
		require.False(t, more)
		require.Equal(t, want, got)
	})
}

func TestTheCostFollowsTheEntries(t *testing.T) {
	var keys []string
	for p := range 100 {
		for k := range 1000 {
			keys = append(keys, fmt.Sprintf("%03d/%04d", p, k))
		}
	}
	it := &Slice{Keys: keys}
	page, _, more := walk(it, Query{Delimiter: "/", Limit: 1000})
	require.Len(t, page, 100)
	require.False(t, more)
	require.LessOrEqual(t, it.Rows, 100*(nextBeforeSeek+1)+1)
}

func TestSuccessor(t *testing.T) {
	for prefix, want := range map[string]string{"a": "b", "a\xff": "b", "a\xff\xff": "b", "": "", "\xff": "", "a/": "a0"} {
		require.Equal(t, want, string(Successor([]byte(prefix))))
	}
}
