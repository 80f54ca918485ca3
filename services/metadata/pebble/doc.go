// Package pebble keeps metadata in Pebble, a log-structured store inside the
// process: the metadata of a standalone Garage.
//
// Every write is one batch and one sync, which Pebble shares among the writers
// that wait at the same time. A write holds the lock of its bucket (shared; the
// deletion of the bucket takes it alone), of its upload and of its keys, in this order, from
// its first read until the batch is applied, and waits for the sync without
// them. A write that changes nothing still waits for a sync before it answers,
// because what it saw may not be durable yet; so does ListGarbage, because the
// references of what it lists are then deleted for good.
//
// A read sees a write as soon as it is applied, and waits for its sync before it answers: of an object, if the last write of its
// key (or of one that shares its lock) is not durable yet; a listing of objects, parts or uploads, if any write is not. Otherwise
// a crash could take back what was read (unsynced.go).
//
// Keys begin with a byte that names the table; keys.go lists them. The row of
// an object is kept twice: small, for listings, and whole, with its inline body. Usage totals are
// added up by a merge operator and mirrored in memory, where also the buckets are.
//
// When a sync fails the store takes no more writes: what is on the disk is no
// longer known until it is opened again.
//
// A write that Pebble has begun cannot be given up, so room.go decides before it
// begins: with little free space only writes that free some are served, none
// while flushes or compactions fail, and writes wait there for a disk that does not keep up.
//
// Start reading at Open and txn.
package pebble
