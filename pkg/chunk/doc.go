// Package chunk defines what a chunk is and what a store of chunks promises.
//
// A chunk is a piece of an object's body, named by the BLAKE3-256 hash of its
// plain bytes. It is kept as long as something refers to it: a Ref names one
// try to write a body (the attempt) and the offset in it. References are a set
// by identity, so adding and removing are idempotent, and a reference that was
// once removed can never be added again: whatever order messages arrive in, a
// late Put cannot bring a removed chunk back, and a repeated Delete cannot
// take away what another reference keeps.
//
// Store is the centre. Package memory implements it for tests, the chunk-node
// service on disks, package remote over gRPC and package cluster over many
// nodes; package chunktest is the conformance suite that all of them pass.
package chunk
