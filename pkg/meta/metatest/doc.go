// Package metatest is the conformance suite of meta.Store: every
// implementation calls Run in a test of its own. Each sentence of the contract
// that can be broken has a test named after it.
//
// Compare runs the same random operations on two stores and compares every answer
// and, at the end, everything they hold.
//
// Start reading at Run.
package metatest
