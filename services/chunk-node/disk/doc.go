// Package disk keeps chunks on the disks of one machine. It is the only
// package that touches their folders.
//
// A disk's folder holds
//
//	disk.json         format, cluster, node and the disk's incarnation
//	blobs/<3 hex>/    a file per blob: the rest of the hash, ".zst" if compressed
//	tmp/              files being written; emptied at start
//	quarantine/       copies that turned out bad, kept until a good one replaced them
//	index/            Pebble, unless configured elsewhere
//
// A blob file without suffix holds the chunk's plain bytes and nothing else, so
// any BLAKE3 tool can check it against its name. Blobs below a threshold are
// values in the index, next to their references. The keys are in index.go.
//
// Invariants, and where they are kept:
//   - A Put is answered after: temporary file synced, renamed, folder synced,
//     index synced, in this order (store.go, files.go, group.go).
//   - A chunk is collected by removing its entry, syncing the index, and only
//     then removing the file, all within the writer of its range (group.go).
//   - All decisions about a hash are taken by one writer at a time (writer.go),
//     by the pure rules of package state.
//   - What is visible in the index is durable, unless syncs are switched off.
//   - After a failed sync nothing is written to the disk until the program is
//     started again (volume.go). Reads go on: they are verified. Pebble is kept
//     from going on after a failure (index_failure.go); a failed rotation of its
//     log ends the whole process, since Pebble panics there.
//   - What layouts and other nodes ask of a disk is decided by the same writers: chunks that others hold now are dropped, and
//     chunks without a good copy here are wanted (mend.go). What a stand-in owes to owners is kept with the reference (debts.go),
//     and notes of the node's tasks are on every disk, so that one that dies takes none away (notes.go).
//   - Bytes are returned only if they have the chunk's hash (read.go).
//
// Start reading at Store and volume.
package disk
