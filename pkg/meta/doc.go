// Package meta defines Garage's metadata: what a store of it promises, in
// terms of what S3 means (begin an upload, add chunks, commit, resolve a key,
// list, delete), not of tables.
//
// Start reading at Store. Package memory implements it for tests, the metadata
// service on Pebble, package remote over gRPC; package metatest is the
// conformance suite that all of them pass. Package listing has the decisions
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
// # A store in a database of many machines
//
// The contract is such that it can be kept on a database with partitions,
// quorums, and lightweight transactions on single partitions (CQL), without a
// lock held across calls. How each promise would be kept there:
//
//   - Buckets and keys: names by lightweight transaction on a row per name. A
//     bucket's row has a state: DeleteBucket sets it to deleting by lightweight transaction,
//     then looks at every shard for an object at QUORUM; it goes on, or sets it
//     back. Every commit reads the state after it wrote its row and, if it is not live,
//     takes its row back and answers NotFound (Bucket): of a commit and a deletion that race, one sees the other.
//   - Objects live in shards (hash of the key modulo S); a key is in one shard, so
//     that its versions are one partition and a replacement one batch.
//   - PutObject: insert the row with a timestamp from the hybrid clock and read
//     the newest row of the key at the same time, both at QUORUM; if that is newer, replace the own
//     row by one above it in one batch before answering. What lies below the
//     newest row is garbage without being moved: ListGarbage finds it there.
//     The upload goes from open to completed after the row is written; an upload
//     that is given up is set to aborted by lightweight transaction, and a writer
//     whose last progress is old reads it before it answers.
//   - Repeating a commit finds the attempt in the newest row; repeating a
//     completion finds the answer in the upload's row, which is kept for a time (TTL)
//     in place of what ListGarbage forgets here.
//   - Conditions: claim the key by lightweight transaction, read the newest row,
//     decide, write, release; the decision is a second lightweight transaction. Conflict is for
//     a holder that lost its claim.
//   - DeleteObjects: per key a hidden marker by the protocol of PutObject; the
//     rows below it are garbage. The answers are independent of each other, so keys go in parallel,
//     except that a key named twice is deleted in the order of the request.
//   - List: listing.Merge over one iterator per shard (both sets of shards while
//     a bucket's shards double), listing.Walk on top; markers and versions below the
//     newest are stepped over in the iterator, which seeks past a key after 8 of them.
//   - Uploads: BeginUpload writes one row; AddChunks reads the state and writes
//     chunk rows in a batch per attempt. Rows that arrive late, after an
//     abort, are removed by DropGarbage with a write time above any that a writer can
//     use, and found by long collection if they are later still.
//   - FinishPart writes a row (upload, number, attempt) whose time is that of
//     the hybrid clock; the newest of a number is the part, those below it are garbage.
//   - CompleteUpload: open → completing by lightweight transaction with the list of
//     parts, then the object's row, then completed with the answer. Whoever finds
//     completing finishes it: an abort that comes later answers NotFound (Upload).
//   - ListGarbage: its cursor is a place in a walk over all shards, so it may be any
//     bytes, a page may be empty and not the last, and new garbage may show only in the next walk. It
//     reads at QUORUM after what it lists was repaired to be there: durable is what a quorum has.
//     IDs of garbage name rows, so dropping twice finds nothing and is no error.
//   - Usage: a row per writer with its own totals; the sum is the total. It is
//     exact when no write is under way.
package meta
