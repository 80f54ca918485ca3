// Package report is a chunk-node's part of what it and the active rebalancer tell each other: how it is, every few
// seconds as long as it runs, and whether it may stop.
//
// Invariants:
//
//   - One stream at a time is open, to who is the active one now; a change of who that is, or of its
//     term, ends it, and another begins within a second or two.
//   - The node obeys no rebalancer whose term is lower than the highest that has accepted it, and tells each the highest that it
//     has obeyed: one that holds the lock of a Consul that has lost its data then begins a higher one. A leave counts only
//     if it came from that term, and only for the time that it says, from when it was asked for.
//   - From the moment at which the node decides to stop, all it reports says so.
//   - A planned stop waits for leave, but never for ever: while it is refused up to [Config.LeaveTimeout], and
//     while there is nobody to ask only up to [Config.LeaveWithout].
//
// Start reading at [Reporter.Run] and [Reporter.Leave].
package report
