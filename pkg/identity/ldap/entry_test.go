package ldap

import (
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
)

func TestRightsAreReadAsTheyAreWritten(t *testing.T) {
	for value, want := range map[string]struct {
		bucket string
		rights identity.Rights
	}{
		"photos:read":                     {"photos", identity.Read},
		"photos:read,write":               {"photos", identity.Read | identity.Write},
		" photos : WRITE , Owner ":        {"photos", identity.Write | identity.Owner},
		"*:all":                           {"*", identity.All},
		"a.b-c:read,read":                 {"a.b-c", identity.Read},
		"photos":                          {},
		"photos:":                         {},
		"photos:read,":                    {},
		"photos:read,delete":              {},
		":read":                           {},
		"**:read":                         {},
		"pho*:read":                       {},
		"Photos:read":                     {},
		"photos:read:write":               {},
		"photos:read;write":               {},
		"photos:none":                     {},
		"":                                {},
		"photos\x00:read":                 {},
		strings.Repeat("x", 64) + ":read": {},
	} {
		bucket, rights, err := parseRights(value)
		if want.rights == 0 {
			require.Error(t, err, "%q", value)
			require.Zero(t, rights)
			continue
		}
		require.NoError(t, err, "%q", value)
		require.Equal(t, want.bucket, bucket)
		require.Equal(t, want.rights, rights)
	}
}

func FuzzRights(f *testing.F) {
	for _, s := range []string{"photos:read,write", "*:all", ":", "a:b", "photos:read,", "PHOTOS:READ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		bucket, rights, err := parseRights(value)
		if err != nil {
			if rights != 0 || bucket != "" {
				t.Fatalf("%q gives %v on %q with an error", value, rights, bucket)
			}
			return
		}
		if rights == 0 || !identity.All.Has(rights) {
			t.Fatalf("%q gives %d", value, rights)
		}
		if bucket != identity.EveryBucket && meta.CheckBucketName(bucket) != nil {
			t.Fatalf("%q is for %q", value, bucket)
		}
		// What is written back means the same.
		words := strings.ReplaceAll(rights.String(), "+", ",")
		again, same, err := parseRights(bucket + ":" + words)
		if err != nil || again != bucket || same != rights {
			t.Fatalf("%q is not %q with %v: %v", value, again, same, err)
		}
	})
}

func settings() *Config {
	c := DefaultConfig()
	c.URL, c.People.Base, c.Groups.Base = []string{"ldap://127.0.0.1"}, "dc=garage,dc=example", "ou=groups,dc=garage,dc=example"
	return &c
}

func entry(attributes map[string][]string) *ldap.Entry {
	return ldap.NewEntry("uid=ann,dc=garage,dc=example", attributes)
}

func TestAnEntryIsWhoItsNameSays(t *testing.T) {
	id, err := settings().person(entry(map[string][]string{
		"garageaccesskey": {"GK1"}, "GARAGESECRETKEY": {"s"}, "uid": {"ann"}, "garageCreateBuckets": {"true"},
	}), "GK1")
	require.NoError(t, err)
	require.Equal(t, identity.Identity{AccessKey: "GK1", Secret: "s", Name: "ann", CreateBuckets: true, Principals: []string{"person:ann"}}, id)
	require.Equal(t, "person:ann", id.ID())
}

func TestAnEntryThatIsNotWholeIsNobody(t *testing.T) {
	whole := func() map[string][]string {
		return map[string][]string{"garageAccessKey": {"GK1"}, "garageSecretKey": {"very secret"}, "uid": {"ann"}}
	}
	_, err := settings().person(entry(whole()), "GK1")
	require.NoError(t, err)
	for name, change := range map[string]func(map[string][]string){
		"other case":  func(a map[string][]string) { a["garageAccessKey"] = []string{"gk1"} },
		"with space":  func(a map[string][]string) { a["garageAccessKey"] = []string{"GK1 "} },
		"no secret":   func(a map[string][]string) { delete(a, "garageSecretKey") },
		"empty":       func(a map[string][]string) { a["garageSecretKey"] = []string{""} },
		"two secrets": func(a map[string][]string) { a["garageSecretKey"] = []string{"very secret", "very secret too"} },
		"no name":     func(a map[string][]string) { delete(a, "uid") },
		"two names":   func(a map[string][]string) { a["uid"] = []string{"ann", "ben"} },
		"long name":   func(a map[string][]string) { a["uid"] = []string{strings.Repeat("x", 300)} },
	} {
		a := whole()
		change(a)
		id, err := settings().person(entry(a), "GK1")
		require.Error(t, err, name)
		require.Zero(t, id)
		require.NotContains(t, err.Error(), "very secret")
	}
}

func TestGroupsAddUp(t *testing.T) {
	c := settings()
	c.Groups.Read, c.Groups.Owner = "mayRead", "mayOwn"
	id := identity.Identity{Principals: []string{"person:ann"}}
	problems := c.join(&id, entry(map[string][]string{"cn": {"staff"}, "garageBucketRights": {"photos:read", "photos:write", "music:all"}}))
	require.Empty(t, problems)
	require.False(t, id.CreateBuckets)
	problems = c.join(&id, entry(map[string][]string{"cn": {"staff"}, "mayRead": {"*", "video"}, "mayOwn": {"video"}, "garageCreateBuckets": {"TRUE"}}))
	require.Empty(t, problems)
	require.Equal(t, []string{"person:ann", "group:staff"}, id.Principals)
	require.True(t, id.CreateBuckets)
	require.Equal(t, map[string]identity.Rights{
		"photos": identity.Read | identity.Write, "music": identity.All, "*": identity.Read, "video": identity.Read | identity.Owner,
	}, id.Buckets)
	require.Equal(t, identity.Read|identity.Write, id.BucketRights("photos"))
	require.Equal(t, identity.Read, id.BucketRights("other"))
}

func TestWhatAGroupSaysWronglyGivesNothing(t *testing.T) {
	id := identity.Identity{Principals: []string{"person:ann"}}
	problems := settings().join(&id, entry(map[string][]string{"cn": {"staff"}, "garageBucketRights": {"photos", "photos:everything", "music:read"}}))
	require.Len(t, problems, 2)
	require.Contains(t, problems[0].err.Error(), `"photos"`)
	require.Equal(t, map[string]identity.Rights{"music": identity.Read}, id.Buckets)

	id = identity.Identity{Principals: []string{"person:ann"}}
	problems = settings().join(&id, entry(map[string][]string{"garageBucketRights": {"*:all"}, "garageCreateBuckets": {"TRUE"}}))
	require.Len(t, problems, 1)
	require.Equal(t, identity.Identity{Principals: []string{"person:ann"}}, id, "a group without a name gives nothing")
}

func TestOnlyPlausibleAccessKeysAreLookedUp(t *testing.T) {
	for _, k := range []string{"", "person:ann", "group:staff", "a b", "a\x00", "ä", strings.Repeat("x", 129), "a\n"} {
		require.False(t, plausible(k), "%q", k)
	}
	for _, k := range []string{"a", "GK0123456789", "a*)(uid=*", "a:b/c+d="} {
		require.True(t, plausible(k), "%q", k)
	}
}
