// Package clock makes time and randomness dependencies, so that a test or a
// simulation can decide what they are, and orders writes with a hybrid clock.
//
// Invariants: a [Hybrid] never gives the same [Timestamp] twice and never goes back, whatever its
// clock does; a timer of [Manual] fires only when a test moves the clock.
//
// Start reading at [Clock]; [Hybrid] is for the order of writes.
package clock
