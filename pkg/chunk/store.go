package chunk

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/buffer"
)

// Ref is why a chunk is kept: an attempt to write a body, and the offset of
// the chunk in it, in bytes. A Ref is never used for two chunks, nor again
// after it was removed.
type Ref struct {
	Attempt uuid.UUID
	Offset  uint64
}

// AppendBinary appends the 16 bytes of the attempt and the offset in 8, most significant first: what is compared and put in order.
func (r Ref) AppendBinary(b []byte) ([]byte, error) {
	return binary.BigEndian.AppendUint64(append(b, r.Attempt[:]...), r.Offset), nil
}

// Compare puts references in order: negative if r comes before o.
func (r Ref) Compare(o Ref) int {
	return cmp.Or(bytes.Compare(r.Attempt[:], o.Attempt[:]), cmp.Compare(r.Offset, o.Offset))
}

func (r Ref) String() string { return fmt.Sprintf("%v@%d", r.Attempt, r.Offset) }

// Outcome is the answer to a Put or PutRef that did not fail.
type Outcome uint8

const (
	Stored   Outcome = iota // the chunk and the reference are durable
	SendData                // (PutRef only) the store does not have the bytes: Put them
	Gone                    // the reference was removed before: nothing was stored, and trying again is no use
)

func (o Outcome) String() string {
	switch o {
	case Stored:
		return "stored"
	case SendData:
		return "send data"
	case Gone:
		return "gone"
	}
	return fmt.Sprintf("outcome %d", uint8(o))
}

// Store keeps chunks as long as they are referred to. Implementations are safe
// for concurrent use. Every method may fail with kinds Unavailable, Overloaded,
// Deadline or Canceled; a call that failed may or may not have had its effect,
// and may be repeated.
type Store interface {
	// Get returns the bytes of a chunk, verified against its hash. The caller
	// releases the buffer. Kinds: NotFound; Corrupted if only bad copies exist.
	Get(ctx context.Context, h Hash) (*buffer.Buffer, error)

	// Put stores the chunk, if it is not there, and adds the reference. When
	// it returns Stored both are durable: they survive a power cut. The buffer
	// stays the caller's; an implementation that needs it after it returned
	// retains it. Kinds: Invalid if data does not have the hash h or is empty
	// or larger than MaxSize; Full.
	Put(ctx context.Context, h Hash, data *buffer.Buffer, ref Ref) (Outcome, error)

	// PutRef adds a reference if the chunk's bytes are there, whole and
	// durable, and answers SendData if they are not.
	PutRef(ctx context.Context, h Hash, ref Ref) (Outcome, error)

	// Delete removes a reference, known or not; it can never be added again.
	// Once it returns nil that is durable. A chunk without references goes
	// after a grace period.
	Delete(ctx context.Context, h Hash, ref Ref) error
}

// VerifiedPutter is a Store that spares hashing what the caller has just
// hashed: for callers in the same process who made h from data themselves.
type VerifiedPutter interface {
	// PutVerified is Put without looking whether data has the hash h.
	PutVerified(ctx context.Context, h Hash, data *buffer.Buffer, ref Ref) (Outcome, error)
}

// NodeID names a chunk-node for good: a UUID made when its folder was formatted.
type NodeID = uuid.UUID

// Node is a Store on one machine, with what other parts of the cluster tell it.
type Node interface {
	Store

	// PutFor is Put on a node that does not own the chunk and stands in for an owner that is away: that it owes the
	// chunk to owner is as durable as the chunk when Stored is answered.
	PutFor(ctx context.Context, h Hash, data *buffer.Buffer, ref Ref, owner NodeID) (Outcome, error)

	// Owe tells the node, which has the chunk, that another owner did not get
	// it: the debt is kept on disk until it is paid. ref is the reference that
	// the owner lacks.
	Owe(ctx context.Context, h Hash, ref Ref, owner NodeID) error

	// Repair hands the node the good bytes of a chunk of which it holds a
	// reference but no good copy; otherwise it does nothing. It never adds
	// a reference. Kinds: Invalid if data does not have the hash h.
	Repair(ctx context.Context, h Hash, data *buffer.Buffer) error

	// Status describes the node as it is now.
	Status(ctx context.Context) (NodeStatus, error)
}

// NodeStatus is what a chunk-node says about itself.
type NodeStatus struct {
	ID          NodeID
	Incarnation uuid.UUID // random, written when the folder was formatted
	ClusterID   uuid.UUID
	Version     string // of the program
	Chunks      int64  // chunks with at least one reference
	Bytes       int64  // plain bytes of these
	StoredBytes int64  // bytes on disk of all blobs
	Uncollected int64  // chunks without reference that wait for collection
	Owed        int64  // entries in the queue of what other nodes lack
	Quarantined int64  // bad blobs found and not yet repaired
	Capacity    int64  // bytes Garage may use here
	Free        int64  // bytes left of the capacity
	ReadOnly    bool   // nearly full, or a disk failed
	Problem     string // why it is read-only, or empty
	Disks       []DiskStatus

	Layout  uint64 // number of the layout it has adopted: it answers no request of an older one; 0: none
	Walked  uint64 // number of the last layout of which it has handed over all that belongs to others; 0: none
	Foreign int64  // chunks in partitions that it does not own in that layout
	Wanted  int64  // chunks of which it lacks a good copy and looks for one
	Trashed int64  // bytes in the trash
	Damaged int64  // copies that turned out bad or missing since the program was started
	Mended  int64  // such copies that a good one has replaced since then
	// Uncompared is that it has begun with an empty disk, and has not yet compared what it holds with all other owners since: it may lack any chunk.
	Uncompared bool

	Tasks []TaskStatus
}

// DiskStatus describes one disk of a node.
type DiskStatus struct {
	Path     string
	Capacity int64 // bytes
	Free     int64 // bytes
	Failed   string
}
