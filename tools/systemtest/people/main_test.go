package people

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/s3client"
	"deuxfleurs.fr/garage/tools/stack/parts"
)

// What is in nomad/ldap/tree.ldif.
const (
	suffix        = "dc=garage,dc=example"
	photographers = "cn=photographers,ou=groups," + suffix // they may read the bucket photos and write to it
	photosBucket  = "photos"
	benDN         = "uid=ben,ou=people," + suffix // a photographer
)

var (
	ann     = person{"GKANN0000000000000001", "secret-of-ann-for-development-only-00001"} // may create buckets
	ben     = person{"GKBEN0000000000000002", "secret-of-ben-for-development-only-00002"}
	machine = person{"GKBACKUP0000000000003", "secret-of-backup-for-development-only-03"} // may read every bucket
)

type person struct{ accessKey, secret string }

// cacheTime is how long a gateway may go on to serve what was revoked.
const cacheTime = 2 * time.Second

// fixture is a deployment with LDAP.
type fixture struct {
	*testing.T
	target *deploy.Deployment
	stack  *parts.Stack // runs slapd, as the process "ldap"
	admin  *ldap.Conn   // nil while slapd is stopped
}

func setUp(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t}
	switch deploy.Kind() {
	case deploy.Cluster:
		f.target = deploy.ForTest(t)
		f.stack = f.target.Cluster().Stack()
	case deploy.Nodes:
		env := f.startLDAP()
		f.target = deploy.ForTest(t,
			"GARAGE_IDENTITY_LDAP_URL="+env["GARAGE_STACK_LDAP"], "GARAGE_IDENTITY_LDAP_PEOPLE_BASE="+suffix, "GARAGE_IDENTITY_LDAP_GROUPS_BASE=ou=groups,"+suffix,
			"GARAGE_IDENTITY_LDAP_BIND_DN=cn=s3-gateway,ou=services,"+suffix, "GARAGE_IDENTITY_LDAP_BIND_PASSWORD=gateway-for-development")
	default:
		t.Fatal("this suite needs gateways that ask LDAP: run it with -args -deployment nodes, or -deployment cluster")
	}
	f.connect()
	return f
}

// startLDAP starts a slapd for this test.
func (f *fixture) startLDAP() map[string]string {
	offset, err := parts.FreeOffset()
	require.NoError(f, err)
	f.stack, err = parts.Open(parts.Options{Data: f.TempDir(), Offset: offset, Progress: f.Output()})
	require.NoError(f, err)
	require.NoError(f, f.stack.Up(f.context(), parts.LDAP{}))
	f.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // The test's own context has ended by now.
		defer cancel()
		require.NoError(f, f.stack.Down(ctx))
	})
	env, err := f.stack.Env()
	require.NoError(f, err)
	return env
}

// connect binds as the administrator of the directory.
func (f *fixture) connect() {
	env, err := f.stack.Env()
	require.NoError(f, err)
	f.admin, err = ldap.DialURL(env["GARAGE_STACK_LDAP"])
	require.NoError(f, err)
	f.admin.SetTimeout(30 * time.Second)
	f.Cleanup(func() { f.admin.Close() })
	require.NoError(f, f.admin.Bind(env["GARAGE_STACK_LDAP_ADMIN_DN"], env["GARAGE_STACK_LDAP_ADMIN_PASSWORD"]))
}

func (f *fixture) stopLDAP() {
	p, err := f.stack.Process("ldap")
	require.NoError(f, err)
	require.NoError(f, p.Stop(f.context()))
}

func (f *fixture) restartLDAP() {
	require.NoError(f, f.stack.Restart(f.context(), "ldap"))
	f.connect()
}

func (f *fixture) context() context.Context {
	ctx, cancel := context.WithTimeout(f.T.Context(), 5*time.Minute)
	f.Cleanup(cancel)
	return ctx
}

func (f *fixture) as(p person) *s3client.Client {
	e := f.target.Endpoint
	e.AccessKey, e.SecretKey = p.accessKey, p.secret
	return s3client.New(e, 8)
}

func (f *fixture) do(c *s3client.Client, r s3client.Request) *s3client.Response {
	f.Helper()
	resp, err := c.Do(f.context(), r)
	require.NoError(f, err)
	return resp
}

// bucket makes a bucket of Ann's, if it is not there yet.
func (f *fixture) bucket(name string) string {
	f.Helper()
	resp := f.do(f.as(ann), s3client.Request{Method: "PUT", Bucket: name})
	require.True(f, resp.Status == 200 || resp.Code == "BucketAlreadyOwnedByYou", "%d %s %s", resp.Status, resp.Code, resp.Message)
	return name
}

// settles waits for as long as something that was revoked may go on to be served.
func (f *fixture) settles() { time.Sleep(cacheTime) }

// group changes who is a photographer.
func (f *fixture) group(change func(*ldap.ModifyRequest)) {
	f.Helper()
	r := ldap.NewModifyRequest(photographers, nil)
	change(r)
	require.NoError(f, f.admin.Modify(r))
}

// newPerson adds somebody without rights, and says how to remove them again.
func (f *fixture) newPerson(name string) (p person, remove func()) {
	f.Helper()
	dn := "uid=" + name + ",ou=people," + suffix
	p = person{"GK" + strings.ToUpper(name) + strconv.FormatInt(time.Now().UnixNano(), 36), "secret-of-" + name}
	r := ldap.NewAddRequest(dn, nil)
	for attribute, values := range map[string][]string{
		"objectClass": {"inetOrgPerson", "garageKey"}, "uid": {name}, "cn": {name}, "sn": {name},
		"garageAccessKey": {p.accessKey}, "garageSecretKey": {p.secret}, "garageCreateBuckets": {"FALSE"},
	} {
		r.Attribute(attribute, values)
	}
	require.NoError(f, f.admin.Add(r))
	return p, func() { require.NoError(f, f.admin.Del(ldap.NewDelRequest(dn, nil))) }
}
