// Package state decides what a chunk-node does with one chunk: it is pure.
//
// Every function takes what is known about a hash, an event and the time, and
// returns what is known afterwards and the effects to carry out. Package disk
// carries them out, in the order that makes them durable; a simulation can
// drive the same decisions from a seed. Nothing here starts a goroutine, reads
// a clock, draws a random number or touches a disk.
//
// Invariants:
//   - References are a set by identity. A removed reference stays removed for
//     as long as its tombstone is kept (Rules.Tombstones), so neither a late
//     Put nor a repeated Delete can change what other references keep.
//   - A chunk is collected only when no reference is live at that moment and
//     none was for Rules.Grace, and when none is in the trash. What is there
//     leaves it by a decision, never by the time of day.
//   - Stored is answered only where the node holds a good copy.
//   - A good copy is looked for exactly as long as a reference is live and there is none.
//
// Start reading at Chunk and Chunk.Put.
package state
