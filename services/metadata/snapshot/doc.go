// Package snapshot copies all metadata into one stream while clients write, and restores it from there: buckets, keys, grants and
// objects with their chunks, not the bytes of these, which chunk-nodes keep, and no uploads under way: these were not acknowledged, but for parts
// of multipart uploads, which who restores loses, and whose clients begin the upload again.
//
// A snapshot is a file in the metadata service's data folder, and an object in the bucket [Bucket], so that its chunks are stored, kept
// and healed like those of any object. The last chunk of that object is the root: it lists the others, and its hash is in the
// recovery code, from which a snapshot is read without any metadata.
//
// Invariants:
//
//   - Each object in a snapshot is a version that was the newest of its key at some time while the snapshot was taken, with all
//     its chunks. One whose chunks are not all there while its version stays is damaged: it is counted as incomplete and left out.
//   - A reader acts on nothing that it has not checked: a stream that was cut or damaged is an error, at the latest at its end, and
//     nobody gets a right on a bucket before that.
//   - Restored objects have new attempts, since references of old ones may have been removed. An object is committed when each of its
//     chunks has its reference; one whose chunks are gone is left out, and told.
//   - A store is marked durably from before the first change of a restore until all is there. While it is, no snapshot is taken of it and none
//     is removed to make room, clients are refused, and nobody is told why chunks are kept: what is not there may not be there yet.
//   - What is in the store stays: a restore that was interrupted is begun again, and goes on where it was.
//
// Start reading at [Take] and [Restore]; stream.go has the format.
package snapshot
