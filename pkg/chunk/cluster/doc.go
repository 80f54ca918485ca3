// Package cluster is a chunk store over many nodes: it keeps each chunk on the
// owners of its partition in the current layout, and finds it at those of older layouts in force, too. A node that
// has adopted a newer layout refuses what is sent to it: an operation that cannot do without it ends with Newer.
//
// What is written goes to all owners at once and is answered when a majority
// has it durably. An owner that has not acknowledged a little later is given
// up, and one that did is told what the other lacks (chunk.Node.Owe), so
// that nothing acknowledged is silently short of copies. An owner that is away is replaced by another node, which
// keeps the chunk and the debt until the owner is back: there are all copies meanwhile. What is read comes from
// the nearest owner that answers; a slow one is overtaken by another, a bad
// copy is replaced by a good one, and the bytes of a node in another process are
// verified here again, so that wrong bytes are never returned.
//
// A node that does not answer is asked last, and probed until it does. One
// behind a slow link is sent no more at a time than it can take in a few
// seconds: writes that can do without it leave it out and have it owed, writes that
// cannot wait for room in turn (admit.go).
//
// The decisions are those of package quorum; this package carries them out. An
// operation (operation.go) is run by its caller's goroutine until it is
// answered, and by one of the store's after that. Every call to a node has
// a goroutine, which ends when the node answers or the call is given up.
// Close waits for all of them.
//
// Start reading at Store, then put.go and get.go.
package cluster
