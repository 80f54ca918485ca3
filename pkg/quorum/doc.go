// Package quorum decides what a write to, and a read from, several owners does
// next. It is pure: events and the time go in, actions come out; there is no
// goroutine, clock, randomness or I/O here. Package cluster carries the actions
// out; a test or a simulation can do it instead.
//
// A Write goes to all owners at once and is answered when a majority has
// acknowledged it. For an owner that is away another node stands in, which counts as the owner
// would. What the rest did not get in time becomes a debt that an
// owner with the data records. A Read asks the nearest owner, another when that
// one is slower than usual or fails, and answers "not found" only when every
// owner, and then every other node that is alive, said so.
//
// Health keeps what is known of one node: how fast it answers, and whether it
// is worth asking at all. Window keeps how much one can be sent at a time.
//
// A machine belongs to one goroutine. Each of its methods returns the actions
// that the event calls for, in a slice that the next call reuses. For every
// Send, Feed, Owe and Ask it must be told the outcome, once, unless it has given up
// the call by Cancel before; outcomes of calls that were given up are ignored. Wake says
// when Tick must be called next.
package quorum
