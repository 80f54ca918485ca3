// Package load runs random concurrent operations on a set of keys, remembers what was asked and answered and when, and checks
// that the answers could have come from one register per key (linearizability, by porcupine).
//
// It is the load under which the suites kill, pause and corrupt. A write whose answer never came may have happened or not, at any
// time after it was sent; everything that was acknowledged must be seen by every later read. Bodies are compared too: each read is
// matched by its ETag with a body that was sent.
//
// The sequence of operations of each worker is a function of the seed; their interleaving is not. Start reading at [New].
package load
