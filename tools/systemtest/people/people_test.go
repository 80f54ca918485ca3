package people

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/s3client"
	"deuxfleurs.fr/garage/tools/systemtest/load"
)

func TestPeopleAndGroups(t *testing.T) {
	f := setUp(t)
	t.Run("A group carries rights on a bucket", func(t *testing.T) { f.on(t).groupCarriesRights() })
	t.Run("Who leaves a group loses what it gave", func(t *testing.T) { f.on(t).leavingAGroup() })
	t.Run("Who is removed may do nothing", func(t *testing.T) { f.on(t).removedPerson() })
	t.Run("Grants to people and groups", func(t *testing.T) { f.on(t).grants() })
	t.Run("LDAP is stopped and started under load", func(t *testing.T) { f.on(t).stoppedUnderLoad() })
}

func (f *fixture) on(t *testing.T) *fixture {
	sub := *f
	sub.T = t
	return &sub
}

var (
	list   = s3client.Request{Method: "GET", Bucket: photosBucket}
	upload = s3client.Request{Method: "PUT", Bucket: photosBucket, Key: "of-ben", Body: []byte("a photo")}
)

func (f *fixture) groupCarriesRights() {
	f.bucket(photosBucket)
	require.Equal(f, 200, f.do(f.as(ben), upload).Status)
	require.Equal(f, 200, f.do(f.as(ben), list).Status)
	require.Equal(f, 403, f.do(f.as(ben), s3client.Request{Method: "DELETE", Bucket: photosBucket}).Status)
	require.Equal(f, 403, f.do(f.as(ben), s3client.Request{Method: "PUT", Bucket: "of-ben"}).Status, "he may not create buckets")
	require.Contains(f, string(f.do(f.as(ben), s3client.Request{Method: "GET"}).Body), "<Name>photos</Name>")

	read := s3client.Request{Method: "GET", Bucket: photosBucket, Key: "of-ben"}
	resp := f.do(f.as(machine), read)
	require.Equal(f, 200, resp.Status)
	require.Equal(f, "a photo", string(resp.Body))
	require.Equal(f, 403, f.do(f.as(machine), upload).Status)
	require.Equal(f, 403, f.do(f.as(person{ben.accessKey, ann.secret}), list).Status)
	require.Equal(f, "InvalidAccessKeyId", f.do(f.as(person{"GKNOBODY", "x"}), list).Code)
}

func (f *fixture) leavingAGroup() {
	f.bucket(photosBucket)
	require.Equal(f, 200, f.do(f.as(ben), upload).Status)
	f.group(func(r *ldap.ModifyRequest) { r.Delete("member", []string{benDN}) })
	f.settles()
	for range 20 {
		require.Equal(f, 403, f.do(f.as(ben), upload).Status)
		require.Equal(f, 403, f.do(f.as(ben), list).Status)
	}
	f.group(func(r *ldap.ModifyRequest) { r.Add("member", []string{benDN}) })
	f.settles()
	require.Equal(f, 200, f.do(f.as(ben), upload).Status)
}

func (f *fixture) removedPerson() {
	f.bucket(photosBucket)
	cleo, remove := f.newPerson("cleo")
	require.Equal(f, 403, f.do(f.as(cleo), list).Status, "she is somebody, with no rights")
	require.Equal(f, 200, f.do(f.as(cleo), s3client.Request{Method: "GET"}).Status)
	remove()
	f.settles()
	require.Equal(f, "InvalidAccessKeyId", f.do(f.as(cleo), s3client.Request{Method: "GET"}).Code)
}

func (f *fixture) grants() {
	bucket := f.bucket("of-ann")
	get := s3client.Request{Method: "GET", Bucket: bucket}
	put := s3client.Request{Method: "PUT", Bucket: bucket, Key: "key", Body: []byte("x")}
	require.Equal(f, 403, f.do(f.as(ben), get).Status)
	cli := func(args ...string) {
		f.Helper()
		_, err := f.target.CLI(f.context(), args...)
		require.NoError(f, err)
	}
	cli("bucket", "allow", bucket, "--read", "--person", "ben")
	cli("bucket", "allow", bucket, "--write", "--group", "photographers")
	require.Equal(f, 200, f.do(f.as(ben), get).Status)
	require.Equal(f, 200, f.do(f.as(ben), put).Status)
	require.Equal(f, 403, f.do(f.as(machine), put).Status)
	cli("bucket", "deny", bucket, "--read", "--person", "ben")
	cli("bucket", "deny", bucket, "--write", "--group", "photographers")
	f.settles()
	require.Equal(f, 403, f.do(f.as(ben), get).Status)
	require.Equal(f, 403, f.do(f.as(ben), put).Status)
}

func (f *fixture) stoppedUnderLoad() {
	dora, remove := f.newPerson("dora")
	defer func() { remove() }()
	seed := uint64(time.Now().UnixNano())
	f.Logf("seed %d", seed)
	l := load.New(load.Config{Client: f.as(ann), Bucket: f.bucket("load"), Seed: seed, Workers: 4, Keys: 20, Sizes: []int{100, 5000, 70_000}, Timeout: time.Minute})
	ctx := f.context()
	require.NoError(f, l.Prepare(ctx))
	var enough atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for !enough.Load() && ctx.Err() == nil {
			l.Run(ctx, 20, false)
		}
	}()
	defer func() { enough.Store(true); <-ended }()
	// more waits until so many operations more have ended, and what was kept before is too old to be served without asking.
	more := func() {
		f.settles()
		for until := l.Done() + 200; l.Done() < until; time.Sleep(time.Millisecond) {
			require.NoError(f, ctx.Err())
		}
	}
	more()
	f.stopLDAP()
	more()
	for range 10 {
		resp := f.do(f.as(dora), s3client.Request{Method: "GET"})
		require.Equal(f, 503, resp.Status, "nobody knows who she is: %s", resp.Code)
		require.NotEmpty(f, resp.Header.Get("Retry-After"))
	}
	if deploy.Kind() == deploy.Nodes {
		require.Equal(f, 200, f.do(s3client.New(f.target.Endpoint, 1), s3client.Request{Method: "GET"}).Status, "a built-in key needs no LDAP")
	}
	more()
	f.restartLDAP()
	more()
	require.Equal(f, 200, f.do(f.as(dora), s3client.Request{Method: "GET"}).Status)
	enough.Store(true)
	<-ended
	require.Empty(f, l.Failures(), "requests failed")
	require.NoError(f, l.ReadBack(ctx))
	require.NoError(f, l.Check(f.TempDir()))
}
