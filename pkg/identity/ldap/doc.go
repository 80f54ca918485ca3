// Package ldap finds identities in an LDAP directory: an entry of a person or a machine carries an
// access key and its secret, and the groups that it belongs to carry rights on buckets.
//
// Any schema will do: the attributes are named in [Config]. Who an entry is follows from its name, not
// from its access key: grants are to identity.Person(name) and identity.Group(name), so that a new
// access key changes nothing. The access key of an entry is therefore no principal of it, and an entry
// that takes the access key of a built-in key gains nothing of what was granted to that key.
//
// What a value of the rights attribute looks like:
//
//	photos:read,write     read and write, on the bucket photos
//	photos:all            all rights (read, write and owner)
//	*:read                read, on every bucket
//
// or three other attributes list buckets, one attribute for each right. A value that cannot be
// understood gives nothing, and is logged.
//
// Time. An answer is kept for Config.CacheTime, counted from before the directory was asked: so long a
// revoked key, or a member that left a group, may go on to be served. That there is no such key is
// kept for the shorter Config.RefusedTime. When the directory cannot be asked, kept identities serve
// until they are Config.AwayTime old, and a key that is not kept is Unavailable: not refused, since
// nobody knows. One lookup at a time then finds out whether the directory is back. The same holds for
// whether who has signed in still belongs to a group.
//
// Invariants:
//
//   - The secret of an entry never reaches a log, an error or a metric.
//   - What comes from a request reaches a filter only escaped, and an entry counts only if its access
//     key is the one asked for, byte for byte: directories compare without regard to case.
//   - Two entries with one access key are nobody.
//   - Every operation has a deadline; connections, lookups that wait for one, and kept answers are bounded. Too many lookups are
//     Overloaded, and make nothing serve longer than its time.
//   - Passwords and secrets cross a network only under TLS, or if Config.Insecure asks for less.
//
// Start reading at [Source.Find]. kept.go holds the decisions (pure), entry.go and rights.go what
// entries mean (pure), lookup.go the searches, and pool.go the connections.
package ldap
