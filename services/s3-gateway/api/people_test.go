package api_test

import (
	"context"
	"encoding/xml"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/services/s3-gateway/api"
	"deuxfleurs.fr/garage/services/s3-gateway/api/apitest"
)

// directory holds people as a directory would, by their access keys.
type directory struct {
	mu     sync.Mutex
	people map[string]identity.Identity
	away   bool
}

func (d *directory) Find(_ context.Context, accessKey string) (identity.Identity, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away {
		return identity.Identity{}, errors.Newf(errors.Unavailable, "the directory is away")
	}
	id, known := d.people[accessKey]
	if !known {
		return identity.Identity{}, errors.E(errors.NotFound, errors.AccessKey, accessKey, "")
	}
	id.AccessKey, id.Secret = accessKey, "secret of "+accessKey
	return id, nil
}

func (d *directory) set(accessKey string, id identity.Identity) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.people[accessKey] = id
}

// startWithPeople runs a gateway with one bucket of a built-in key, and Ann in a directory.
func startWithPeople(t *testing.T) (*apitest.Gateway, *directory, *apitest.Client) {
	t.Helper()
	d := &directory{people: map[string]identity.Identity{
		"ANN": {Name: "ann", Principals: []string{identity.Person("ann"), identity.Group("staff"), identity.Group("operators")}},
	}}
	g, _ := start(t, apitest.Options{Identities: d})
	return g, d, g.As(t, "ANN", "secret of ANN")
}

func TestRightsComeFromEveryPrincipalAndFromGroups(t *testing.T) {
	g, d, ann := startWithPeople(t)
	put(t, g.Client(t), "a", []byte("old"))
	who := identity.Identity{Name: "ann", Principals: []string{identity.Person("ann"), identity.Group("staff")}}
	grantTo := func(grantee string) func(identity.Rights) {
		return func(r identity.Rights) { grant(t, g, bucketName, grantee, r) }
	}
	carried := func(bucket string) func(identity.Rights) {
		return func(r identity.Rights) {
			id := who
			id.Buckets = map[string]identity.Rights{bucket: r, "another": identity.All}
			d.set("ANN", id)
		}
	}
	for _, way := range []struct {
		name   string
		give   func(identity.Rights)
		allows bool
	}{
		{"a grant to the person", grantTo(identity.Person("ann")), true},
		{"a grant to a group", grantTo(identity.Group("staff")), true},
		{"a group with the bucket", carried(bucketName), true},
		{"a group with every bucket", carried(identity.EveryBucket), true},
		{"a grant to somebody else", grantTo(identity.Person("anna")), false},
		{"a grant to another group", grantTo(identity.Group("operators")), false},
		{"a group with another bucket", carried("photos2"), false},
	} {
		d.set("ANN", who)
		for _, op := range someOperations {
			for rights := identity.Rights(0); rights <= identity.All; rights++ {
				way.give(rights)
				r := ann.Do(op.request)
				if way.allows && rights.Has(op.right) {
					require.NotEqual(t, http.StatusForbidden, r.Status, "%s with %v by %s", op.name, rights, way.name)
				} else {
					require.Equal(t, http.StatusForbidden, r.Status, "%s with %v by %s", op.name, rights, way.name)
				}
			}
		}
		way.give(0)
	}
}

func TestRightsOfSeveralPrincipalsAddUp(t *testing.T) {
	g, d, ann := startWithPeople(t)
	put(t, g.Client(t), "a", []byte("old"))
	list := apitest.Request{Method: "GET", Bucket: bucketName}
	deleteBucket := apitest.Request{Method: "DELETE", Bucket: bucketName}
	grant(t, g, bucketName, identity.Group("staff"), identity.Read)
	grant(t, g, bucketName, identity.Person("ann"), identity.Write)
	copied := apitest.Request{Method: "PUT", Bucket: bucketName, Key: "b", Header: map[string]string{"x-amz-copy-source": bucketName + "/a"}}
	require.Equal(t, 200, ann.Do(copied).Status)
	require.Equal(t, 403, ann.Do(deleteBucket).Status)
	d.set("ANN", identity.Identity{Name: "ann", Principals: []string{identity.Person("ann")}, Buckets: map[string]identity.Rights{bucketName: identity.Owner}})
	require.Equal(t, 403, ann.Do(list).Status, "she has left the group")
	require.Equal(t, "BucketNotEmpty", ann.Do(deleteBucket).Code)
}

func TestAnAccessKeyOfADirectoryGetsNothingThatWasGrantedToAKey(t *testing.T) {
	g, d, _ := startWithPeople(t)
	require.NoError(t, g.Meta.DeleteKey(t.Context(), apitest.OtherAccessKey))
	d.set(apitest.AccessKey, identity.Identity{Name: "mallory", Principals: []string{identity.Person("mallory")}})
	mallory := g.As(t, apitest.AccessKey, "secret of "+apitest.AccessKey)
	require.Equal(t, "SignatureDoesNotMatch", mallory.Do(apitest.Request{Method: "GET", Bucket: bucketName}).Code)
	require.Equal(t, 200, g.Client(t).Do(apitest.Request{Method: "GET", Bucket: bucketName}).Status)
}

