package api_test

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/services/s3-gateway/api/apitest"
	"deuxfleurs.fr/garage/services/s3-gateway/sigv4/sigtest"
)

func trailer(name, value string) sigtest.Trailer { return sigtest.Trailer{Name: name, Value: value} }

func listParts(u *upload, query string) *apitest.Response {
	u.t.Helper()
	return u.c.Do(apitest.Request{Method: "GET", Bucket: bucketName, Key: u.key, Query: "uploadId=" + u.id + query})
}

type partsResult struct {
	Bucket, Key, UploadId, StorageClass              string
	Initiator, Owner                                 struct{ ID string }
	PartNumberMarker, NextPartNumberMarker, MaxParts int
	IsTruncated                                      bool
	Part                                             []struct {
		PartNumber int
		ETag       string
		Size       int
	}
}

func TestPartsAreListedInPages(t *testing.T) {
	_, c := start(t, apitest.Options{})
	u := begin(t, c, "a&b", nil)
	for _, n := range []int{3, 1, 10000, 5} {
		u.part(n, random(n))
	}
	read := func(query string) (p partsResult) {
		r := listParts(u, query)
		require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
		require.NoError(t, xml.Unmarshal(r.Body, &p))
		return p
	}
	p := read("")
	require.Equal(t, "a&b", p.Key)
	require.Equal(t, u.id, p.UploadId)
	require.Equal(t, "STANDARD", p.StorageClass)
	require.Equal(t, apitest.AccessKey, p.Initiator.ID)
	require.Equal(t, apitest.AccessKey, p.Owner.ID)
	require.Len(t, p.Part, 4)
	require.Equal(t, 1, p.Part[0].PartNumber)
	require.Equal(t, 10000, p.Part[3].Size)
	require.Equal(t, etagOf(random(3)), p.Part[1].ETag)
	require.False(t, p.IsTruncated)

	p = read("&max-parts=2")
	require.True(t, p.IsTruncated)
	require.Equal(t, 3, p.NextPartNumberMarker)
	require.Equal(t, 2, p.MaxParts)
	p = read("&max-parts=2&part-number-marker=3")
	require.Len(t, p.Part, 2)
	require.False(t, p.IsTruncated)
	require.Equal(t, 3, p.PartNumberMarker)
	require.Empty(t, read("&max-parts=0").Part)
	require.Equal(t, 1000, read("&max-parts=5000").MaxParts)
	for _, query := range []string{"&max-parts=-1", "&max-parts=x", "&part-number-marker=x"} {
		require.Equal(t, "InvalidArgument", listParts(u, query).Code, query)
	}
}

type uploadsResult struct {
	KeyMarker, UploadIdMarker, NextKeyMarker, NextUploadIdMarker, Prefix, Delimiter, EncodingType string
	MaxUploads                                                                                    int
	IsTruncated                                                                                   bool
	Upload                                                                                        []struct {
		Key, UploadId, Initiated, StorageClass string
		Initiator, Owner                       struct{ ID string }
	}
	CommonPrefixes []struct{ Prefix string }
}

func listUploads(t testing.TB, c *apitest.Client, query string) (u uploadsResult) {
	t.Helper()
	r := c.Do(apitest.Request{Method: "GET", Bucket: bucketName, Query: "uploads&" + query})
	require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
	require.NoError(t, xml.Unmarshal(r.Body, &u))
	return u
}

func TestUploadsAreListed(t *testing.T) {
	_, c := start(t, apitest.Options{})
	ids := map[string]bool{}
	for _, key := range []string{"b", "a/1", "a/2", "b", "c d"} {
		ids[begin(t, c, key, nil).id] = true
	}
	put(t, c, "object", random(100_000)) // a single upload is not listed
	begin(t, c, "aborted", nil).abort()

	all := listUploads(t, c, "")
	require.Len(t, all.Upload, 5)
	var keys []string
	for _, u := range all.Upload {
		keys = append(keys, u.Key)
		require.True(t, ids[u.UploadId])
		require.Equal(t, apitest.AccessKey, u.Initiator.ID)
		require.NotEmpty(t, u.Initiated)
	}
	require.Equal(t, []string{"a/1", "a/2", "b", "b", "c d"}, keys)
	require.False(t, all.IsTruncated)
	require.Equal(t, 1000, all.MaxUploads)

	d := listUploads(t, c, "delimiter=/")
	require.Equal(t, "a/", d.CommonPrefixes[0].Prefix)
	require.Len(t, d.Upload, 3)
	require.Len(t, listUploads(t, c, "prefix=a/").Upload, 2)
	e := listUploads(t, c, "encoding-type=url&prefix=c")
	require.Equal(t, "c%20d", e.Upload[0].Key)
	require.Equal(t, "url", e.EncodingType)
	require.Len(t, listUploads(t, c, "key-marker=a/2").Upload, 3)
	require.Empty(t, listUploads(t, c, "max-uploads=0").Upload)
	for _, query := range []string{"encoding-type=x", "max-uploads=-1", "key-marker=b&upload-id-marker=x"} {
		r := c.Do(apitest.Request{Method: "GET", Bucket: bucketName, Query: "uploads&" + query})
		require.Equal(t, "InvalidArgument", r.Code, query)
	}
}

func TestPagesOfUploadsMissNothing(t *testing.T) {
	_, c := start(t, apitest.Options{})
	want := map[string]bool{}
	for i := range 12 {
		want[begin(t, c, fmt.Sprintf("dir%d/k%d", i%3, i%5), nil).id] = true
		want[begin(t, c, fmt.Sprintf("top%d", i%2), nil).id] = true
	}
	for _, size := range []int{1, 2, 5, 1000} {
		for _, delimiter := range []string{"", "/"} {
			got, prefixes := map[string]bool{}, map[string]bool{}
			query := fmt.Sprintf("max-uploads=%d&delimiter=%s", size, delimiter)
			for page, more := listUploads(t, c, query), true; more; {
				for _, u := range page.Upload {
					require.False(t, got[u.UploadId], "listed twice")
					got[u.UploadId] = true
				}
				for _, p := range page.CommonPrefixes {
					require.False(t, prefixes[p.Prefix], "listed twice")
					prefixes[p.Prefix] = true
				}
				if more = page.IsTruncated; more {
					page = listUploads(t, c, query+"&key-marker="+url.QueryEscape(page.NextKeyMarker)+"&upload-id-marker="+page.NextUploadIdMarker)
				}
			}
			if delimiter == "" {
				require.Equal(t, want, got)
			} else {
				require.Len(t, got, 12)
				require.Len(t, prefixes, 3)
			}
		}
	}
}
