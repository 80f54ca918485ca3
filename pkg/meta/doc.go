// Package meta defines Garage's metadata: what a store of it promises, in
// terms of what S3 means (begin an upload, add chunks, commit, resolve a key,
// list, delete), not of tables.
//
// Start reading at Store. Package memory implements it for tests, the metadata
// service on Pebble and on CQL databases, package remote over gRPC; package
// metatest is the conformance suite that all of them pass. Package listing has the decisions
// of listings, rules.go those of conditions and of what no store takes.
//
// Invariants:
//
//   - A: the attempt of every chunk row belongs to an upload, an object version
//     or a garbage entry (a holder), and to one of them only.
//   - B: references in the chunk store are removed first, then chunk rows, then
//     the holder.
//   - Order: a write that starts after another write of the same key was
//     acknowledged wins, whatever the clocks say: the timestamp of a version is
//     given at commit, above that of the newest version it finds.
//   - What is not committed is never visible and never hides what is.
//   - Of conditional writers whose conditions exclude each other, one wins.
//   - A read that starts after a write was acknowledged sees it or a later one,
//     in listings too.
//   - What an answer rests on is durable when the answer is given, also if the
//     call itself changed nothing: above all, what ListGarbage lists.
//
// # What the contract leaves open
//
// Everything can be kept in a database with partitions, quorums and lightweight
// transactions on single partitions, without a lock held across calls; the
// metadata service's package cql says how it does that. For this
//
//   - a commit may be refused because its bucket was deleted while it was under
//     way: NotFound (Bucket), and nothing of it is visible;
//   - Conflict is for a conditional writer that lost its claim on the key to
//     another one, and has left nothing;
//   - a completion may be finished by whoever finds it begun: an abort that
//     comes later answers NotFound (Upload), a repetition the same version;
//   - the keys of DeleteObjects are deleted independently of each other, but a
//     key named twice in the order of the request;
//   - the cursor of ListGarbage is any bytes, a page may be empty and not the
//     last, and garbage that is made during a walk may show only in the next.
//     IDs of garbage name rows: what is dropped twice is no error;
//   - Usage is exact when no write is under way and no service has crashed;
//     services that write one key at the same moment may make it drift.
package meta
