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
//  3. Cut-over: the standalone answers writes with 503 SlowDown. Passes without limit of rate follow, which also delete what
//     is gone there, until one finds no difference: that is the verification.
//  4. The standalone notes durably that it has left. Then keys and rights are made here, and when gateways have forgotten what
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
//   - Nothing is deleted at the standalone, and nothing in the cluster but in buckets that have the ID of one of its own.
//
// A key is deleted here only in the cut-over, so that its timestamps only rise. Where a cut-over that failed has left a later
// deletion behind, an object gets a later time than it had. A bucket that is deleted there between two calls stays
// here, closed. The rows of the final pass decide how long writes are held back: some ten thousand objects a second.
// What does not come along: when the parts of an upload under way were written, and the answers of completions, which
// a client that repeats one across the cut-over asks in vain.
//
// Start reading at [migration.run].
package migrate
