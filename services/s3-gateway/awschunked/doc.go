// Package awschunked reads the body of a request as its signature says: plain, plain with the SHA-256 of the whole, or
// in aws-chunked encoding with signed or unsigned chunks and an optional trailer.
//
// New is the way in. What it gives reads straight from the connection into the caller's memory: only the short lines
// between chunks pass through a small buffer of its own, so a body is copied once, whatever its size.
//
// Invariants:
//   - A body is good only when Read has answered io.EOF. A chunk's signature can be checked only at its end, so bytes
//     are handed out before they are known to be right; whoever stores them must not commit before io.EOF.
//   - io.EOF comes with the last bytes, in the same Read, after everything else was checked: chunk signatures, the
//     trailer and its signature, the declared length. A caller that stops at the declared length has seen the verdict.
//   - After an error every Read answers the same error, and no bytes come with it.
//   - Memory is bounded by lineMax and trailerMax, whatever is sent.
//
// Start reading at New, then chunked.go and trailer.go. The encoding is described in "Signature Calculations for the Authorization
// Header: Transferring Payload in Multiple Chunks" and "Including Trailing Headers" of the Amazon S3 API reference.
package awschunked
