// Package heal keeps what a chunk-node holds as the layout wants it: it hands over what belongs to other nodes (walk.go),
// pays what it owes them (debts.go), compares with the other owners (compare.go), fetches what it lacks (wanted.go), and
// reads everything to find what went bad (scrub.go).
//
// Invariants:
//
//   - A chunk is dropped only when every owner in the current layout has just said that it holds the chunk with each of the
//     references that are live here, and nothing changed here meanwhile, neither the references nor the adopted layout (drop.go).
//   - A node that the operator has given up (layout.Active.Lost) and that does not answer counts as having no copy when there seems to be
//     none anywhere: then a walk does not wait for it, and the chunk is reported. It never counts as an owner that has one: nothing is dropped for that.
//   - A disk that cannot be used is in the way of its partitions only. They are never taken for empty: a walk does not end before the disk
//     is repaired, or was replaced, or taken away, by the operator.
//   - A reference goes to another node before or with the data, never after it was removed here: one that was removed is
//     answered by Gone, and is then removed here too.
//   - What is found missing or bad is on disk (Local.Want, Local.Verify) before anything is done about it.
//   - A walk counts as finished only if it began after every request of an older layout had ended here.
//   - A task starts no goroutine, waits only on the clock, on peers and on the local store, and takes no random number but from its
//     source, so that a simulation can run many nodes from one seed. The service runs the tasks, one goroutine each.
//   - Only what Deps.Each calls runs several at a time: rebalance.partition (walk.go), each for another partition, repair.settle (debts.go)
//     and repair.get (wanted.go), each for another chunk. So Local, Peers, tasks.Progress, outage and Busy are safe for concurrent use;
//     comparing and reading are sequential.
//   - Every task is bounded in rate. After a restart a walk and a scrub go on where they were, and a repair begins anew.
//
// Start reading at Local and Peers, which are all it works with.
package heal
