// Package checksum computes and compares the checksums that S3 knows: the MD5 of ETags and Content-MD5, and CRC32,
// CRC32C, CRC64NVME, SHA1 and SHA256 of the x-amz-checksum-* headers and trailers.
//
// Start reading at Asked (what a request wants checked), then Stages (hashes that run side by side while a body
// passes) and multipart.go (checksums and ETags of objects made of parts).
//
// Invariants:
//   - A body is hashed where it lies: stages retain the buffers of the data path, they do not copy them.
//   - A small body is hashed in the caller's goroutine; a large one by at most one goroutine for MD5 and one for a SHA.
//     CRCs cost so little that they never get one.
//   - Whoever makes Stages closes them; Close waits for their goroutines.
//
// Measured on an Intel Xeon with SHA and AVX-512 extensions, in CPU-seconds per GiB: crypto/md5 2.1 to 2.4 however many
// streams; md5-simd 2.8 for one stream, 2.6 for two, 1.2 for three, 0.85 for four, 0.5 for eight. So MD5 goes to
// md5-simd from the third concurrent body on (Hashers). SHA-256 0.9, SHA-1 1.2, CRC32C 0.07, CRC32 0.04, CRC64NVME 0.03.
package checksum