func TestPeopleSeeTheBucketsThatTheyMayUse(t *testing.T) {
	g, d, ann := startWithPeople(t)
	for _, name := range []string{"b-1", "b-2", "b-3", "b-4", "b-5"} {
		require.Equal(t, 200, g.Client(t).Do(apitest.Request{Method: "PUT", Bucket: name}).Status)
	}
	require.Empty(t, listBuckets(t, ann, "").names())
	grant(t, g, "b-1", identity.Person("ann"), identity.Read)
	grant(t, g, "b-3", identity.Group("staff"), identity.Write)
	grant(t, g, "b-4", identity.Person("ben"), identity.All)
	l := listBuckets(t, ann, "")
	require.Equal(t, []string{"b-1", "b-3"}, l.names())
	require.Equal(t, "person:ann", l.Owner.ID)
	id := identity.Identity{Name: "ann", Principals: []string{identity.Person("ann")}, Buckets: map[string]identity.Rights{"b-5": identity.Read, "b-2": 0, "missing": identity.All}}
	d.set("ANN", id)
	require.Equal(t, []string{"b-1", "b-5"}, listBuckets(t, ann, "").names())
	require.Equal(t, []string{"b-5"}, listBuckets(t, ann, "prefix=b-5").names())
	id.Buckets[identity.EveryBucket] = identity.Read
	d.set("ANN", id)
	require.Len(t, listBuckets(t, ann, "").names(), 6)
	d.set("ANN", identity.Identity{Name: "nobody"})
	require.Empty(t, listBuckets(t, ann, "").names(), "who is nobody sees nothing")
	require.Equal(t, 403, ann.Do(apitest.Request{Method: "GET", Bucket: "b-1"}).Status)
}

func TestABucketBelongsToThePersonNotToTheAccessKey(t *testing.T) {
	g, d, ann := startWithPeople(t)
	create := apitest.Request{Method: "PUT", Bucket: "anns"}
	require.Equal(t, "AccessDenied", ann.Do(create).Code)
	d.set("ANN", identity.Identity{Name: "ann", CreateBuckets: true, Principals: []string{identity.Person("ann")}})
	require.Equal(t, 200, ann.Do(create).Status)
	b, err := g.Meta.Bucket(t.Context(), "anns")
	require.NoError(t, err)
	require.Equal(t, "person:ann", b.Owner)
	require.Equal(t, identity.All, b.Rights(identity.Person("ann")))
	require.Equal(t, "BucketAlreadyOwnedByYou", ann.Do(create).Code)
	require.Equal(t, "BucketAlreadyExists", g.Client(t).Do(create).Code)

	d.set("ANN2", d.people["ANN"])
	delete(d.people, "ANN")
	require.Equal(t, "InvalidAccessKeyId", ann.Do(create).Code)
	ann = g.As(t, "ANN2", "secret of ANN2")
	require.Equal(t, "BucketAlreadyOwnedByYou", ann.Do(create).Code)
	owned := apitest.Request{Method: "PUT", Bucket: "anns", Key: "k", Body: []byte("x"), Header: map[string]string{"x-amz-expected-bucket-owner": "person:ann"}}
	require.Equal(t, 200, ann.Do(owned).Status)

	r := ann.Do(apitest.Request{Method: "POST", Bucket: "anns", Key: "m", Query: "uploads="})
	require.Equal(t, 200, r.Status)
	r = ann.Do(apitest.Request{Method: "GET", Bucket: "anns", Query: "uploads="})
	var uploads struct {
		Upload []struct{ Initiator struct{ ID string } }
	}
	require.NoError(t, xml.Unmarshal(r.Body, &uploads))
	require.Equal(t, "person:ann", uploads.Upload[0].Initiator.ID)
}

func TestADirectoryThatIsAwayIsNoRefusal(t *testing.T) {
	g, d, ann := startWithPeople(t)
	d.away = true
	for _, r := range []apitest.Request{
		{Method: "GET"}, {Method: "GET", Bucket: bucketName}, {Method: "PUT", Bucket: "anns"},
		{Method: "GET", Bucket: bucketName, Key: "a", Presign: time.Minute},
	} {
		answer := ann.Do(r)
		require.Equal(t, http.StatusServiceUnavailable, answer.Status)
		require.Equal(t, "ServiceUnavailable", answer.Code)
		require.Equal(t, "1", answer.Header.Get("Retry-After"))
	}
	require.Equal(t, 200, g.Client(t).Do(apitest.Request{Method: "GET", Bucket: bucketName}).Status, "built-in keys work without it")
	d.away = false
	require.Equal(t, 403, ann.Do(apitest.Request{Method: "GET", Bucket: bucketName}).Status)
}

func TestAMembershipThatEndsEndsWhatABucketKeptInMemoryAllows(t *testing.T) {
	d := &directory{people: map[string]identity.Identity{"ANN": {Name: "ann", Principals: []string{identity.Person("ann"), identity.Group("staff")}}}}
	g, _ := start(t, apitest.Options{Identities: d, API: func(c *api.Config) { c.CacheTime = time.Hour }})
	grant(t, g, bucketName, identity.Group("staff"), identity.Read)
	ann, list := g.As(t, "ANN", "secret of ANN"), apitest.Request{Method: "GET", Bucket: bucketName}
	require.Equal(t, 200, ann.Do(list).Status)
	d.set("ANN", identity.Identity{Name: "ann", Principals: []string{identity.Person("ann")}})
	require.Equal(t, 403, ann.Do(list).Status)
}
