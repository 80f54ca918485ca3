// Package simulation runs a whole cluster of chunk-nodes from a seed, to find what no test of one part finds: nodes that are
// lost and return, disks that are emptied or go bad, messages that are late, lost or come twice, and layouts that follow each
// other while clients write, read and delete.
//
// What is real is package heal with the tasks of a node, and the rules of package state; what is simulated is the network, the
// clock, the disks, the clients and the operator. Each process is a goroutine that runs only when the scheduler hands it the
// turn and that waits only by calls of this package, so the same seed gives the same run, to the last event (Result.Trace).
//
// A model knows what was acknowledged, and checks what Garage promises, during the run (model.go) and after it, once all is
// whole again and had time to heal (Run):
//
//   - a chunk that a living reference needs can be read, with the right bytes, whichever layout the reader knows of;
//   - the last good copy of such a chunk is never dropped or collected, and no layout is retired that it still needs;
//   - who says that it has a chunk has a good copy, but for bits that went bad and that nobody has read since;
//   - in the end every owner has a good copy with exactly the living references, and nobody else has anything;
//   - a reference that was removed never comes back;
//   - a node whose disk was emptied is uncompared, also after a crash, until it knows of all that it owns and that lived by then, and is not in the end.
//
// A reference may be left over that a stand-in handed over after it was removed everywhere else. The nodes' long collection
// finds it, which asks the model (metadata.go) and may remove nothing else. In some runs the model is wrong for a while about references that
// live, for no longer than these stay in the trash: they are had back, and all is well in the end.
//
// A crash leaves what was acknowledged. Of what was being written it leaves nothing, a part or all, as the order of package disk allows
// (contents.go, disk.go): a file without entry, an entry whose file was moved away, an entry that is gone and its file is not; and a power cut
// brings back files whose removal nobody synced. Now and then the power of all goes at once, just after something was acknowledged.
//
// Folders are copied, also while in use, so that the copy lacks files, ends of files and entries, and a second process is started on the copy, or
// on the original when the copy has taken its place (copies.go). Consul's part is simulated as package consul plays it: others reach the process
// that holds the ID, or the one before for as long as they have not heard, and one that does not hold it works on its own folder at most. What
// a folder misses that comes back is a disk's loss.
//
// The operator's disasters stay within what is promised: no fault takes the last good copy that an owner holds.
//
// Start reading at World and Run.
package simulation
