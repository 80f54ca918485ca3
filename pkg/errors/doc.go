// Package errors gives Garage's errors a kind that survives the wire.
//
// An error says what happened (Kind), to what (Entity and Name) and, in its
// message, what to do about it. Services return these errors; grpc.go translates
// them to gRPC and back, and the S3 gateway translates them to S3 codes, each
// in one place. The functions of the standard package are repeated
// here so that callers need one import; only Is differs, which asks for a kind: [IsTarget] is errors.Is.
//
// Invariants: ToStatus and FromStatus keep kind, entity and name; the end of a context is Canceled or
// Deadline, and any other error without a kind is Internal.
//
// Start reading at [Kind] and [Error].
package errors
