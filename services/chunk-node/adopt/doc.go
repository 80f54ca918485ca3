// Package adopt keeps the layouts that a chunk-node has adopted, and lets in only requests that were computed with the
// current one of them.
//
// So an acknowledgement holds for one layout: what is written with an older one is refused, and what was let in before
// the newer one was adopted is known to be under way (Gate.Settled), so that a walk that begins after it sees all of it.
//
// Invariants: what was adopted is on disk before anybody is told; a node never goes back to an older layout, not after a
// restart either.
//
// Start reading at Gate; Peers are the other nodes of these layouts.
package adopt
