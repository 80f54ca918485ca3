package access

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
)

var ann = identity.Identity{AccessKey: "ANN", Name: "ann", Principals: []string{identity.Person("ann"), identity.Group("family"), identity.Group("readers")},
	Buckets: map[string]identity.Rights{"music": identity.Read, identity.EveryBucket: identity.Write}}

func bucket(name string, grants ...meta.Grant) *meta.Bucket {
	return &meta.Bucket{Name: name, Grants: grants}
}

func TestADecisionIsExplained(t *testing.T) {
	key := identity.Identity{AccessKey: "GK1", Principals: []string{"GK1"}, CreateBuckets: true}
	for _, c := range []struct {
		about     string
		who       *identity.Identity
		operation string
		on        *meta.Bucket
		allowed   bool
		last      Reason // the one that decides
	}{
		{"a grant to a group", &ann, "GetObject", bucket("photos", meta.Grant{Grantee: identity.Group("family"), Rights: identity.Read}), true, Reason{Allows, FromOperation, "read is there"}},
		{"a group of LDAP", &ann, "GetObject", bucket("music"), true, Reason{Allows, FromOperation, "read is there"}},
		{"one for all buckets", &ann, "PutObject", bucket("photos"), true, Reason{Allows, FromOperation, "write is there"}},
		{"another right", &ann, "DeleteBucket", bucket("photos"), false, Reason{Refuses, FromDefault, "owner is needed and write is there: what nothing allows is refused"}},
		{"a grant to others", &key, "GetObject", bucket("photos", meta.Grant{Grantee: identity.Group("family"), Rights: identity.Read}), false,
			Reason{Refuses, FromDefault, "read is needed and none is there: what nothing allows is refused"}},
		{"any right", &key, "HeadBucket", bucket("photos", meta.Grant{Grantee: "GK1", Rights: identity.Owner}), true, Reason{Allows, FromOperation, "read or write or owner is there"}},
		{"a bucket that is not there", &key, "GetObject", nil, false, Reason{Refuses, FromBucket, "there is no bucket photos"}},
		{"a closed bucket", &ann, "PutObject", bucket("photos", meta.Grant{Grantee: identity.Person("ann"), Rights: identity.All}, meta.Grant{Grantee: identity.Closed, Rights: identity.All}), false,
			Reason{Refuses, FromBucket, "the bucket photos is closed to all clients: a migration fills it, and opens it when that is done; where the standalone is lost, garage bucket open does"}},
		{"somebody who does not sign", nil, "GetObject", bucket("photos"), false, Reason{Refuses, FromPublic, "nobody has signed: there is no public access"}},
		{"making a bucket", &key, "CreateBucket", nil, true, Reason{Allows, FromIdentity, "may create buckets"}},
		{"making one without permission", &ann, "CreateBucket", nil, false, Reason{Refuses, FromIdentity, "may not create buckets"}},
		{"listing buckets", &key, "ListBuckets", nil, true, Reason{Allows, FromOperation, "ListBuckets needs a valid signature and no right on a bucket; it shows those on which there is a right"}},
	} {
		allowed, reasons := Explain(c.who, c.operation, Operations[c.operation], "photos", c.on)
		require.Equal(t, c.allowed, allowed, c.about)
		require.Equal(t, c.last, reasons[len(reasons)-1], c.about)
	}
	_, reasons := Explain(&ann, "GetObject", Operations["GetObject"], "music", bucket("music", meta.Grant{Grantee: identity.Person("ann"), Rights: identity.Owner}))
	require.Equal(t, []Reason{
		{Note, FromGroup, "member of the group family"}, {Note, FromGroup, "member of the group readers"}, {Note, FromOperation, "GetObject needs read on the bucket"},
		{Note, FromGrant, "the bucket grants owner to the person ann"}, {Allows, FromDirectory, "groups in LDAP carry read on the bucket music"},
		{Note, FromDirectory, "groups in LDAP carry write on every bucket"}, {Allows, FromOperation, "read is there"},
	}, reasons)
}

func TestAnExplanationSaysWhatTheGatewayDecides(t *testing.T) {
	right := rapid.Custom(func(t *rapid.T) identity.Rights {
		return identity.Rights(rapid.IntRange(0, int(identity.All)).Draw(t, "rights"))
	})
	rapid.Check(t, func(t *rapid.T) {
		who := identity.Identity{Principals: []string{"GK1", identity.Group("a")}, Buckets: map[string]identity.Rights{"photos": right.Draw(t, "named"), identity.EveryBucket: right.Draw(t, "every")}}
		b := bucket("photos", meta.Grant{Grantee: "GK1", Rights: right.Draw(t, "key")}, meta.Grant{Grantee: identity.Group("a"), Rights: right.Draw(t, "group")}, meta.Grant{Grantee: "GK2", Rights: identity.All})
		if rapid.Bool().Draw(t, "closed") {
			b.Grants = append(b.Grants, meta.Grant{Grantee: identity.Closed, Rights: identity.All})
			require.Zero(t, Rights(&who, *b))
		}
		for operation, n := range Operations {
			if n.Rights == 0 {
				continue
			}
			allowed, reasons := Explain(&who, operation, n, "photos", b)
			require.Equal(t, n.Allows(Rights(&who, *b)), allowed)
			require.Equal(t, allowed, reasons[len(reasons)-1].Verdict == Allows)
		}
	})
}

func TestActionsAreOperationsPermissionsOrMethods(t *testing.T) {
	for action, want := range map[string]string{"GetObject": "GetObject", "s3:getobject": "GetObject", "get": "GetObject", "S3:ListBucket": "ListObjectsV2", "PUT": "PutObject"} {
		operation, n, err := Find(action, true, true)
		require.NoError(t, err)
		require.Equal(t, want, operation)
		require.Equal(t, Operations[want], n)
	}
	operation, _, err := Find("GET", true, false)
	require.NoError(t, err)
	require.Equal(t, "ListObjectsV2", operation)
	operation, _, err = Find("GET", false, false)
	require.NoError(t, err)
	require.Equal(t, "ListBuckets", operation)
	for _, bad := range []string{"", "s3:", "DELETE", "Fly"} {
		_, _, err := Find(bad, false, false)
		require.Error(t, err, bad)
	}
}

func TestDecidingAllocatesNothing(t *testing.T) {
	b := *bucket("photos", meta.Grant{Grantee: "GK1", Rights: identity.Read})
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = reading.Allows(Rights(&ann, b)) }))
}
