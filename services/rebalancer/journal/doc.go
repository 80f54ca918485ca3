// Package journal keeps lines of JSON in files of a folder: what is appended stays, in order, until it is too old or there is too much.
//
// Invariants:
//
//   - What Append returned without error is on disk. A batch costs one sync, however many lines it has.
//   - Lines are numbered from 1 and never renumbered. A file's name says the number of its first line and when it was begun, so the number
//     of a line follows from its place, also when a line before it is damaged.
//   - A line that a crash cut off was not acknowledged: it is taken away before the next is appended, and never read.
//   - A write or a sync that fails leaves what was there before as it was. The file is not written to again: the next batch begins another.
//   - The files together have at most [Options.MaxBytes] and a batch; the oldest goes first. A clock that jumps back makes nothing old.
//   - No file is open between calls, and one folder has one Journal: the lock of the data folder sees to it.
//
// Start reading at [Journal.Append].
package journal
