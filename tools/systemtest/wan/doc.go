// Package wan measures what distance costs: a cluster at three sites, one chunk-node each, with round trips of 100 ms between them, and
// gateway and metadata in one of them, where the client is too. What a request takes is stated in round trips: the time over links with a
// delay, less that over links without, on the same processes, so that the speed of the machine does not count.
//
// The test has the build tag stack and needs root; tools/bench prints the same with --wan. Start reading at [Measure].
package wan
