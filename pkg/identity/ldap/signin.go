package ldap

import (
	"context"
	"slices"

	"github.com/go-ldap/ldap/v3"

	"deuxfleurs.fr/garage/pkg/errors"
)

// SignIn lets a person in who knows their password and belongs to the group, and returns their name as the directory has it. The password is
// tried by binding as that person, on a connection of its own (RFC 4513, section 5.1.3). Kinds: Unauthenticated, which does not tell a wrong name
// from a wrong password; PermissionDenied if the person is not in the group; Unavailable, Overloaded.
func (s *Source) SignIn(ctx context.Context, name, password, group string) (string, error) {
	wrong := errors.Newf(errors.Unauthenticated, "the name or the password is wrong")
	// A bind without a password succeeds as nobody (RFC 4513, section 5.1.2).
	if name == "" || len(name) > maxName || password == "" {
		return "", wrong
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	var entry *ldap.Entry
	var member bool
	err := s.pool.do(ctx, func(conn *ldap.Conn) (err error) {
		entry, member, err = s.config.memberOf(conn, name, group)
		return err
	})
	if err != nil {
		if errors.Is(err, errors.Overloaded) {
			return "", err
		}
		return "", errors.Wrap(errors.Unavailable, err, "LDAP")
	}
	if entry == nil {
		return "", wrong
	}
	var refused error
	c, err := s.pool.dial(ctx, func(c *connection) error {
		if refused = c.Bind(entry.DN, password); broken(refused) || overtaxed(refused) {
			return refused
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	if err := c.Close(); err != nil {
		return "", errors.Wrap(errors.Unavailable, err, "LDAP")
	}
	if refused != nil {
		return "", wrong
	}
	if !member {
		return "", errors.Newf(errors.PermissionDenied, "only members of the LDAP group %s may sign in", group)
	}
	return single(entry, s.config.People.Name)
}

// memberOf finds the one entry with the name, and whether it belongs to the group; nil: there is none, or more than one.
func (c *Config) memberOf(conn *ldap.Conn, name, group string) (*ldap.Entry, bool, error) {
	entry, _, err := c.entry(conn, c.People.Name, name, c.People.Name, c.People.MemberOf)
	if err != nil || entry == nil {
		return nil, false, err
	}
	groups, _, err := c.groups(conn, entry, name)
	if err != nil {
		return nil, false, errors.Annotate(err, "looking for groups below %s", c.Groups.Base)
	}
	return entry, slices.ContainsFunc(groups, func(g *ldap.Entry) bool {
		is, err := single(g, c.Groups.Name)
		return err == nil && is == group
	}), nil
}
