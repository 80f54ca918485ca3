package api_test

import (
	"context"
	"encoding/xml"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/s3-gateway/api/apitest"
)

type objectList struct {
	Name, Prefix, Marker, NextMarker, Delimiter, EncodingType string
	StartAfter, ContinuationToken, NextContinuationToken      string
	KeyCount, MaxKeys                                         int
	IsTruncated                                               bool
	Contents                                                  []listed
	CommonPrefixes                                            []string `xml:"CommonPrefixes>Prefix"`
}

type listed struct {
	Key, LastModified, ETag, StorageClass, ChecksumAlgorithm, ChecksumType string
	Size                                                                   int64
	Owner                                                                  *struct{ ID string }
}

func (l objectList) keys() []string {
	keys := []string{}
	for _, o := range l.Contents {
		keys = append(keys, o.Key)
	}
	return keys
}

func list(t testing.TB, c *apitest.Client, query url.Values) (l objectList) {
	t.Helper()
	r := c.Do(apitest.Request{Method: "GET", Bucket: bucketName, Query: query.Encode()})
	require.Equal(t, 200, r.Status, "%s", r.Body)
	require.NoError(t, xml.Unmarshal(r.Body, &l), "%s", r.Body)
	return l
}

func values(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return q
}

// listAll lists all keys with a prefix, in small pages, percent-encoded, since XML knows not all characters.
func listAll(t testing.TB, c *apitest.Client, prefix string) (keys []string) {
	t.Helper()
	q := values("list-type", "2", "max-keys", "3", "encoding-type", "url", "prefix", prefix)
	for {
		l := list(t, c, q)
		for _, key := range l.keys() {
			plain, err := url.PathUnescape(key)
			require.NoError(t, err)
			keys = append(keys, plain)
		}
		if !l.IsTruncated {
			return keys
		}
		q.Set("continuation-token", l.NextContinuationToken)
	}
}

func TestListingsShowWhatIsThere(t *testing.T) {
	_, c := start(t, apitest.Options{})
	for _, key := range []string{"a", "b/1", "b/2", "c d", "c/1/x", "e&<>"} {
		put(t, c, key, []byte(key))
	}
	l := list(t, c, values("list-type", "2"))
	require.Equal(t, []string{"a", "b/1", "b/2", "c d", "c/1/x", "e&<>"}, l.keys())
	require.Equal(t, 6, l.KeyCount)
	require.Equal(t, 1000, l.MaxKeys)
	require.Equal(t, bucketName, l.Name)
	require.False(t, l.IsTruncated)
	first := l.Contents[0]
	require.Equal(t, `"0cc175b9c0f1b6a831c399e269772661"`, first.ETag)
	require.Equal(t, "STANDARD", first.StorageClass)
	require.EqualValues(t, 1, first.Size)
	require.Equal(t, "CRC64NVME", first.ChecksumAlgorithm)
	require.Nil(t, first.Owner)
	require.NotNil(t, list(t, c, values("list-type", "2", "fetch-owner", "true")).Contents[0].Owner)
	require.NotNil(t, list(t, c, values()).Contents[0].Owner)

	l = list(t, c, values("list-type", "2", "delimiter", "/"))
	require.Equal(t, []string{"a", "c d", "e&<>"}, l.keys())
	require.Equal(t, []string{"b/", "c/"}, l.CommonPrefixes)
	require.Equal(t, 5, l.KeyCount)
	l = list(t, c, values("list-type", "2", "delimiter", "/", "prefix", "b/"))
	require.Equal(t, []string{"b/1", "b/2"}, l.keys())
	l = list(t, c, values("list-type", "2", "delimiter", "/1/"))
	require.Equal(t, []string{"c/1/"}, l.CommonPrefixes)
	l = list(t, c, values("list-type", "2", "start-after", "b/1"))
	require.Equal(t, []string{"b/2", "c d", "c/1/x", "e&<>"}, l.keys())
	require.Equal(t, "b/1", l.StartAfter)
	l = list(t, c, values("list-type", "2", "encoding-type", "url", "prefix", "c ", "start-after", "c"))
	require.Equal(t, []string{"c%20d"}, l.keys())
	require.Equal(t, "c%20", l.Prefix)
	require.Equal(t, "url", l.EncodingType)
}

