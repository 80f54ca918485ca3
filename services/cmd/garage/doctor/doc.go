// Package doctor judges what was learned about a cluster: what is wrong, how much that matters, and what to do.
//
// Invariants: it is pure, facts in and findings out; what was not learned is no finding, but that it was not; every finding says what to do; a
// consequence of another finding is not told again where that can be seen.
//
// Start reading at [Examine] and the list of checks; each has a file or a place of its own, and is tested where it finds something and where
// it finds nothing.
package doctor
