// Package collection checks both halves of what is promised about deleting: what no object refers to is removed from the disks in the
// end, whatever became of the request that stored it; and what a complete object refers to stays.
//
// The times of the design are shortened by settings: a chunk goes 1 s after its last reference (10 min by default), and an upload of a
// single object is given up after 3 s without progress (24 h by default).
package collection
