package metatest

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/meta"
)

// awkward are keys in their order: prefixes of others, every byte value, unusual delimiters.
func awkward() []string {
	keys := []string{"a", "a/", "a//b", "a/b", "a/b/c", "a0", "ab", "b/x/1", "b/x/2", "b/y", "c--d--e", "c--d-", "photos/2026/1", "photos/2026/2", "photos0", "\xff", "\xff\xff", "\xff\xff/x", "é", "a/../b", "./a"}
	for b := 1; b < 256; b++ {
		keys = append(keys, "all/"+string([]byte{byte(b)}), "all/x"+string([]byte{byte(b)})+"y")
	}
	sort.Strings(keys)
	return slices.Compact(keys)
}

// expected is the definition of a listing, without seeking.
func expected(all []string, r meta.List) (keys, prefixes []string) {
	for _, k := range all {
		if !strings.HasPrefix(k, r.Prefix) {
			continue
		}
		if r.Delimiter != "" {
			if i := strings.Index(k[len(r.Prefix):], r.Delimiter); i >= 0 {
				if p := k[:len(r.Prefix)+i+len(r.Delimiter)]; p > r.After && !slices.Contains(prefixes, p) {
					prefixes = append(prefixes, p)
				}
				continue
			}
		}
		if k > r.After {
			keys = append(keys, k)
		}
	}
	return keys, prefixes
}

var listTests = map[string]func(*suite){
	"A listing is what prefix, delimiter and After say, on pages of any size": func(s *suite) {
		all := awkward()
		for _, k := range all {
			s.inline(k, "x")
		}
		for _, r := range []meta.List{
			{}, {Prefix: "a"}, {Prefix: "all/"}, {Prefix: "\xff"}, {Prefix: "none"}, {Delimiter: "/"}, {Prefix: "a/", Delimiter: "/"}, {Prefix: "a", Delimiter: "/"},
			{Delimiter: "--"}, {Prefix: "c", Delimiter: "--"}, {Delimiter: "-"}, {Delimiter: "x"}, {Prefix: "all/", Delimiter: "x"}, {Delimiter: "\xff"}, {Prefix: "\xff", Delimiter: "\xff"},
			{After: "a"}, {After: "a/b"}, {After: "a/", Delimiter: "/"}, {After: "a/b", Delimiter: "/"}, {After: "photos/2026/1", Delimiter: "/"}, {After: "photos/", Delimiter: "/", Prefix: "photos/"},
			{After: "b/x/", Prefix: "b/", Delimiter: "/"}, {After: "zzz"}, {After: "zzz", Prefix: "a"}, {After: "A", Prefix: "b"}, {After: "\xff\xff/", Delimiter: "/"}, {After: "\xff\xff/x"}, {After: "all/\x80"},
		} {
			r.Bucket = s.bucket
			keys, prefixes := expected(all, r)
			for _, limit := range []int{1000, 7, 1} {
				if limit == 1 && len(keys) > 100 {
					continue
				}
				r.Limit = limit
				gotKeys, gotPrefixes := s.listAll(r)
				require.Equal(s, keys, gotKeys, "%+v", r)
				require.Equal(s, prefixes, gotPrefixes, "%+v", r)
			}
		}
	},
	"Buckets do not see each other's keys": func(s *suite) {
		other := s.createBucket("other")
		s.inline("k", "x")
		_, err := s.PutObject(s.ctx, put(other, "l", "x"))
		require.NoError(s, err)
		keys, _ := s.listAll(meta.List{Bucket: s.bucket, Limit: 10})
		require.Equal(s, []string{"k"}, keys)
		keys, _ = s.listAll(meta.List{Bucket: other, Limit: 10})
		require.Equal(s, []string{"l"}, keys)
	},
	"A listing sees what was written and deleted before": func(s *suite) {
		for i := range 20 {
			s.inline(fmt.Sprintf("k%02d", i), "x")
			if i%3 == 2 {
				_, err := s.DeleteObjects(s.ctx, s.bucket, []meta.Delete{{Key: fmt.Sprintf("k%02d", i/2)}})
				require.NoError(s, err)
			}
			keys, _ := s.listAll(meta.List{Bucket: s.bucket, Limit: 100, After: fmt.Sprintf("k%02d", i-1)})
			require.Equal(s, []string{fmt.Sprintf("k%02d", i)}, keys[:1])
		}
	},
	"The cost of a listing follows the entries returned": func(s *suite) {
		counter, ok := s.Store.(RowCounter)
		if !ok {
			return // the store does not count; its own benchmark shows the cost
		}
		for p := range 20 {
			for k := range 200 {
				s.inline(fmt.Sprintf("%02d/%03d", p, k), "x")
			}
		}
		before := counter.ListedRows()
		_, prefixes := s.listAll(meta.List{Bucket: s.bucket, Delimiter: "/", Limit: 1000})
		require.Len(s, prefixes, 20)
		require.LessOrEqual(s, counter.ListedRows()-before, int64(20*6))
	},
}
