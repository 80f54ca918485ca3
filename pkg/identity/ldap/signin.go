package ldap

import (
	"context"
	"slices"

	"github.com/go-ldap/ldap/v3"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
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
	asked := s.clock.Now()
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
	if name, err = single(entry, s.config.People.Name); err != nil {
		return "", err
	}
	// What was found serves [Source.CheckMember] too, if the directory cannot be asked again.
	q := s.membership(name, group)
	if !member {
		err = q.nobody
	}
	_, err = s.note(q.key, identity.Identity{Name: name}, err, asked)
	return name, notIn(group, err)
}

// notIn refuses who is not in the group.
func notIn(group string, err error) error {
	if errors.Is(err, errors.NotFound) {
		return errors.Newf(errors.PermissionDenied, "only members of the LDAP group %s may sign in", group)
	}
	return err
}

// CheckMember finds out whether a person, with the name that [Source.SignIn] has returned, still belongs to the group. The answer is kept, and
// serves while the directory is away, as long as identities are. Kinds: PermissionDenied if not; Unavailable, Deadline, Canceled, Overloaded.
func (s *Source) CheckMember(ctx context.Context, name, group string) error {
	_, err := s.answer(ctx, s.membership(name, group))
	return notIn(group, err)
}

// membership asks whether a person belongs to a group.
func (s *Source) membership(name, group string) question {
	q := question{
		key:     "member\x00" + group + "\x00" + name, // no access key
		nobody:  errors.Newf(errors.NotFound, "LDAP has no %q in the group %s", name, group),
		unknown: errors.Newf(errors.Unavailable, "LDAP cannot be asked just now whether %q belongs to the group %s", name, group),
	}
	q.find = func(conn *ldap.Conn) (identity.Identity, []problem, error) {
		entry, member, err := s.config.memberOf(conn, name, group)
		switch {
		case entry != nil && ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded):
			return identity.Identity{}, []problem{tooManyGroups(entry)}, q.nobody
		case err == nil && !member:
			err = q.nobody
		}
		return identity.Identity{Name: name}, nil, err
	}
	return q
}

// memberOf finds the one entry with the name, also where its groups cannot be read, and whether it belongs to the group; nil: there is none, or more than one.
func (c *Config) memberOf(conn *ldap.Conn, name, group string) (*ldap.Entry, bool, error) {
	entry, _, err := c.entry(conn, c.People.Name, name, c.People.Name, c.People.MemberOf)
	if err != nil || entry == nil {
		return nil, false, err
	}
	groups, _, err := c.groups(conn, entry, name)
	if err != nil {
		return entry, false, errors.Annotate(err, "looking for groups below %s", c.Groups.Base)
	}
	return entry, slices.ContainsFunc(groups, func(g *ldap.Entry) bool {
		is, err := single(g, c.Groups.Name)
		return err == nil && is == group
	}), nil
}
