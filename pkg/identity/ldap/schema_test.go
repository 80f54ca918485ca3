//go:build stack

package ldap

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
)

func replaceHost(url, host string) string { return strings.Replace(url, "127.0.0.1", host, 1) }

func countLines(text, with string) (n int) {
	for line := range strings.Lines(text) {
		if strings.Contains(line, with) {
			n++
		}
	}
	return n
}

// removeTLS takes the certificates out of the configuration of a server that is stopped.
func removeTLS(s *slapd) error {
	change := exec.Command(program(s.t, "slapmodify"), "-n", "0", "-F", filepath.Join(s.folder, "config"))
	change.Stdin = strings.NewReader("dn: cn=config\nchangetype: modify\ndelete: olcTLSCACertificateFile\n-\ndelete: olcTLSCertificateFile\n-\ndelete: olcTLSCertificateKeyFile\n")
	return change.Run()
}

// names that mean something in a DN, in a filter, or in both.
var names = []string{
	"zoë", "o'hara, ann", `back\slash`, "(brackets)", "star*", "plus+plus", "a=b", "<angle>", `"quoted"`, "semi;colon", "#hash", "mid  dle", "née Müller ☂",
}

func TestNamesMayHaveAnyCharacters(t *testing.T) {
	s := newSlapd(t)
	admin := s.admin()
	for i, name := range names {
		key := "GKN" + string(rune('A'+i))
		dn := "uid=" + ldap.EscapeDN(name) + ",ou=people," + suffix
		add(t, admin, dn, "objectClass", "inetOrgPerson", "objectClass", "garageKey", "uid", name, "cn", "P", "sn", "P",
			"garageAccessKey", key, "garageSecretKey", "secret-of-"+key)
		add(t, admin, "cn="+ldap.EscapeDN(name)+",ou=groups,"+suffix, "objectClass", "groupOfNames", "objectClass", "garageGroup", "cn", name,
			"member", dn, "garageBucketRights", "bucket-"+strings.ToLower(key)+":read")
		// The same members, by name.
		add(t, admin, "cn="+ldap.EscapeDN("posix "+name)+",ou=groups,"+suffix, "objectClass", "posixGroup", "objectClass", "garageGroup", "cn", "posix "+name,
			"gidNumber", "1", "memberUid", toASCII(name), "garageBucketRights", "posix-"+strings.ToLower(key)+":write")
	}
	byName := s.config()
	byName.Groups.Membership, byName.Groups.Member = "name", "memberUid"
	dns, uids := open(t, s.config()), open(t, byName)
	for i, name := range names {
		key := "GKN" + string(rune('A'+i))
		id, err := dns.Find(t.Context(), key)
		require.NoError(t, err, name)
		require.Equal(t, []string{"person:" + name, "group:" + name}, id.Principals)
		require.Equal(t, map[string]identity.Rights{"bucket-" + strings.ToLower(key): identity.Read}, id.Buckets)
		if toASCII(name) != name {
			continue // memberUid has only ASCII
		}
		id, err = uids.Find(t.Context(), key)
		require.NoError(t, err, name)
		require.Equal(t, []string{"person:" + name, "group:posix " + name}, id.Principals)
		require.Equal(t, map[string]identity.Rights{"posix-" + strings.ToLower(key): identity.Write}, id.Buckets)
	}
}

func toASCII(name string) string {
	return strings.Map(func(c rune) rune {
		if c > '~' {
			return '-'
		}
		return c
	}, name)
}

// otherSchema uses attributes that every directory has, and whose values are compared without regard to case.
func otherSchema(s *slapd) Config {
	c := s.config()
	c.People = People{
		Base: "ou=people," + suffix, Filter: "(objectClass=inetOrgPerson)", AccessKey: "employeeNumber", Secret: "initials", Name: "cn",
		CreateBuckets: "title", MemberOf: "seeAlso",
	}
	c.Groups = Groups{
		Base: "ou=groups," + suffix, Filter: "(!(ou=closed))", Name: "cn", Membership: "member-of",
		Rights: "description", Read: "businessCategory", Owner: "o",
	}
	return c
}

func TestAnySchemaWillDo(t *testing.T) {
	s := newSlapd(t)
	admin, o := s.admin(), open(t, otherSchema(s))
	group := func(name string, more ...string) string {
		dn := "cn=" + name + ",ou=groups," + suffix
		add(t, admin, dn, append([]string{"objectClass", "groupOfNames", "cn", name, "member", annDN}, more...)...)
		return dn
	}
	elsewhere := "cn=elsewhere,ou=services," + suffix
	add(t, admin, elsewhere, "objectClass", "groupOfNames", "cn", "elsewhere", "member", annDN, "description", "*:all")
	add(t, admin, "cn=Dee,ou=people,"+suffix, "objectClass", "inetOrgPerson", "cn", "Dee", "sn", "D", "employeeNumber", "KEY-Dee", "initials", "secret-of-dee", "title", "TRUE",
		"seeAlso", group("one", "description", "photos:read,write", "description", "a word about it"),
		"seeAlso", group("two", "businessCategory", "music", "o", "music", "businessCategory", "No Bucket"),
		"seeAlso", group("shut", "description", "*:all", "ou", "closed"),
		"seeAlso", "cn=gone,ou=groups,"+suffix,
		"seeAlso", elsewhere)
	dee, err := o.Find(t.Context(), "KEY-Dee")
	require.NoError(t, err)
	require.Equal(t, identity.Identity{
		AccessKey: "KEY-Dee", Secret: "secret-of-dee", Name: "Dee", CreateBuckets: true, Principals: []string{"person:Dee", "group:one", "group:two"},
		Buckets: map[string]identity.Rights{"photos": identity.Read | identity.Write, "music": identity.Read | identity.Owner},
	}, dee)
	require.Equal(t, 1, countLines(o.log.String(), "a word about it"))
	require.Equal(t, 1, countLines(o.log.String(), "No Bucket"))

	_, err = o.Find(t.Context(), "key-dee")
	require.True(t, errors.Is(err, errors.NotFound), "an access key is exact, whatever the directory compares: %v", err)
}

