// Package meta defines Garage's metadata: what a store of it promises, in
// terms of what S3 means (begin an upload, add chunks, commit, resolve a key,
// list, delete), not of tables.
//
// Start reading at Store. Package memory implements it for tests, the metadata
// service on Pebble, package remote over gRPC; package metatest is the
// conformance suite that all of them pass.
//
// Invariants:
//
//   - A: the attempt of every chunk row belongs to an upload, an object version
//     or a garbage entry (a holder).
//   - B: references in the chunk store are removed first, then chunk rows, then
//     the holder.
//   - Order: a write that starts after another write of the same key was
//     acknowledged wins, whatever the clocks say: the timestamp of a version is
//     given at commit, above that of the newest version it finds.
//   - What is not committed is never visible and never hides what is.
//   - Of conditional writers whose conditions exclude each other, one wins.
//   - A read that starts after a write was acknowledged sees it or a later one,
//     in listings too.
package meta
