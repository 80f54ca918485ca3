// Package heal keeps what a chunk-node holds as the layout wants it: it hands over what belongs to other nodes (walk.go),
// pays what it owes them (debts.go), compares with the other owners (compare.go), fetches what it lacks (wanted.go),
// reads everything to find what went bad (scrub.go), and asks metadata why it keeps what it keeps (collect.go, suspects.go, trash.go).
// While clients read, each task handles one chunk at a time, and pauses after it (yield.go).
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
//     source, so that a simulation can run many nodes from one seed. The service runs the tasks, one goroutine each. While Busy says so, a task
//     also waits on its own turn (yield.go), which only what Each runs of the same task holds; the simulation leaves Busy nil.
//   - Only what Deps.Each calls runs several at a time: rebalance.partition (walk.go), each for another partition, repair.settle (debts.go)
//     and repair.get (wanted.go), each for another chunk. So Local, Peers, tasks.Progress, outage and Busy are safe for concurrent use;
//     comparing and reading are sequential.
//   - Every task is bounded in rate. After a restart a walk, a scrub and a long collection go on where they were, and a repair begins anew.
//
// # Uncompared
//
// A node that began with an empty disk, and has not yet compared with all other owners since, is uncompared (Engine.Uncompared): it may lack any chunk,
// also one that it does not know of, and so does not count as a copy. Several disks count as one here: one that is added, lost or empty is enough. It begins
// when the program starts with disks of an incarnation for which no note says that the node has compared, and so survives a restart, in which the comparison
// begins anew. It ends, with that note, when under the layouts in force all that the node owns was compared with each other owner that is not given up
// (repair.go); with an owner that is away, when it returns. A node that is new, to which a layout gives everything, ends it at once: the walks of others fill it.
// Otherwise it does not end while an older layout is in force, and each change of the layouts in force has the node compare anew.
//
// # Long collection
//
// A reference that metadata wants gone may be left: its write failed and could not be recorded, or a node that was away for longer than
// tombstones are kept brought it back, or the metadata was restored from a snapshot, and its objects have new attempts. Such a reference is
// removed by the nodes that hold it, each for itself, when metadata did not know its attempt in two rounds and in none between them, the wait (a day)
// apart, and once more when it was asked about it just before. No reference that a complete version needs goes so:
//
//   - An attempt has a UUID of its own and begins once. Metadata knows it from the acknowledgement of its begin until its last reference was
//     removed at every owner (invariants A and B of package meta), whatever becomes of it meanwhile: an upload, a part, an object, garbage. So
//     what is not known has not begun, or is over. Copies, restored objects and snapshots have attempts as all others have.
//   - An attempt of which a reference comes first begins within an hour, by that clock of the gateway which says more (package body of
//     the gateway); the wait is at least two. What begins later is not committed.
//   - The answer is that of every copy of the metadata (meta.FindAttempts.Everywhere): one copy that knows is enough, also where a majority was lost
//     and came back empty. An error, a part of an answer, one about other attempts and one of another cluster are none, and metadata that is being
//     restored gives none until all is back.
//   - Time is that for which the node's program has run, by its monotonic clock, added up over restarts. A clock that is set, as that of a
//     machine without a battery is after each start, makes no wait shorter; time in which the node was off or asleep does not count.
//   - Metadata that is wrong as a whole (empty, of last month, of which a snapshot is still to be restored) does not know very many. If it does not know
//     over 1 % of the node's references, for however short a time, a round removes none and asks the operator, whose yes is to a number. A round
//     removes nothing that it had not counted before.
//   - What was removed by mistake all the same stays in the trash for a week, whatever is deleted meanwhile. Each round also asks about the references in
//     the trash, and has back those that metadata knows: it is enough to put the metadata right within the week. References with new
//     attempts, as a restore of a snapshot makes, bring the chunk back by PutRef and Put.
//   - A reference leaves the trash for good, and its chunk with the last one, only by a round that has looked at everything and has reason to trust metadata,
//     and that has asked about it just before; and when the week is over of the time for which the node has run. No clock empties the trash (trash.go).
//   - Each node judges for itself: what is in its trash it does not have removed at other owners, and who brings the reference again takes it out.
//
// A node that still has such a reference may bring it back when tombstones are forgotten. It goes again as it went, there too.
//
// Start reading at Local, Peers and Metadata, which are all it works with.
package heal
