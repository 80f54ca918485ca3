// Package heal takes a cluster at three sites through what its operators and its machines do to it, under a load of reads and writes:
// nodes added, drained, lost and replaced, layouts changed twice at once, the leader killed in between; a whole site stopped, or cut
// off behind links that lose and delay; bits flipped, files removed, a disk that is full, a clock that jumps.
//
// At the end of each case every acknowledged object is intact; every chunk that is referred to has as many good copies as the layout says,
// on its owners and nowhere else, with the same references; and when all objects are deleted, nothing is left on any disk.
// What the nodes hold is not asked but read: they are stopped, and the test opens their folders.
//
// The tests have the build tag stack and need root; each case has a network, a Consul and a cluster of its own, so that they run side by
// side. Start reading at begin in main_test.go, then settled and inspect.
package heal
