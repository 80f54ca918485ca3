// Package cql keeps metadata in a CQL database that several metadata services share: ScyllaDB or
// Apache Cassandra 4.1 and 5.0.
//
// Start reading at Open, then schema.go, commit.go and claims.go. statement.go is the one way to run statements.
//
// # Statements
//
// Reads and writes are at QUORUM (or LOCAL_QUORUM), so that a read sees every write that was acknowledged before
// it. Rows that several may decide (names, states, claims) are changed by lightweight transactions only; all
// others are written with an explicit write time (USING TIMESTAMP), so that they may be repeated, on other nodes too. A
// transaction is never repeated by the driver: one that failed is decided by whoever reads it next at SERIAL.
//
// A read that gets no answer is tried on the next node when its time is over; it is not sent to a second one before. The
// driver can do that (speculative execution), but a second try that finds no other node up ends the read with an
// error though the first is still under way: with a node down, slow reads would fail. Nodes that are slow behind the one that was asked are the
// database's to go around (speculative_retry, on by default).
//
// LOCAL_QUORUM is taken only for a keyspace that is in one datacentre of the database, where it is the same as QUORUM (datacenters.go): a quorum of one
// datacentre and one of another, or of both, need not meet. Before a keyspace is brought to a second datacentre, set all services to QUORUM.
//
// # Schema
//
// A table that two nodes of Cassandra make at once has two IDs there, and the nodes do not agree any more. So all
// services change the schema through the same node (schema_node.go), and wait until all nodes agree, before and after. When the first table is there,
// a lease in it, taken by a transaction, says which of them migrates. ScyllaDB puts changes of the schema in one order by itself.
//
// # Versions of a key
//
// A key is in one shard, its versions are rows of one partition, newest first. A row is written once, with its
// version's timestamp as write time. A deletion has the write time of the row that it removes: it wins against that
// row, however late that comes, and touches no other.
//
// A commit inserts its row and, at the same time, reads the newest versions, its bucket's state, its upload's state and whether
// a conditional writer holds the key: one wait. If it finds a version above its own, it moves above it, in one batch. If it looks again
// later, it moves only above conditional writes that were decided without it: others came at the same time and stay above. So a write that starts after another was acknowledged wins, whatever the clocks say.
//
// The chunk rows that come with a commit are written beside its row and are in the row too (tail): whoever sees the row
// has them, though the service may have crashed between; Chunks and ListGarbage look there while any of them is missing.
//
// What a commit took for granted may have ended meanwhile. Who ends a bucket or an upload says so by a
// transaction, waits longer than a lease, and then looks for rows: a commit that began before, and was durable within
// a lease of its begin, is found; one that took longer asks again before it answers. Leases are measured on
// each machine's monotonic clock. A single upload that another service began is read before its commit,
// so that nothing of an upload that has ended shows even for a moment: one wait more.
//
// # When a commit fails
//
//   - Before the insert was sent, nothing happened.
//   - An insert that failed may be there, or come later: the answer, Unavailable, says that this is open. It is left, as it may
//     have been read. Only the row of an upload is taken back, by a deletion with its write time, because the upload may be aborted
//     and lose its chunks: such a row may have been seen for a moment; if it cannot be taken back, it may show. A caller
//     that goes away cuts no commit off, so that it is the database's failure that this takes.
//   - A crash after the insert leaves a whole row. The upload's row says committed (done), or is settled by
//     the sweeper, which finds the row by its upload.
//   - A crash between the mark done and the insert leaves an upload that no row belongs to: after a lease the
//     sweeper finds that, and all it holds is garbage.
//   - A deletion that takes a row back may arrive long after. So before what a version replaced is listed as garbage, that
//     version is written once more, a microsecond later (confirm.go), and nothing takes it back. The same is done before
//     any service answers, or settles, an upload by a row that another call wrote: that call may be about to fail.
//   - A write without upload that was cut off is repeated by its commit ID, which is the ID of its version (commit_again.go): its row,
//     if it is the newest of its key, is the answer; if it is not, the answer is Unavailable, as nobody knows whether it was replaced or
//     was never raised above what it found. If there is none, it is made; should the first one come after all, it is lower,
//     or, by as much as clocks differ, above what was written meanwhile, as any write may that was answered with an error.
//
// # Conditional writes
//
// Claim the key (transaction), wait until unconditional commits that did not see the claim are durable or look again (settle),
// read the newest version, check, decide (transaction on being the holder still: the moment of winning; the claim then
// has the whole row), write the row, release. The version has the time at which the key was taken, or the next above what it was checked against: unconditional
// writers that met the claim wait for its end and look again (raise), and come above it if it did not see them (outran). Whoever meets a claim waits; one that is overdue is
// finished if it is decided, and cancelled if not, after which its holder gets Conflict and has left nothing. The holder may stop between any two
// steps: what it does later is the same row with the same write time again, or fails in the transaction. Clocks that
// differ only make claims overdue sooner or later.
//
// What remains between conditional and unconditional writers: an unconditional commit that the database delays beyond
// settle may be read at its first place, below or above a conditional write of the same moment, before it
// is answered; it then moves above that, if the condition was not checked against it. A reader in between may see the two in
// the other order. Between unconditional writers the same may happen where the first look itself is slow: it shows a version that
// began after the row was inserted, and the row moves above it. And a commit that was answered with an error and could not be taken back may show at
// any later time, also above a conditional write that was decided without it.
//
// # Clocks
//
// What is removed for good is removed by its age, by the clock of the service that sweeps. A commit through a service whose clock
// is behind that one by more than the grace would write below it, and be lost. So each service compares its clock
// with the database's, at the start and every minute, and reckons between by its monotonic clock (skew.go): while it is
// further away than a quarter of the grace it serves nothing, says so, and goes on by itself when the clocks are right.
// Of several database nodes the middle clock counts; how far these are from each other adds to what services may differ.
//
// # Buckets
//
// bucket_ids decides whether a bucket takes writes; the name points to it. Creation: the ID's row, the name, live.
// Deletion: deleting, wait, look through all shards, deleted (as the deleter still), free the name. What
// a crash leaves is finished by the next who meets it. The row of the ID stays until the sweeper found the partitions empty.
// A bucket has 16 shards. The number is kept with the bucket and may differ, but nothing changes it yet.
//
// # Usage
//
// Each service adds up what it wrote and writes its totals down every second, when it is asked, and when it is closed. A crash loses the last second. Two
// services that write the same key at the same moment may both count what was there before, or neither: totals then drift by
// that object. Two deletions of a key at the same moment, through two services, may likewise both answer that it existed. What took effect though its answer was an error is not counted. In one service
// writers of a key come one after the other, so that it counts exactly what it acknowledged. Nothing puts right what has drifted.
//
// # Uploads through several services
//
// A service remembers what it has begun. Where another one has finished or ended that since, the first may still write chunk rows of
// the attempt, before it finds that out and answers so: rows too many, never too few, behind those that count.
//
// # Attempts that were never begun
//
// A begin writes at once that the upload, or the part, is there and, beside the chunk rows to come, what the attempt belongs to. One that
// fails half, or a part's that comes late, may leave the latter alone. It is not taken back on failure: a repetition that succeeded has
// written the same, with the same write time, and the chunks would then belong to nothing. The sweeper, which goes from
// uploads and objects, does not find it. So long collection, which asks about attempts, is told that it belongs to nothing (forsaken) when the upload's
// ID is older than a day and no copy of the metadata has a row of the upload, or of a version with the attempt; then the references go.
// What stays is the description, some hundred bytes, and the references where the ID of the upload has no time. The other stores begin in one step.
//
// # Tombstones
//
// gc_grace is 10 days: a node that was away for longer must be rebuilt, not rejoined, and repair runs weekly. Only rows of
// single uploads keep theirs for 3 hours: they are checked against the objects before anything rests on them.
//
// Until the sweeper has come, a deleted key is two rows that a listing reads over. A page therefore ends after about 25,000 rows, with
// where to go on, though it may be empty. With a delimiter it ends between two common prefixes only, as After would otherwise skip
// one: over 300,000 deleted keys in a single one a page takes some seconds.
//
// # ScyllaDB
//
// All of this is tested on Cassandra 5.0 only; nothing of it was run on ScyllaDB, nor on Cassandra 4.1.
//
// Read in ScyllaDB's manual (2025.1 to 2025.3, features/lwt and kb/lwt-differences): lightweight transactions are not supported in keyspaces with
// tablets, so the keyspace is made with tablets = {'enabled': false}, and one with tablets is refused; transactions
// answer the old row also when they are applied, so results are read by name.
//
// From general knowledge, not checked: that the table system_schema.scylla_keyspaces says whether a keyspace has tablets; static columns, USING
// TIMESTAMP per statement in unlogged batches of one partition, unset values and range deletions with a write time as in
// Cassandra; and that write times more than three days ahead of the database's clock are refused (restrict_future_timestamp), which those
// used here keep below as long as services' clocks are right to a day. Materialised views, secondary indexes and counters are not used.
package cql
