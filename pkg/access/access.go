package access

import (
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
)

// Rights is all that somebody may do with a bucket: by grants, and by the groups that carry rights themselves. With a closed
// bucket it is nothing.
func Rights(who *identity.Identity, b meta.Bucket) identity.Rights {
	if b.Closed() {
		return 0
	}
	return b.Rights(who.Principals...) | who.BucketRights(b.Name)
}

// Need is the rights on a bucket that an operation needs. The zero Need is a valid signature and nothing else.
type Need struct {
	Rights identity.Rights
	Any    bool // one of them is enough
}

// Allows reports whether somebody with these rights may.
func (n Need) Allows(have identity.Rights) bool {
	if n.Any {
		return n.Rights == 0 || have&n.Rights != 0
	}
	return have.Has(n.Rights)
}
