// Package migrate takes what a standalone Garage has into the cluster of this metadata service, while clients go on reading
// and writing there ("garage migrate"). It pulls: the standalone serves its metadata, read-only, and its chunks on its
// administration port (package services/standalone/move).
//
// A migration goes like this:
//
//  1. Plan: what there is, and what is in the way: names or access keys that the cluster has already, no layout, no room, clocks
//     that differ, an S3 endpoint that does not answer. A dry run ends here.
//  2. Copy, in passes. A pass lists each bucket here and there in the order of keys, and copies each object whose version differs:
//     new attempts, references for its chunks (those that the cluster lacks are fetched, at a bounded rate), rows, then the
//     object with the time, ETag, checksums, parts and attributes that it had. Multipart uploads under way keep their ID. Passes
//     repeat until one finds little.
//  3. Cut-over: the standalone answers writes with 503 SlowDown. What writes that failed have left in doubt is settled (below). Passes without limit of rate follow, which also delete what
//     is gone there, until one finds no difference: that is the verification.
//  4. The standalone notes durably that it has left, and to which cluster: it goes to no other. Then keys and rights are made here, and when gateways have forgotten what
//     they knew, it forwards all requests to the cluster, as they were signed.
//
// Invariants:
//
//   - Until the standalone has left, it has everything and the cluster's copy is nobody's: it is closed ([identity.Closed]), so that rights by
//     its name, from groups in LDAP, do not hold either. A pass touches no bucket that is not marked so.
//   - From then on it never takes a write again. It left while writes were held back without a gap, after a pass without difference.
//   - An object that is committed here has a reference to each of its chunks; it was read in full or left out. One that is damaged at
//     the standalone is named, and stops the cut-over unless the operator wants it left out.
//   - All state is in the two stores and in the note of the standalone: whoever dies, the same command goes on. Who holds writes
//     back and is not heard of for a lease loses the hold, and writes go on.
//   - One migration at a time writes here: who gets no answer from the standalone stops long enough before its lease ends there
//     for its last write to be over. A copy would else come above what a later migration, or a client, has written.
//   - Nothing is written into a copy that is open to clients, or that an operator is opening: what could be is written only for some seconds after a renewal
//     of the hold, each of which puts a heartbeat into the notes and then looks for openings (package pkg/meta/unfinished, which operators open copies with).
//   - Nothing is deleted at the standalone, and nothing in the cluster but in closed buckets that have the ID of one that it has, or had when it was copied.
//   - When the standalone leaves, what the cluster has is certain: no write of the migration comes or goes later.
//
// A key is deleted here only in the cut-over (or when the copies are abandoned), so that its timestamps only rise. Where a cut-over that failed has left a later
// deletion behind, an object gets a later time than it had. The rows of the final pass decide how long writes are held back: some ten thousand objects a second.
// What does not come along: when the parts of an upload under way were written, and the answers of completions, which
// a client that repeats one across the cut-over asks in vain.
//
// # What is in doubt
//
// A database may do a write that it answered with an error, at any later time, and so it may do what was to take one back. A copy of
// an object that was deleted meanwhile at the standalone would come to light; one that was seen, and taken for done, would go. No read shows that in
// advance. So keys are noted before they are written or deleted (notes.go), some at a time, in a bucket of the cluster that
// is closed and the migration's own, and a note goes when all writes of its keys were acknowledged, each at the first try. What is left, of this call or of
// one that was killed, is settled in the cut-over: each key is written again, as it is at the standalone or to be deleted, with a time above
// all that was tried before, of whatever clock, which is noted first. It then has a time up to two minutes ahead, and as much more for each settling before that failed.
//
// An upload whose begin was in doubt, and that ended at the standalone before it could be begun again, may show as one under way without parts.
//
// # Abandoning
//
// An unfinished migration is abandoned (abandon.go) by removing the copies: the standalone, which must say that it has not left and be held for this, has everything.
// Buckets that clients may have used are refused. The notes say which buckets are copies, so that one goes too that was deleted at the standalone since. Another
// migration into the same cluster waits until the sweeper has removed what the copies were; the IDs of uploads under way can be used again two days later, as
// a database with several services keeps late writes to them away for that long.
//
// Start reading at [migration.run].
package migrate
