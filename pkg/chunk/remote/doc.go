// Package remote is a chunk.Node on another machine, over gRPC.
//
// A chunk travels as a stream of frames: a header, then data frames of at most
// 256 KiB. Codec encodes data frames straight from the segments of a buffer
// and lets the receiver refer to the bytes that gRPC received; everything else
// is plain protobuf, and what is on the wire is what the .proto file says. The
// receiver copies the pieces once, into the segments of the process's pool:
// that bounds its memory, gives gRPC's buffers back at once, and lets the
// segments be hashed and written whole. The server side is in the chunk-node
// service.
//
// Invariants:
//   - A chunk that was received is verified against its hash before anybody
//     sees it, by the client as by the server.
//   - Received bytes are counted in the process's pool.
//   - A request names the node it is meant for; another node refuses it, so an
//     address that was given to another machine does no harm.
//
// Start reading at Client, then Receiver and Frame.
package remote
