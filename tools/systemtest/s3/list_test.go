package s3

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func fill(t *testing.T, bucket string, keys ...string) {
	t.Helper()
	var wg sync.WaitGroup
	for part := range slices.Chunk(keys, (len(keys)+7)/8) {
		wg.Go(func() {
			for _, key := range part {
				resp, err := client.Do(t.Context(), request{Method: "PUT", Bucket: bucket, Key: key, Body: []byte(key)})
				if err != nil || resp.Status != 200 {
					t.Errorf("put %q: %v %+v", key, err, resp)
					return
				}
			}
		})
	}
	wg.Wait()
	require.False(t, t.Failed())
}

func TestListingFiltersAndGroups(t *testing.T) {
	bucket := newBucket(t)
	fill(t, bucket, "a", "b/1", "b/2", "b/c/3", "b/c/4", "c", "d/", "d//x", "é", "z/1")
	for _, c := range []struct {
		query          string
		keys, prefixes []string
	}{
		{"", []string{"a", "b/1", "b/2", "b/c/3", "b/c/4", "c", "d/", "d//x", "z/1", "é"}, []string{}},
		{"prefix=b%2F", []string{"b/1", "b/2", "b/c/3", "b/c/4"}, []string{}},
		{"prefix=b", []string{"b/1", "b/2", "b/c/3", "b/c/4"}, []string{}},
		{"delimiter=%2F", []string{"a", "c", "é"}, []string{"b/", "d/", "z/"}},
		{"delimiter=%2F&prefix=b%2F", []string{"b/1", "b/2"}, []string{"b/c/"}},
		{"delimiter=%2F&prefix=d%2F", []string{"d/"}, []string{"d//"}},
		{"delimiter=%2Fc%2F", []string{"a", "b/1", "b/2", "c", "d/", "d//x", "z/1", "é"}, []string{"b/c/"}},
		{"start-after=b%2Fc%2F3", []string{"b/c/4", "c", "d/", "d//x", "z/1", "é"}, []string{}},
		{"start-after=bz&delimiter=%2F", []string{"c", "é"}, []string{"d/", "z/"}},
		{"prefix=none", []string{}, []string{}},
		{"max-keys=0", []string{}, []string{}},
	} {
		t.Run(c.query, func(t *testing.T) {
			l := listObjects(t, bucket, c.query)
			require.Equal(t, c.keys, l.keys())
			require.Equal(t, c.prefixes, l.prefixes())
			require.Equal(t, len(c.keys)+len(c.prefixes), l.KeyCount)
			require.False(t, l.IsTruncated)
			require.Equal(t, bucket, l.Name)
		})
	}
}

func TestListingPagesMeetWithoutGapOrOverlap(t *testing.T) {
	bucket := newBucket(t)
	var keys []string
	for i := range 57 {
		keys = append(keys, fmt.Sprintf("p%d/k%02d", i%5, i))
	}
	keys = append(keys, "q", "r/", "r/x")
	fill(t, bucket, keys...)
	slices.Sort(keys)
	for _, size := range []int{1, 2, 7, 59, 60, 61} {
		var got []string
		token := ""
		for {
			query := fmt.Sprintf("max-keys=%d", size)
			if token != "" {
				query += "&continuation-token=" + escape(token)
			}
			l := listObjects(t, bucket, query)
			require.LessOrEqual(t, len(l.Contents), size)
			require.Equal(t, token, l.ContinuationToken)
			got = append(got, l.keys()...)
			require.Equal(t, l.IsTruncated, l.NextContinuationToken != "")
			if token = l.NextContinuationToken; token == "" {
				break
			}
		}
		require.Equal(t, keys, got, "pages of %d", size)
	}
	for _, size := range []int{1, 2, 3, 7} {
		var entries []string
		token := ""
		for {
			query := fmt.Sprintf("delimiter=%%2F&max-keys=%d", size)
			if token != "" {
				query += "&continuation-token=" + escape(token)
			}
			l := listObjects(t, bucket, query)
			entries = append(entries, append(l.keys(), l.prefixes()...)...)
			if token = l.NextContinuationToken; token == "" {
				break
			}
		}
		slices.Sort(entries)
		require.Equal(t, []string{"p0/", "p1/", "p2/", "p3/", "p4/", "q", "r/"}, entries, "pages of %d", size)
	}
}

