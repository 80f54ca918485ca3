// Package accesslog writes a line of JSON for each S3 request, in the format that nomad/metrics.md describes.
//
// Invariants: no line holds a secret or a signature (the query is written without them); a request never waits for the log: a line
// for which the queue has no room is dropped and counted; a line is written whole.
//
// Start reading at [Log.Write] and [Log.Follow].
package accesslog
