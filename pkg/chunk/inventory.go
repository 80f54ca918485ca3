package chunk

import (
	"bytes"
	"context"
	"time"

	"deuxfleurs.fr/garage/pkg/errors"
)

// Buckets is how many parts a partition has when nodes compare what they hold.
const Buckets = 256

// Bucket is the part of its partition that the hash falls into: its fourth and fifth hexadecimal digit.
func (h Hash) Bucket() uint8 { return h[1]<<4 | h[2]>>4 }

// Sum sums up the live references of a bucket or a partition: equal sums mean equal sets. It is the first 16 bytes of a
// BLAKE3; that of a bucket is over its hashes in order, each followed by its references in order (Ref.AppendBinary), that of a partition
// over the sums of its buckets, and nothing at all sums up to zero.
type Sum [16]byte

// UnknownSum stands for a partition whose disk cannot be read now: what the node holds of it is not known, and nothing follows from it.
var UnknownSum = Sum(bytes.Repeat([]byte{0xff}, len(Sum{})))

// Entry is a chunk with live references, as a node has it.
type Entry struct {
	Hash   Hash
	Length uint32 // of the plain bytes
	Good   bool   // its copy is there, as far as is known
	Refs   []Ref  // live ones, in order
}

// Inventory is what a node tells others about what it holds, so that they can compare (anti-entropy).
type Inventory interface {
	// PartitionSums are the sums of these partitions, in their order; UnknownSum for one that cannot be read.
	PartitionSums(ctx context.Context, partitions []Partition) ([]Sum, error)
	// BucketSums are the sums of the buckets of a partition.
	BucketSums(ctx context.Context, p Partition) (*[Buckets]Sum, error)
	// Entries lists up to limit chunks of a bucket with hashes above after, in order; fewer: the end.
	Entries(ctx context.Context, p Partition, bucket uint8, after Hash, limit int) ([]Entry, error)
}

// DiskFailed reports whether a node failed to do something because the disk of the chunk or partition is out of use. It answers for
// what is on its other disks.
func DiskFailed(err error) bool { return errors.IsEntity(err, errors.Unavailable, errors.Folder) }

// Peer is a node as another node sees it.
type Peer interface {
	Node
	Inventory
}

// NoGoodCopy is how Damage.Problem begins when every node of the layouts in force was asked and none has a good copy.
const NoGoodCopy = "no good copy anywhere"

// Damage is a chunk of which a node has references and no good copy.
type Damage struct {
	Hash    Hash
	Refs    []Ref // live ones, at most a few
	Since   time.Time
	Tries   int    // to get a copy from other nodes
	Problem string // of the last one
}

// Task is work that a node does beside what clients ask for.
type Task uint8

const (
	Rebalance  Task = iota + 1 // hand over what the layout gives to others
	Repair                     // compare with the other owners, fetch what is missing, pay what is owed
	Scrub                      // read every blob and check it
	Collection                 // remove what nothing refers to
	LongCollection
)

// TaskState is what a task is doing.
type TaskState uint8

const (
	Idle    TaskState = iota // nothing to do, or not yet
	Running                  // it is at work
	Stopped                  // an operator stopped it, until one starts it
	Stuck                    // it cannot go on now, and tries again: see Note
)

// TaskStatus is how far a task is.
type TaskStatus struct {
	Task     Task
	State    TaskState
	Layout   uint64    // Rebalance: the layout it carries out
	Done     int64     // partitions (Rebalance, Repair), chunks (the others), of this round
	Total    int64     // of the same; 0: not known
	Bytes    int64     // sent, fetched or read in this round
	Rate     int64     // bytes a second it may use; 0: no limit
	Began    time.Time // of this round or, when Idle, the last; zero: none yet
	Ended    time.Time // zero: it goes on
	Problems int64     // in this round
	Note     string    // what is in the way, or what it found
}

// Command is what the rebalancer tells a node about a task.
type Command struct {
	Task  Task
	Start bool  // begin a round now, or go on; else stop until the next Start
	Rate  int64 // bytes a second from now on; 0: as it was; -1: no limit
	// Confirm is the operator's yes to what a task has stopped for (TaskStatus.Note says what), if that is no more than so much; 0: none.
	Confirm int64
	// Term is that of the active rebalancer, which grows; a node refuses one lower than it has seen. 0: there is no lock.
	Term uint64
}

// Controlled is a node that obeys the rebalancer.
type Controlled interface {
	GapTeller
	// Command starts or stops a task. It is durable: a node that starts again goes on as it was told. Kinds: Conflict if the term
	// is over; NotImplemented for a task that the node does not have.
	Command(ctx context.Context, c Command) (TaskStatus, error)
	// Damaged lists up to limit chunks with hashes above after that have no good copy here.
	Damaged(ctx context.Context, after Hash, limit int) ([]Damage, error)
}
