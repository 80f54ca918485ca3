package api_test

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/s3-gateway/api/apitest"
)

func TestCreatingABucketTellsWhoseItIsAlready(t *testing.T) {
	g, c := start(t, apitest.Options{})
	r := c.Do(apitest.Request{Method: "PUT", Bucket: "music"})
	require.Equal(t, 200, r.Status)
	require.Equal(t, "/music", r.Header.Get("Location"))

	r = c.Do(apitest.Request{Method: "PUT", Bucket: "music"})
	require.Equal(t, 409, r.Status)
	require.Equal(t, "BucketAlreadyOwnedByYou", r.Code)

	r = g.Other(t).Do(apitest.Request{Method: "PUT", Bucket: "music"})
	require.Equal(t, "AccessDenied", r.Code, "the second key may not create buckets")

	r = c.Do(apitest.Request{Method: "PUT", Bucket: "No_Bucket"})
	require.Equal(t, 400, r.Status)
	require.Equal(t, "InvalidBucketName", r.Code)
}

func TestABucketIsMadeOnlyWhereItIsAsked(t *testing.T) {
	_, c := start(t, apitest.Options{})
	create := func(name, body string) *apitest.Response {
		return c.Do(apitest.Request{Method: "PUT", Bucket: name, Body: []byte(body)})
	}
	const config = `<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><LocationConstraint>%s</LocationConstraint></CreateBucketConfiguration>`
	require.Equal(t, 200, create("here", fmt.Sprintf(config, apitest.Region)).Status)
	require.Equal(t, "IllegalLocationConstraintException", create("there", fmt.Sprintf(config, "eu-west-3")).Code)
	require.Equal(t, "MalformedXML", create("bad", "<CreateBucketConfiguration>").Code)
	require.Equal(t, "NotImplemented", create("directory", `<CreateBucketConfiguration><Bucket><Type>Directory</Type></Bucket></CreateBucketConfiguration>`).Code)

	r := c.Do(apitest.Request{Method: "GET", Bucket: "here", Query: "location"})
	require.Equal(t, 200, r.Status)
	require.Contains(t, string(r.Body), ">"+apitest.Region+"</LocationConstraint>")
	r = c.Do(apitest.Request{Method: "HEAD", Bucket: "here"})
	require.Equal(t, 200, r.Status)
	require.Equal(t, apitest.Region, r.Header.Get("x-amz-bucket-region"))
}

func TestOnlyAnEmptyBucketIsDeleted(t *testing.T) {
	_, c := start(t, apitest.Options{})
	put(t, c, "a", []byte("x"))
	r := c.Do(apitest.Request{Method: "DELETE", Bucket: bucketName})
	require.Equal(t, 409, r.Status)
	require.Equal(t, "BucketNotEmpty", r.Code)
	require.Equal(t, 204, c.Do(apitest.Request{Method: "DELETE", Bucket: bucketName, Key: "a"}).Status)
	require.Equal(t, 204, c.Do(apitest.Request{Method: "DELETE", Bucket: bucketName}).Status)
	r = c.Do(apitest.Request{Method: "DELETE", Bucket: bucketName})
	require.Equal(t, 404, r.Status)
	require.Equal(t, "NoSuchBucket", r.Code)
	require.Contains(t, string(r.Body), "<BucketName>"+bucketName+"</BucketName>")
	require.Equal(t, 404, c.Do(apitest.Request{Method: "HEAD", Bucket: bucketName}).Status)
}

type bucketList struct {
	Owner             struct{ ID string }
	Buckets           []struct{ Name, CreationDate, BucketRegion string } `xml:"Buckets>Bucket"`
	ContinuationToken string
	Prefix            string
}

func (l bucketList) names() (names []string) {
	for _, b := range l.Buckets {
		names = append(names, b.Name)
	}
	return names
}

func listBuckets(t *testing.T, c *apitest.Client, query string) (l bucketList) {
	t.Helper()
	r := c.Do(apitest.Request{Method: "GET", Query: query})
	require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
	require.NoError(t, xml.Unmarshal(r.Body, &l))
	return l
}

func TestBucketsAreListedInPagesToWhoMayUseThem(t *testing.T) {
	g, c := start(t, apitest.Options{})
	for _, name := range []string{"b-1", "b-2", "b-3", "a-1"} {
		require.Equal(t, 200, c.Do(apitest.Request{Method: "PUT", Bucket: name}).Status)
	}
	l := listBuckets(t, c, "")
	require.Equal(t, []string{"a-1", "b-1", "b-2", "b-3", bucketName}, l.names())
	require.Equal(t, apitest.AccessKey, l.Owner.ID)
	require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z$`, l.Buckets[0].CreationDate)

	l = listBuckets(t, c, "max-buckets=2&prefix=b-")
	require.Equal(t, []string{"b-1", "b-2"}, l.names())
	require.NotEmpty(t, l.ContinuationToken)
	l = listBuckets(t, c, "max-buckets=2&prefix=b-&continuation-token="+apitest.Escape(l.ContinuationToken))
	require.Equal(t, []string{"b-3"}, l.names())
	require.Empty(t, l.ContinuationToken)

	require.Empty(t, listBuckets(t, g.Other(t), "").names())
	grant(t, g, bucketName, apitest.OtherAccessKey, identity.Read)
	require.Equal(t, []string{bucketName}, listBuckets(t, g.Other(t), "").names())

	for _, query := range []string{"max-buckets=0", "max-buckets=10001", "max-buckets=x", "continuation-token=%21"} {
		require.Equal(t, "InvalidArgument", c.Do(apitest.Request{Method: "GET", Query: query}).Code, query)
	}
}

func grant(t *testing.T, g *apitest.Gateway, bucket, accessKey string, rights identity.Rights) {
	t.Helper()
	b, err := g.Meta.Bucket(t.Context(), bucket)
	require.NoError(t, err)
	require.NoError(t, g.Meta.SetGrant(t.Context(), b.ID, meta.Grant{Grantee: accessKey, Rights: rights}))
}
