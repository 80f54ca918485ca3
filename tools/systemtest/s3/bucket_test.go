package s3

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type bucketList struct {
	Owner   struct{ ID string }
	Buckets struct {
		Bucket []struct {
			Name         string
			CreationDate time.Time
		}
	}
	ContinuationToken, Prefix string
}

func (l bucketList) names() []string {
	var names []string
	for _, b := range l.Buckets.Bucket {
		names = append(names, b.Name)
	}
	return names
}

func TestBucketsComeAndGo(t *testing.T) {
	name := newBucket(t)
	require.Equal(t, 200, do(t, request{Method: "HEAD", Bucket: name}).Status)
	var list bucketList
	parse(t, ok(t, request{Method: "GET"}).Body, &list)
	require.Contains(t, list.names(), name)
	require.NotEmpty(t, list.Owner.ID)
	put(t, name, "key", nil)
	refused(t, 409, "BucketNotEmpty", request{Method: "DELETE", Bucket: name})
	ok(t, request{Method: "DELETE", Bucket: name, Key: "key"})
	require.Equal(t, 204, ok(t, request{Method: "DELETE", Bucket: name}).Status)
	require.Equal(t, 404, do(t, request{Method: "HEAD", Bucket: name}).Status)
	refused(t, 404, "NoSuchBucket", request{Method: "DELETE", Bucket: name})
	refused(t, 404, "NoSuchBucket", request{Method: "GET", Bucket: name, Query: "list-type=2"})
	refused(t, 404, "NoSuchBucket", request{Method: "GET", Bucket: name, Key: "key"})
	refused(t, 404, "NoSuchBucket", request{Method: "PUT", Bucket: name, Key: "key", Body: []byte("x")})
	refused(t, 404, "NoSuchBucket", request{Method: "POST", Bucket: name, Key: "key", Query: "uploads="})
}

func TestABucketOnceDeletedStartsEmpty(t *testing.T) {
	name := newBucket(t)
	put(t, name, "key", random(100_000))
	ok(t, request{Method: "DELETE", Bucket: name, Key: "key"})
	ok(t, request{Method: "DELETE", Bucket: name})
	ok(t, request{Method: "PUT", Bucket: name})
	empty(t, name)
}

func TestCreatingOnesOwnBucketAgain(t *testing.T) {
	name := newBucket(t)
	put(t, name, "key", []byte("stays"))
	resp := do(t, request{Method: "PUT", Bucket: name})
	require.Contains(t, []int{200, 409}, resp.Status)
	if resp.Status == 409 {
		require.Equal(t, "BucketAlreadyOwnedByYou", resp.Code)
	}
	require.Equal(t, "stays", string(get(t, name, "key")))
}

func TestBucketListingPages(t *testing.T) {
	stem := newBucket(t)
	for _, suffix := range []string{"-a", "-b", "-c", "-d", "-e"} {
		ok(t, request{Method: "PUT", Bucket: stem + suffix})
	}
	var names []string
	token := ""
	for page := 0; ; page++ {
		require.Less(t, page, 5)
		query := "max-buckets=2&prefix=" + stem + "-"
		if token != "" {
			query += "&continuation-token=" + strings.NewReplacer("+", "%2B", "/", "%2F", "=", "%3D").Replace(token)
		}
		var list bucketList
		parse(t, ok(t, request{Method: "GET", Query: query}).Body, &list)
		require.LessOrEqual(t, len(list.Buckets.Bucket), 2)
		names = append(names, list.names()...)
		if token = list.ContinuationToken; token == "" {
			break
		}
	}
	require.Equal(t, []string{stem + "-a", stem + "-b", stem + "-c", stem + "-d", stem + "-e"}, names)
}

func TestBucketLocation(t *testing.T) {
	name := newBucket(t)
	var location struct {
		Value string `xml:",chardata"`
	}
	parse(t, ok(t, request{Method: "GET", Bucket: name, Query: "location="}).Body, &location)
	require.Contains(t, []string{client.Region, ""}, location.Value)
	refused(t, 404, "NoSuchBucket", request{Method: "GET", Bucket: name + "x", Query: "location="})
}

func TestBucketNamesFollowTheRules(t *testing.T) {
	for _, name := range []string{
		"ab", strings.Repeat("a", 64), "Upper", "under_score", "-begins", "ends-", "two..dots", "192.168.5.4", "xn--puny", "sp%20ace", "a+b",
	} {
		resp := do(t, request{Method: "PUT", Bucket: name})
		require.Equal(t, 400, resp.Status, name)
		require.Equal(t, "InvalidBucketName", resp.Code, name)
	}
	for _, name := range []string{"a.b.c", "abc", "123", strings.Repeat("z", 63)} {
		if resp := do(t, request{Method: "PUT", Bucket: name}); resp.Status != 409 {
			require.Equal(t, 200, resp.Status, name)
		}
		ok(t, request{Method: "DELETE", Bucket: name})
	}
}

func TestABucketWithABodyNamingARegion(t *testing.T) {
	name := newBucket(t)
	body := func(region string) []byte {
		return []byte(`<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><LocationConstraint>` +
			region + `</LocationConstraint></CreateBucketConfiguration>`)
	}
	ok(t, request{Method: "PUT", Bucket: name + "-here", Body: body(client.Region)})
	away := do(t, request{Method: "PUT", Bucket: name + "-away", Body: body("atlantis-7")})
	require.Equal(t, 400, away.Status)
	require.Contains(t, []string{"InvalidLocationConstraint", "IllegalLocationConstraintException"}, away.Code)
	refused(t, 400, "MalformedXML", request{Method: "PUT", Bucket: name + "-bad", Body: []byte("<nothing")})
	require.Equal(t, 404, do(t, request{Method: "HEAD", Bucket: name + "-bad"}).Status)
}
