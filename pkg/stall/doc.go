// Package stall ends HTTP exchanges whose client stalls: one that sends nothing of a body, or takes nothing of an answer, would
// keep its connection for ever, and connections are bounded.
//
// Servers here have no timeouts for whole requests, because objects are large: what is bounded is how long nothing moves.
// Where a server has no deadlines, as test recorders, nothing is bounded. [Transport] is the same for who is the client of another server.
package stall
