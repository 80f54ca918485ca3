package identity

import (
	"context"
	"log/slog"
	"strings"
)

// Rights is a set of what somebody may do with a bucket.
type Rights uint8

const (
	Read  Rights = 1 << iota // read and list objects
	Write                    // create, overwrite and delete objects
	Owner                    // change the bucket's settings and delete it
)

// All is every right.
const All = Read | Write | Owner

// Has reports whether r includes all of want.
func (r Rights) Has(want Rights) bool { return r&want == want }

func (r Rights) String() string {
	var names []string
	for _, n := range []struct {
		right Rights
		name  string
	}{{Read, "read"}, {Write, "write"}, {Owner, "owner"}} {
		if r.Has(n.right) {
			names = append(names, n.name)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, "+")
}

// EveryBucket stands for all buckets in Identity.Buckets.
const EveryBucket = "*"

// Identity is somebody who can sign requests. What it may do with a bucket is what
// grants on the bucket to any of its principals allow, and what Buckets allows.
type Identity struct {
	AccessKey     string
	Secret        string
	Name          string // for people
	CreateBuckets bool
	// Principals are the grantees that it is, who it is first: its access key, if that is
	// built in, or else Person(name); then each Group(name) that it belongs to.
	Principals []string
	// Buckets holds the rights on buckets, by their names or EveryBucket, that do not come from
	// grants: the groups of LDAP carry them. They hold for whichever bucket has the name.
	Buckets map[string]Rights
}

// ID is who it is, whatever its access key is just now: a bucket that it makes belongs to this grantee.
func (i Identity) ID() string {
	if len(i.Principals) == 0 {
		return i.AccessKey
	}
	return i.Principals[0]
}

// BucketRights is what Buckets allows with the bucket of the name.
func (i Identity) BucketRights(name string) Rights { return i.Buckets[name] | i.Buckets[EveryBucket] }

// LogValue is the identity as it may be logged: without its secret.
func (i Identity) LogValue() slog.Value {
	return slog.GroupValue(slog.String("access_key", i.AccessKey), slog.String("id", i.ID()))
}

const personPrefix, groupPrefix = "person:", "group:"

// Person is the grantee for the person or machine with the name, whatever its access key.
func Person(name string) string { return personPrefix + name }

// Group is the grantee for all members of the group with the name.
func Group(name string) string { return groupPrefix + name }

// Closed is a grantee that nobody is: a bucket with a grant to it is closed to all clients, whatever other rights they have on it.
// No key, person or group has this name, and nobody is granted it: what fills a bucket sets it and takes it away.
const Closed = "closed:"

// PersonOf is the name of the person that a grantee is, if it is one.
func PersonOf(grantee string) (string, bool) { return strings.CutPrefix(grantee, personPrefix) }

// GroupOf is the name of the group that a grantee is, if it is one.
func GroupOf(grantee string) (string, bool) { return strings.CutPrefix(grantee, groupPrefix) }

// IsAccessKey reports whether a grantee is an access key, not a person, a group or Closed.
func IsAccessKey(grantee string) bool {
	return grantee != Closed && !strings.HasPrefix(grantee, personPrefix) && !strings.HasPrefix(grantee, groupPrefix)
}

// Source finds identities. Implementations are safe for concurrent use.
type Source interface {
	// Find returns the identity with the access key. Kinds: NotFound (entity AccessKey),
	// Unavailable if nobody can know just now, Overloaded if too many ask.
	Find(ctx context.Context, accessKey string) (Identity, error)
}
