package ldap

import (
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
)

const (
	maxAccessKey = 128 // bytes
	maxName      = 256 // bytes
)

// plausible reports whether an entry could have the access key at all. What is not need not be looked up.
func plausible(accessKey string) bool {
	if accessKey == "" || len(accessKey) > maxAccessKey || !identity.IsAccessKey(accessKey) {
		return false
	}
	return !strings.ContainsFunc(accessKey, func(c rune) bool { return c <= ' ' || c > '~' })
}

// problem is something wrong with an entry, which its administrator should know.
type problem struct {
	dn  string
	err error
}

// person makes an identity of an entry that was found for the access key. The groups come later.
func (c *Config) person(e *ldap.Entry, accessKey string) (identity.Identity, error) {
	if !slices.Contains(e.GetEqualFoldAttributeValues(c.People.AccessKey), accessKey) {
		return identity.Identity{}, errors.Newf(errors.NotFound, "its %s is written otherwise", c.People.AccessKey)
	}
	secret, err := single(e, c.People.Secret)
	if err != nil {
		return identity.Identity{}, err
	}
	name, err := single(e, c.People.Name)
	if err != nil {
		return identity.Identity{}, err
	}
	if len(name) > maxName {
		return identity.Identity{}, errors.Newf(errors.NotFound, "its %s is longer than %d bytes", c.People.Name, maxName)
	}
	return identity.Identity{
		AccessKey: accessKey, Secret: secret, Name: name, CreateBuckets: isTrue(e, c.People.CreateBuckets),
		Principals: []string{identity.Person(name)},
	}, nil
}

// join adds what membership in a group gives. Values that cannot be understood give nothing.
func (c *Config) join(id *identity.Identity, group *ldap.Entry) (problems []problem) {
	complain := func(attribute, value string, err error) {
		problems = append(problems, problem{group.DN, errors.Annotate(err, "attribute %s, value %q", attribute, value)})
	}
	name, err := single(group, c.Groups.Name)
	if err != nil || len(name) > maxName {
		if err == nil {
			err = errors.Newf(errors.NotFound, "its %s is longer than %d bytes", c.Groups.Name, maxName)
		}
		return []problem{{group.DN, err}}
	}
	if p := identity.Group(name); !slices.Contains(id.Principals, p) {
		id.Principals = append(id.Principals, p)
	}
	id.CreateBuckets = id.CreateBuckets || isTrue(group, c.Groups.CreateBuckets)
	give := func(bucket string, r identity.Rights) {
		if id.Buckets == nil {
			id.Buckets = make(map[string]identity.Rights)
		}
		id.Buckets[bucket] |= r
	}
	for _, v := range values(group, c.Groups.Rights) {
		if bucket, r, err := parseRights(v); err != nil {
			complain(c.Groups.Rights, v, err)
		} else {
			give(bucket, r)
		}
	}
	for _, list := range []struct {
		attribute string
		right     identity.Rights
	}{{c.Groups.Read, identity.Read}, {c.Groups.Write, identity.Write}, {c.Groups.Owner, identity.Owner}} {
		for _, v := range values(group, list.attribute) {
			if bucket, err := parseBucket(v); err != nil {
				complain(list.attribute, v, err)
			} else {
				give(bucket, list.right)
			}
		}
	}
	return problems
}

// values are those of an attribute; without a name there are none.
func values(e *ldap.Entry, attribute string) []string {
	if attribute == "" {
		return nil
	}
	return e.GetEqualFoldAttributeValues(attribute)
}

// single is the value of an attribute that must have one. The value is in no error: it may be a secret.
func single(e *ldap.Entry, attribute string) (string, error) {
	v := values(e, attribute)
	if len(v) != 1 || v[0] == "" {
		return "", errors.Newf(errors.NotFound, "it must have one %s and has %d, or the gateway's bind DN may not read it", attribute, len(v))
	}
	return v[0], nil
}

func isTrue(e *ldap.Entry, attribute string) bool {
	v := values(e, attribute)
	return len(v) == 1 && strings.EqualFold(v[0], "TRUE")
}
