package heal

import (
	"context"
	"time"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/layout"
)

// Local is what the node itself holds: package disk implements it, and a simulation does. It may have several disks: an error about a
// chunk or a partition says nothing of others. What Creditors, Debts and Wanted could read comes beside their error; a disk that is out of use
// (chunk.DiskFailed) has none.
type Local interface {
	chunk.Node
	chunk.Inventory

	// Held are the partitions of which the node holds anything, and those that cannot be read, of which it is not known; both in order.
	Held(ctx context.Context) (held, unreadable []chunk.Partition, err error)
	// Hashes lists up to limit chunks of a partition of which the node knows anything but tombstones, with hashes above after, in order; fewer: the end.
	Hashes(ctx context.Context, p chunk.Partition, after chunk.Hash, limit int) ([]chunk.Hash, error)
	// Chunk is the entry of a chunk; its Refs are empty when it waits for collection. Kinds: NotFound.
	Chunk(ctx context.Context, h chunk.Hash) (chunk.Entry, error)

	// Drop forgets a chunk and its references, without tombstones, if its live references are exactly refs (in order) and still says so:
	// it tells whether it did. The copy goes once that is durable. still is asked at the moment of the decision: what is decided about
	// the chunk afterwards finds it gone.
	Drop(ctx context.Context, h chunk.Hash, refs []chunk.Ref, still func() bool) (dropped bool, err error)

	// Trash removes live references as Delete does, but so that they can be had back: the chunk is kept as long as one is in the trash, whichever
	// went last. at is how long the node has run; of those that are in the trash already it is noted anew.
	Trash(ctx context.Context, h chunk.Hash, refs []chunk.Ref, at time.Duration) error
	// Untrash takes Trash back for references to which nothing happened since. So do Put, PutRef and Want.
	Untrash(ctx context.Context, h chunk.Hash, refs []chunk.Ref) error
	// Purge forgets those of the references that are in the trash, for good. Nothing else does, but Delete of the reference: no time that passes.
	Purge(ctx context.Context, h chunk.Hash, refs []chunk.Ref) error
	// InTrash reports whether a reference was removed by Trash and can be had back.
	InTrash(ctx context.Context, h chunk.Hash, ref chunk.Ref) (bool, error)
	// Trashed lists up to limit references of a partition that are in the trash, above after (in the order of hash and reference); fewer: the end.
	Trashed(ctx context.Context, p chunk.Partition, after Trashed, limit int) ([]Trashed, error)

	// Creditors are the nodes to which the node owes anything, in order.
	Creditors(ctx context.Context) ([]chunk.NodeID, error)
	// Debts lists up to limit debts to an owner above after (in the order of hash and reference); fewer: the end.
	Debts(ctx context.Context, owner chunk.NodeID, after Debt, limit int) ([]Debt, error)
	// Paid strikes out a debt.
	Paid(ctx context.Context, h chunk.Hash, ref chunk.Ref, owner chunk.NodeID) error

	// Want notes durably that the node should hold a chunk with these references and lacks the bytes. References that were removed here
	// stay removed; a good copy that is there just gets the references.
	Want(ctx context.Context, h chunk.Hash, length uint32, refs []chunk.Ref) error
	// Wanted lists up to limit chunks without a good copy whose next try is due, the longest due first; then those whose next try is more than
	// LatestTry after now: the clock that said so was ahead.
	Wanted(ctx context.Context, now time.Time, limit int) ([]chunk.Damage, error)
	// Tried notes that a chunk was not to be had, and when to try again.
	Tried(ctx context.Context, h chunk.Hash, problem string, next time.Time) error

	// Verify reads a chunk's copy and checks it: a bad one is put into quarantine and wanted. It returns the bytes read from the disk, and whether the copy is good.
	// Kinds: NotFound.
	Verify(ctx context.Context, h chunk.Hash) (bytes int64, good bool, err error)

	// Note and SetNote keep a small value of a task durably. A note that was never set is nil.
	Note(ctx context.Context, name string) ([]byte, error)
	SetNote(ctx context.Context, name string, value []byte) error
}

// Debt is what the node owes to another one: a chunk, or a reference of it, that the other should hold.
type Debt struct {
	Hash  chunk.Hash
	Ref   chunk.Ref
	Since time.Time
}

// Trashed is a reference in the trash.
type Trashed struct {
	Hash chunk.Hash
	Ref  chunk.Ref
	At   time.Duration // for how long the node had run when it went there
}

// Peers are the other nodes.
type Peers interface {
	// Layouts are those that the node has adopted; nil before the first.
	Layouts() *layout.Active
	// Settled returns once no request of a layout older than number is under way here. Kinds: Canceled, Deadline.
	Settled(ctx context.Context, number uint64) error
	// Peer is another node of the layouts in force; its requests carry the number of the layout that the node has adopted now. Kinds:
	// NotFound; a request that fails with layout.Differs calls for CatchUp.
	Peer(id chunk.NodeID) (chunk.Peer, error)
	// Alive reports whether the node is believed to answer.
	Alive(id chunk.NodeID) bool
	// CatchUp makes the two sides agree about the layouts after a request that failed with layout.Differs.
	CatchUp(ctx context.Context, id chunk.NodeID, err error) error
}
