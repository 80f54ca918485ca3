// Package s3gateway is the service that S3 clients talk to. It knows chunks and metadata only by their contracts
// (chunk.Store, meta.Store): whether they are in the same process or in another place makes no difference to it.
//
// Start reading at New and Run here, then in package api (one file for each operation) and package body (the data path).
// Packages sigv4, awschunked, checksum, postform and s3err are S3's protocol details; xmlapi is its XML.
//
// Invariants: nothing is served to who may not have it; a body is never held whole in memory; every request has bounds on
// time, memory and size; what is not implemented is refused.
package s3gateway
