// Package chunktest is the conformance suite of chunk.Store: every
// implementation passes it by calling Run from a test of its own.
//
// A store that is also a chunk.Node is held to that contract too, and one that
// is a Damager has its copies damaged to see that nothing wrong is served.
// Start reading at Run.
package chunktest
