// Package unfinished is what a cluster keeps of each migration into it that has not ended: its notes, in a closed bucket that no client can
// make. Services share it, as one writes into the copies (package services/metadata/migrate) and another opens them to clients.
//
// In the bucket of the notes are
//
//	copy/ID          a bucket that the migration made; the body is its name
//	doubt/ID/…       keys of that bucket that are being written, or of which a write failed
//	at-work/…        a heartbeat: when who migrates, or removes the copies, was at work last, by its clock
//	opening/ID/…     a mark: somebody is opening that bucket, or removing the notes if it is theirs; the body is its name
//
// Invariants:
//
//   - Nobody writes into a copy that is open to clients. Each side first writes its own and then reads the other's: who migrates puts a heartbeat before it looks
//     for marks, and writes only for some seconds after that; who opens puts a mark before it looks for a heartbeat. So one of the two sees the other.
//   - A heartbeat counts for longer than a write may last that began with it, and clocks may differ ([HeartbeatLife]).
//   - An opening that was broken off keeps migrations away until it is done again, as it may have opened the bucket, or still do it.
//   - When no copy is closed any more, the notes are removed.
//
// Start reading at [Open].
package unfinished