func TestListingVersionOne(t *testing.T) {
	bucket := newBucket(t)
	fill(t, bucket, "a", "b/1", "b/2", "c", "d/1")
	list := func(query string) (l listing) {
		parse(t, ok(t, request{Method: "GET", Bucket: bucket, Query: query}).Body, &l)
		return l
	}
	require.Equal(t, []string{"a", "b/1", "b/2", "c", "d/1"}, list("").keys())
	require.NotNil(t, list("").Contents[0].Owner, "version one names the owner")
	require.Equal(t, []string{"c", "d/1"}, list("marker=b%2F2").keys())
	first := list("delimiter=%2F&max-keys=2")
	require.True(t, first.IsTruncated)
	require.Equal(t, []string{"a"}, first.keys())
	require.Equal(t, []string{"b/"}, first.prefixes())
	require.Equal(t, "b/", first.NextMarker)
	second := list("delimiter=%2F&max-keys=2&marker=" + escape(first.NextMarker))
	require.Equal(t, []string{"c"}, second.keys())
	require.Equal(t, []string{"d/"}, second.prefixes())
	require.False(t, second.IsTruncated)
}

func TestListingOwnerOnlyWhenAsked(t *testing.T) {
	bucket := newBucket(t)
	fill(t, bucket, "a")
	require.Nil(t, listObjects(t, bucket, "").Contents[0].Owner)
	owner := listObjects(t, bucket, "fetch-owner=true").Contents[0].Owner
	require.NotNil(t, owner)
	require.NotEmpty(t, owner.ID)
	require.Equal(t, "STANDARD", listObjects(t, bucket, "").Contents[0].StorageClass)
}

func TestListingEncodesKeysWhenAsked(t *testing.T) {
	bucket := newBucket(t)
	keys := []string{"a b", "a+b", "a%2Fb", "a&<>\"'b", "é/ü", "tab\tnewline\n", "日本/語"}
	fill(t, bucket, keys...)
	slices.Sort(keys)
	l := listObjects(t, bucket, "encoding-type=url")
	require.Equal(t, "url", l.EncodingType)
	var got []string
	for _, key := range l.keys() {
		plain, err := url.QueryUnescape(key)
		require.NoError(t, err)
		got = append(got, plain)
		require.Equal(t, -1, strings.IndexFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }), "%q is encoded", key)
	}
	require.Equal(t, keys, got)
	refused(t, 400, "InvalidArgument", request{Method: "GET", Bucket: bucket, Query: "list-type=2&encoding-type=other"})
}

func TestListingRefusesBadParameters(t *testing.T) {
	bucket := newBucket(t)
	for _, query := range []string{"max-keys=-1", "max-keys=many", "continuation-token=nonsense%21", "max-keys=99999999999999999999"} {
		refused(t, 400, "InvalidArgument", request{Method: "GET", Bucket: bucket, Query: "list-type=2&" + query})
	}
}

func TestListingNeverReturnsOverAThousand(t *testing.T) {
	bucket := newBucket(t)
	var keys []string
	for i := range 1005 {
		keys = append(keys, fmt.Sprintf("%05d", i))
	}
	fill(t, bucket, keys...)
	l := listObjects(t, bucket, "max-keys=5000")
	require.Equal(t, 1000, len(l.Contents))
	require.Equal(t, 1000, l.MaxKeys)
	require.True(t, l.IsTruncated)
	rest := listObjects(t, bucket, "continuation-token="+escape(l.NextContinuationToken))
	require.Equal(t, keys, append(l.keys(), rest.keys()...))
	deleteAll(t, bucket, keys[:1000])
	require.Equal(t, keys[1000:], listObjects(t, bucket, "").keys())
}
