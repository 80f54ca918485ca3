// Package identity says who asks and what they may do with a bucket.
//
// A [Source] finds an [Identity] by its access key: built-in keys (package keys), a directory (package ldap), or both
// ([Combine]: a built-in key wins). What an identity may do with a bucket adds up from two places: grants on the bucket to
// any of its principals (meta.Bucket.Rights), and the rights that groups of a directory carry by the bucket's name
// ([Identity.BucketRights]). What neither allows is refused, and a bucket that is [Closed] refuses all.
//
// Invariants:
//
//   - A grantee is an access key, a [Person], a [Group] or [Closed]; no access key looks like one of the others ([IsAccessKey]).
//   - A source that cannot know answers Unavailable, never NotFound: who asks is told to try again, not refused.
//   - The secret of an identity is in no log.
//
// Start reading at [Identity].
package identity