func TestAListingMayStartInsideACommonPrefix(t *testing.T) {
	_, c := start(t, apitest.Options{})
	for _, key := range []string{"a", "d/1", "d/2", "e/1", "f"} {
		put(t, c, key, nil)
	}
	q := values("list-type", "2", "delimiter", "/", "start-after", "d/1")
	l := list(t, c, q)
	require.Equal(t, []string{"d/", "e/"}, l.CommonPrefixes)
	require.Equal(t, []string{"f"}, l.keys())
	q.Set("start-after", "d/")
	require.Equal(t, []string{"d/", "e/"}, list(t, c, q).CommonPrefixes)
	q.Set("start-after", "d/2")
	require.Equal(t, []string{"e/"}, list(t, c, q).CommonPrefixes, "nothing is left behind it")
	l = list(t, c, values("delimiter", "/", "marker", "d/1"))
	require.Equal(t, []string{"e/"}, l.CommonPrefixes, "a marker has listed its prefix")

	q.Set("start-after", "d/1")
	q.Set("max-keys", "1")
	var got []string
	for {
		l := list(t, c, q)
		require.Equal(t, 1, l.KeyCount)
		got = append(append(got, l.CommonPrefixes...), l.keys()...)
		if !l.IsTruncated {
			break
		}
		q.Set("continuation-token", l.NextContinuationToken)
	}
	require.Equal(t, []string{"d/", "e/", "f"}, got)
}

func TestPagesFollowEachOtherWithoutGaps(t *testing.T) {
	_, c := start(t, apitest.Options{})
	var all, top []string
	for i := range 25 {
		key := "dir" + strconv.Itoa(i%5) + "/" + strconv.Itoa(i)
		put(t, c, key, nil)
	}
	all = listAll(t, c, "")
	require.Len(t, all, 25)

	q := values("max-keys", "4")
	var v1 []string
	for {
		l := list(t, c, q)
		v1 = append(v1, l.keys()...)
		require.Empty(t, l.NextMarker, "only with a delimiter")
		if !l.IsTruncated {
			break
		}
		q.Set("marker", l.Contents[len(l.Contents)-1].Key)
	}
	require.Equal(t, all, v1)

	q = values("max-keys", "2", "delimiter", "/")
	for {
		l := list(t, c, q)
		top = append(top, l.CommonPrefixes...)
		if !l.IsTruncated {
			break
		}
		require.NotEmpty(t, l.NextMarker)
		q.Set("marker", l.NextMarker)
	}
	require.Equal(t, []string{"dir0/", "dir1/", "dir2/", "dir3/", "dir4/"}, top)
}

// hiding is a store whose pages without delimiter end where it has looked at two keys, of which it does not show some.
type hiding struct{ meta.Store }

func (h hiding) List(ctx context.Context, r meta.List) (meta.Page, error) {
	if r.Delimiter != "" {
		return h.Store.List(ctx, r)
	}
	r.Limit = min(r.Limit, 2)
	page, err := h.Store.List(ctx, r)
	page.Objects = slices.DeleteFunc(page.Objects, func(o meta.Listed) bool { return strings.HasSuffix(o.Key, "hidden") })
	return page, err
}

func TestPagesMayBeEmptyAndNotTheLast(t *testing.T) {
	_, c := start(t, apitest.Options{Meta: func(s meta.Store) meta.Store { return hiding{s} }})
	for _, key := range []string{"a/1-hidden", "a/2-hidden", "a/3-hidden", "a/4-hidden", "a/5", "a/6-hidden", "b", "c-hidden", "d-hidden"} {
		put(t, c, key, nil)
	}
	want := []string{"a/5", "b"}
	require.Equal(t, want, listAll(t, c, ""))
	var v1 []string
	for q := values(); ; {
		l := list(t, c, q)
		if v1 = append(v1, l.keys()...); !l.IsTruncated {
			break
		}
		if len(l.Contents) == 0 || l.NextMarker != "" {
			require.Greater(t, l.NextMarker, q.Get("marker"))
			q.Set("marker", l.NextMarker)
			continue
		}
		q.Set("marker", l.Contents[len(l.Contents)-1].Key)
	}
	require.Equal(t, want, v1)
	l := list(t, c, values("list-type", "2", "delimiter", "/", "start-after", "a/1"))
	require.Equal(t, []string{"a/"}, l.CommonPrefixes, "it has a key behind, on a later page")
}

func TestListingArgumentsAreChecked(t *testing.T) {
	_, c := start(t, apitest.Options{})
	put(t, c, "a", nil)
	l := list(t, c, values("list-type", "2", "max-keys", "0"))
	require.Empty(t, l.Contents)
	require.False(t, l.IsTruncated)
	require.Equal(t, 1000, list(t, c, values("max-keys", "5000")).MaxKeys)
	for _, q := range []string{"max-keys=-1", "max-keys=x", "encoding-type=base64", "list-type=3", "list-type=2&continuation-token=", "list-type=2&continuation-token=%2A"} {
		r := c.Do(apitest.Request{Method: "GET", Bucket: bucketName, Query: q})
		require.Equal(t, "InvalidArgument", r.Code, q)
	}
}
