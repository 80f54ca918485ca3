// Package events keeps what happened in a cluster: the durable log of one rebalancer ([Log], on package journal), what has changed between two
// looks at the cluster ([Changes], pure), and how the logs of several rebalancers are read as one ([Merge], pure).
//
// Invariants:
//
//   - Noting never delays what is noted: the queue has a bound, and what finds it full is counted and said in the log when there is room again.
//   - Who needs to know that a line is kept ([Log.NoteDurably], for the audit log) waits for the sync. All that waits at the same time is
//     synced together. Every batch is synced: there are few, and after a crash the last minutes are what one wants to read.
//   - A log is read while it is written, one reader at a time; the end of the log is not delayed by it.
//   - Paging through merged logs gives every event once, also when new ones come and when a log cannot be read for a while.
//   - No event holds a secret.
//
// Start reading at [Log] and [Changes].
package events
