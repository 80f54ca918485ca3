package ldap

import (
	"time"

	"github.com/go-ldap/ldap/v3"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
)

// maxGroups bounds the groups of one person or machine.
const maxGroups = 1000

// findBy looks for the one entry with the value of an attribute; nobody is the error where there is none that may sign. The problems are those
// of entries that were found and are not right. Kinds: that of nobody; Unavailable.
func (c *Config) findBy(conn *ldap.Conn, attribute, value string, nobody error) (identity.Identity, []problem, error) {
	entry, twins, err := c.entry(conn, attribute, value, c.People.AccessKey, c.People.Secret, c.People.Name, c.People.CreateBuckets, c.People.MemberOf)
	if err != nil {
		return identity.Identity{}, nil, err
	}
	if entry == nil {
		return identity.Identity{}, twins, nobody
	}
	accessKey := value
	if attribute != c.People.AccessKey {
		if accessKey, err = single(entry, c.People.AccessKey); err != nil {
			return identity.Identity{}, []problem{{entry.DN, err}}, nobody
		}
	}
	id, err := c.person(entry, accessKey)
	if err != nil {
		return identity.Identity{}, []problem{{entry.DN, err}}, nobody
	}
	groups, problems, err := c.groups(conn, entry, id.Name)
	if ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) {
		return identity.Identity{}, []problem{tooManyGroups(entry)}, nobody
	}
	if err != nil {
		return identity.Identity{}, nil, errors.Annotate(err, "looking for groups below %s", c.Groups.Base)
	}
	for _, g := range groups {
		problems = append(problems, c.join(&id, g)...)
	}
	return id, problems, nil
}

// tooManyGroups is wrong with an entry. The directory is well: this must not make it count as away, for nobody's sake.
func tooManyGroups(entry *ldap.Entry) problem {
	return problem{entry.DN, errors.Newf(errors.Full, "it belongs to more groups than can be read: %d, or the limit of the LDAP server for the gateway's bind DN", maxGroups)}
}

// entry finds the one person or machine with the value of an attribute; nil: there is none, or more than one, which is a problem.
func (c *Config) entry(conn *ldap.Conn, attribute, value string, wanted ...string) (*ldap.Entry, []problem, error) {
	found, err := c.search(conn, c.People.Base, ldap.ScopeWholeSubtree, 2, "(&"+equal(attribute, value)+c.People.Filter+")", wanted...)
	if err != nil && !ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) {
		return nil, nil, errors.Annotate(err, "looking for a person or machine below %s", c.People.Base)
	}
	what := "access key"
	if attribute != c.People.AccessKey {
		what = "name"
	}
	switch {
	case err != nil || len(found) > 1:
		dn := c.People.Base
		if len(found) > 0 {
			dn = found[0].DN
		}
		return nil, []problem{{dn, errors.Newf(errors.Conflict, "another entry has the same %s %q: neither may sign", what, value)}}, nil
	case len(found) == 0:
		return nil, nil, nil
	}
	return found[0], nil, nil
}

// groups finds the groups that an entry belongs to. The problems are those of groups that give nothing for it.
func (c *Config) groups(conn *ldap.Conn, entry *ldap.Entry, name string) ([]*ldap.Entry, []problem, error) {
	if c.Groups.Base == "" {
		return nil, nil, nil
	}
	attributes := []string{c.Groups.Name, c.Groups.Rights, c.Groups.Read, c.Groups.Write, c.Groups.Owner, c.Groups.CreateBuckets}
	if c.Groups.Membership == byMemberOf {
		return c.groupsOf(conn, values(entry, c.People.MemberOf), attributes)
	}
	member := entry.DN
	if c.Groups.Membership == byName {
		member = name
	}
	found, err := c.search(conn, c.Groups.Base, ldap.ScopeWholeSubtree, maxGroups, "(&"+equal(c.Groups.Member, member)+c.Groups.Filter+")", attributes...)
	return found, nil, err
}

// groupsOf reads the groups with the DNs. One that is gone, is not below the base or does not match the filter gives nothing; nor does one
// that the directory refuses to show, which is a problem of that group alone.
func (c *Config) groupsOf(conn *ldap.Conn, dns, attributes []string) (groups []*ldap.Entry, problems []problem, err error) {
	base, err := ldap.ParseDN(c.Groups.Base)
	if err != nil {
		return nil, nil, err
	}
	if len(dns) > maxGroups {
		return nil, nil, ldap.NewError(ldap.LDAPResultSizeLimitExceeded, errors.Newf(errors.Full, "an entry belongs to %d groups", len(dns)))
	}
	for _, text := range dns {
		dn, err := ldap.ParseDN(text)
		if err != nil || !base.AncestorOfFold(dn) {
			continue
		}
		found, err := c.search(conn, text, ldap.ScopeBaseObject, 1, c.Groups.Filter, attributes...)
		switch {
		case ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject):
		case err != nil && (broken(err) || overtaxed(err)):
			return nil, nil, err
		case err != nil:
			problems = append(problems, problem{text, errors.Wrap(errors.PermissionDenied, err, "the group cannot be read and gives no rights")})
		default:
			groups = append(groups, found...)
		}
	}
	return groups, problems, nil
}

// overtaxed tells whether the server answered that it cannot answer now, which says nothing about what it was asked.
func overtaxed(err error) bool {
	return ldap.IsErrorAnyOf(err, ldap.LDAPResultOperationsError, ldap.LDAPResultTimeLimitExceeded, ldap.LDAPResultAdminLimitExceeded,
		ldap.LDAPResultBusy, ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultOther)
}

// search runs one search. Beside an error there may be entries.
func (c *Config) search(conn *ldap.Conn, base string, scope, limit int, filter string, attributes ...string) ([]*ldap.Entry, error) {
	wanted := make([]string, 0, len(attributes))
	for _, a := range attributes {
		if a != "" {
			wanted = append(wanted, a)
		}
	}
	request := ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, limit, int((c.Timeout+time.Second-1)/time.Second), false, filter, wanted, nil)
	result, err := conn.Search(request)
	if result == nil {
		return nil, err
	}
	return result.Entries, err
}

func equal(attribute, value string) string {
	return "(" + attribute + "=" + ldap.EscapeFilter(value) + ")"
}
