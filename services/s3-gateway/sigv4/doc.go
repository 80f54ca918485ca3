// Package sigv4 decides whether a request carries a valid AWS Signature Version 4, in the Authorization header or in
// the query (presigned), and whose it is. It also checks the signature of a POST form's policy.
//
// Start reading at Verifier.Verify. The rest is in the order of the work: credential.go (the parts of the header and of
// the credential scope), presign.go (the query's parameters), canonical.go (the canonical request), payload.go (what
// x-amz-content-sha256 may say), signing.go (derived keys and the comparison), policy.go (POST forms).
//
// Invariants:
//   - The path is signed as it was received. It is decoded once and encoded once, byte by byte, and never cleaned:
//     "a/../b", "a//b", "%2F" and bytes that are no UTF-8 stay what they are.
//   - The host is the Host header as received, never X-Forwarded-Host.
//   - Every x-amz-* header that was sent must be signed, and host as well.
//   - Signatures are compared in constant time. No error tells a signature or a key that the client did not send.
//   - Nothing here reads the body: Result.Payload says how the body must be read, and package awschunked does it.
//
// The rules follow "Authenticating Requests (AWS Signature Version 4)" in the Amazon S3 API reference.
package sigv4
