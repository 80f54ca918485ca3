// Package console is what the operator sees in a browser: pages of plain HTML, style and ES modules in static/, and
// the few addresses below /console/ that they speak to.
//
//	GET  /console/                  the pages; open, since they hold nothing
//	POST /console/sign-in           begins a session (form: user, password); /console/sign-out ends it
//	GET  /console/session           who is signed in, and the token that changes carry
//	POST /console/api/METHOD        a method of the admin API, in JSON as protobuf maps it
//	GET  /console/events            the status of the cluster as server-sent events, whenever it changed
//	GET  /console/objects           what a bucket holds; /console/object (GET, PUT, DELETE) is one of them, /console/link leads others there
//	POST /console/upload            begins an upload in parts; PUT sends one, DELETE removes them all, and POST …/complete makes the object
//
// There is one bridge for all methods of the admin API, which is what the command line calls too: so both have the same powers.
// Objects are read and written by requests to S3 that the console signs with an access key that the operator chooses: so the rules of S3
// hold, and nothing bypasses them. A file that is larger than a part is sent in parts, one after the other: the size of an object is bounded by S3 alone,
// and what breaks off is sent again from the beginning of the part. Nothing of a body is kept here on its way.
//
// Invariants:
//
//   - Nothing but the pages is answered without a session. A session is known by 256 random bits in a cookie that scripts cannot
//     read; only their hash is kept, in memory, bounded in number and time. A person must be a member of the operators' group each time they ask
//     for something, or are told something: who has left it is signed out within the time in which LDAP's answers are kept.
//   - What is not a GET comes from the same origin, and from somebody who has read the token of the session: a page of another site can do neither.
//   - Every method of the admin API is classified in methods.go. What changes something, or lays a secret open, is in the audit log
//     with who, from where, what and how it ended, and never with a secret: calls of the admin API are noted there by the rebalancer, what is done to
//     objects, and signing in and out, by the console. Of objects these are downloads, links with their validity, uploads, and removals, each with
//     key, bucket, object, and version or upload; an upload in parts is noted when it begins and when it ends. Listings are not: each click is one,
//     and they show names that any operator sees. Nor are the parts, which nobody sees before the upload is completed.
//   - No script, style, image or connection of another origin (Content-Security-Policy); what comes out of a bucket is
//     handed over as a download, never shown as a page of this origin.
//   - Nothing is waited for without an end: what is short has a time in all, and of a body something must move, on the side of the browser and of S3.
//   - The status is looked up at most once a second however many follow it, and not at all while nobody does. It is sent when it has changed, and partitions are asked for when their revision has.
//
// Start reading at [Console.ServeHTTP].
package console
