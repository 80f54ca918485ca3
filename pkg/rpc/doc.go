// Package rpc is how Garage's services talk gRPC: one set of options for servers and connections
// (flow-control windows, keepalive, message sizes, request IDs, metrics, kinds of errors), a [Server]
// with a life cycle, and [Dial].
//
// Invariants:
//   - a handler returns errors of package errors and a caller gets them back with their kind;
//   - a unary call without a deadline gets one ([DefaultDeadline]); streams live as long as their context;
//   - a connection that is broken without notice is found within 5 s of sending, and within 15 s by keepalive while a call waits;
//   - windows are wide enough that one connection fills a link of 1 Gbit/s with a 50 ms round trip;
//   - with certificates from Consul's CA ([Mesh]) both sides are who their certificates say, and who may call what
//     stands in one table (callers.go): what is not in it is refused.
//
// [EnumText] puts the values of enumerations into words.
//
// Start reading at [ServerOptions] and [Dial], and at [Identity] for who speaks with whom.
package rpc
