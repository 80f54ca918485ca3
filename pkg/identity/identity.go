// Package identity says who asks and what they may do with a bucket. Sources
// of identities are built-in keys (package keys) and, in a cluster, LDAP.
package identity

import (
	"context"
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

// Identity is somebody who can sign requests.
type Identity struct {
	AccessKey     string
	Secret        string
	Name          string // for people
	CreateBuckets bool
}

// Source finds identities. Implementations are safe for concurrent use.
type Source interface {
	// Find returns the identity with the access key. Kinds: NotFound (entity AccessKey), Unavailable.
	Find(ctx context.Context, accessKey string) (Identity, error)
}
