package access

import (
	"fmt"
	"slices"
	"strings"

	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
)

// Verdict is what a reason says.
type Verdict uint8

const (
	Note    Verdict = iota // it decides nothing
	Allows                 // it gives what is needed, or a part of it
	Refuses                // so it is refused
)

// Sources of reasons: what a step looked at.
const (
	FromIdentity  = "identity"
	FromGroup     = "group"
	FromOperation = "operation"
	FromBucket    = "bucket"
	FromGrant     = "grant"
	FromDirectory = "directory"
	FromPublic    = "public access"
	FromDefault   = "default"
)

// Reason is one step of a decision.
type Reason struct {
	Verdict Verdict
	Source  string
	Text    string // for people
}

// Explain tells whether somebody may do an operation, as gateways decide, and the steps of the decision. who is nil for somebody who does not
// sign; b is nil if there is no such bucket, or the operation is on none.
func Explain(who *identity.Identity, operation string, n Need, name string, b *meta.Bucket) (allowed bool, reasons []Reason) {
	say := func(v Verdict, source, text string, args ...any) {
		reasons = append(reasons, Reason{v, source, fmt.Sprintf(text, args...)})
	}
	if who == nil {
		say(Refuses, FromPublic, "nobody has signed: there is no public access")
		return false, reasons
	}
	for _, p := range who.Principals {
		if group, is := identity.GroupOf(p); is {
			say(Note, FromGroup, "member of the group %s", group)
		}
	}
	switch {
	case operation == CreateBucket && who.CreateBuckets:
		say(Allows, FromIdentity, "may create buckets")
		return true, reasons
	case operation == CreateBucket:
		say(Refuses, FromIdentity, "may not create buckets")
		return false, reasons
	case n.Rights == 0:
		say(Allows, FromOperation, "%s needs a valid signature and no right on a bucket; it shows those on which there is a right", operation)
		return true, reasons
	case b == nil:
		say(Refuses, FromBucket, "there is no bucket %s", name)
		return false, reasons
	}
	say(Note, FromOperation, "%s needs %s on the bucket", operation, n)
	if b.Closed() {
		say(Refuses, FromBucket, "the bucket %s is closed to all clients: a migration fills it, and opens it when that is done; where the standalone is lost, garage bucket open does", name)
		return false, reasons
	}
	given := func(r identity.Rights) Verdict {
		if r&n.Rights != 0 {
			return Allows
		}
		return Note
	}
	for _, g := range b.Grants {
		if slices.Contains(who.Principals, g.Grantee) {
			say(given(g.Rights), FromGrant, "the bucket grants %s to %s", g.Rights, people(g.Grantee))
		}
	}
	for _, by := range []string{b.Name, identity.EveryBucket} {
		if r := who.Buckets[by]; r != 0 {
			which := "the bucket " + by
			if by == identity.EveryBucket {
				which = "every bucket"
			}
			say(given(r), FromDirectory, "groups in LDAP carry %s on %s", r, which)
		}
	}
	have := Rights(who, *b)
	if n.Allows(have) {
		say(Allows, FromOperation, "%s is there", n)
		return true, reasons
	}
	say(Refuses, FromDefault, "%s is needed and %s is there: what nothing allows is refused", n, have)
	return false, reasons
}

func (n Need) String() string {
	if n.Any {
		return strings.ReplaceAll(n.Rights.String(), "+", " or ")
	}
	return n.Rights.String()
}

// people is a grantee as people say it.
func people(grantee string) string {
	if name, is := identity.PersonOf(grantee); is {
		return "the person " + name
	}
	if name, is := identity.GroupOf(grantee); is {
		return "the group " + name
	}
	return "the key " + grantee
}