// A group that the server answers with an error, here that somebody else has it, is that group's matter.
func TestAGroupThatCannotBeReadDoesNotMakeTheDirectoryAway(t *testing.T) {
	s := newSlapd(t)
	admin, o := s.admin(), open(t, otherSchema(s))
	good, away := "cn=good,ou=groups,"+suffix, "cn=away,ou=groups,"+suffix
	add(t, admin, good, "objectClass", "groupOfNames", "cn", "good", "member", annDN, "description", "photos:read")
	r := ldap.NewAddRequest(away, []ldap.Control{ldap.NewControlManageDsaIT(true)})
	r.Attribute("objectClass", []string{"referral", "extensibleObject"})
	r.Attribute("cn", []string{"away"})
	r.Attribute("ref", []string{"ldap://192.0.2.1/" + away})
	require.NoError(t, admin.Add(r))
	add(t, admin, "cn=Dee,ou=people,"+suffix, "objectClass", "inetOrgPerson", "cn", "Dee", "sn", "D", "employeeNumber", "KEY-Dee", "initials", "secret-of-dee",
		"seeAlso", away, "seeAlso", good)
	dee, err := o.Find(t.Context(), "KEY-Dee")
	require.NoError(t, err)
	require.Equal(t, map[string]identity.Rights{"photos": identity.Read}, dee.Buckets)
	require.EqualValues(t, 1, o.metric(t, "garage_ldap_up", ""))
	require.Equal(t, 1, countLines(o.log.String(), "cannot be read and gives no rights"))
}

func TestTwoEntriesWithOneAccessKeyAreNobody(t *testing.T) {
	s := newSlapd(t)
	admin, o := s.admin(), open(t, otherSchema(s))
	for i, name := range []string{"one", "two", "three"} {
		add(t, admin, "cn="+name+",ou=people,"+suffix, "objectClass", "inetOrgPerson", "cn", name, "sn", "X", "employeeNumber", "KEY", "initials", "secret-of-"+name)
		_, err := o.Find(t.Context(), "KEY")
		if i == 0 {
			require.NoError(t, err)
		} else {
			require.True(t, errors.Is(err, errors.NotFound), "%v", err)
		}
		o.clock.Advance(o.config.CacheTime)
	}
	require.Contains(t, o.log.String(), "another entry has the same access key")
}

func TestAPersonIsFoundByName(t *testing.T) {
	s := newSlapd(t)
	o := open(t, s.config())
	ann, err := o.Find(t.Context(), annKey)
	require.NoError(t, err)
	named, err := o.FindPerson(t.Context(), ann.Name)
	require.NoError(t, err)
	require.Equal(t, ann, named)
	for i, name := range names {
		key := "GKP" + string(rune('A'+i))
		add(t, s.admin(), "uid="+ldap.EscapeDN(name)+",ou=people,"+suffix, "objectClass", "inetOrgPerson", "objectClass", "garageKey", "uid", name, "cn", "P", "sn", "P",
			"garageAccessKey", key, "garageSecretKey", "secret-of-"+key)
		found, err := o.FindPerson(t.Context(), name)
		require.NoError(t, err, name)
		require.Equal(t, key, found.AccessKey, name)
	}
	for _, name := range []string{"", "nobody", "*", ")(uid=*", strings.Repeat("x", maxName+1)} {
		_, err := o.FindPerson(t.Context(), name)
		require.True(t, errors.Is(err, errors.NotFound), "%q: %v", name, err)
	}
	s.stop()
	_, err = o.FindPerson(t.Context(), ann.Name)
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
}

func TestAMemberOfTheGroupSignsInWithTheirPassword(t *testing.T) {
	s := newSlapd(t)
	o := open(t, s.config())
	name, err := o.SignIn(t.Context(), "ann", "ann-for-development", "operators")
	require.NoError(t, err)
	require.Equal(t, "ann", name)
	_, err = o.SignIn(t.Context(), "ben", "ben-for-development", "operators")
	require.True(t, errors.Is(err, errors.PermissionDenied), "%v", err)
	_, err = o.SignIn(t.Context(), "ben", "wrong", "operators")
	require.True(t, errors.Is(err, errors.Unauthenticated), "who does not know the password is not told of groups: %v", err)
	for _, c := range [][2]string{{"ann", ""}, {"ann", "ben-for-development"}, {"", ""}, {"nobody", "x"}, {"*", "ann-for-development"}, {"ann)(uid=*", "ann-for-development"},
		{strings.Repeat("x", maxName+1), "x"}} {
		_, err := o.SignIn(t.Context(), c[0], c[1], "operators")
		require.True(t, errors.Is(err, errors.Unauthenticated), "%q: %v", c, err)
	}
	_, err = o.SignIn(t.Context(), "ann", "ann-for-development", "")
	require.True(t, errors.Is(err, errors.PermissionDenied), "%v", err)

	// The bind of one person is nobody else's.
	_, err = o.Find(t.Context(), annKey)
	require.NoError(t, err)
	s.stop()
	_, err = o.SignIn(t.Context(), "ann", "ann-for-development", "operators")
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
}
