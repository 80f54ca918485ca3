package meta

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/identity"
)

// Store keeps all metadata. What a method acknowledges is durable.
// Implementations are safe for concurrent use. Every method may fail with
// kinds Unavailable, Overloaded, Deadline or Canceled; a write that failed so
// may or may not have had its effect. A request that cannot be right (an empty
// key, a limit below 1, parts out of order) fails with Invalid. Values handed
// in and out are not shared: neither side changes them afterwards. Times are
// kept to the microsecond. A page may hold fewer entries than its limit though
// More is set, so that an answer stays small enough to send.
type Store interface {
	Buckets
	Objects
	Uploads
	Keys
	Garbages
	Attempts

	// Info describes the store.
	Info(ctx context.Context) (Info, error)
}

// Buckets is the part of Store about buckets.
type Buckets interface {
	// CreateBucket makes a bucket with the ID and the grants that b has, and
	// Created, which is set by the store if zero. Kinds: AlreadyExists (entity
	// Bucket) if the name, or the ID, is taken.
	CreateBucket(ctx context.Context, b Bucket) error
	// Bucket finds a bucket by name. Kinds: NotFound (Bucket).
	Bucket(ctx context.Context, name string) (Bucket, error)
	// ListBuckets lists buckets in the order of their names.
	ListBuckets(ctx context.Context, r ListBuckets) (BucketPage, error)
	// DeleteBucket removes an empty bucket and its uploads. Kinds: NotFound
	// (Bucket); NotEmpty (Bucket) if it holds an object. A commit into it that
	// comes later fails with NotFound (Bucket). Another bucket that has its name by now stays.
	DeleteBucket(ctx context.Context, bucket uuid.UUID) error
	// SetGrant gives a key, person or group exactly these rights on a bucket; no rights
	// removes the grant, also that of a key that is gone. Only a key must exist: who is in
	// LDAP is not known here. Kinds: NotFound (Bucket, AccessKey).
	SetGrant(ctx context.Context, bucket uuid.UUID, g Grant) error
	// Usage counts what a bucket holds. Kinds: NotFound (Bucket).
	Usage(ctx context.Context, bucket uuid.UUID) (Usage, error)
}

// Objects is the part of Store about objects.
type Objects interface {
	// Object resolves a key to its newest version. Kinds: NotFound (Object).
	Object(ctx context.Context, bucket uuid.UUID, key string) (Object, error)
	// Chunks returns up to limit chunks of an attempt in order, the first being
	// the one that holds the byte at offset from. No chunks: the end.
	Chunks(ctx context.Context, attempt uuid.UUID, from uint64, limit int) ([]Chunk, error)
	// List lists the newest versions of a bucket's keys, in the order of the
	// keys' bytes. Kinds: NotFound (Bucket).
	List(ctx context.Context, r List) (Page, error)
	// PutObject commits an object: it becomes the newest version of its key,
	// at once and whole. Without versioning the one it replaces becomes
	// garbage. Its upload, if any, ends; if the object is not committed, it stays
	// open, and the caller aborts it (after adding the chunks it stored, so that
	// they are collected). Repeating the commit of an upload, while its object is
	// the newest of the key, answers the same version. Repeating a commit without upload does so for CommitKept, whatever
	// was written since; a store that cannot tell then fails with Unavailable. Kinds: NotFound (Bucket);
	// NotFound (Upload) if the upload was aborted or swept; NotFound (Object) if If-Match
	// is given and there is no object; PreconditionFailed; Conflict if another
	// conditional writer interfered. They are looked for in this order.
	PutObject(ctx context.Context, p Put) (Version, error)
	// DeleteObjects deletes up to MaxDeletes keys of one bucket, one after the
	// other. The answers are in the order of the requests; deleting a key that does not exist succeeds. A deletion that took
	// place is repeated as a commit without upload is. The error is for the
	// whole call: NotFound (Bucket).
	DeleteObjects(ctx context.Context, bucket uuid.UUID, deletes []Delete) ([]DeleteResult, error)
}

// Uploads is the part of Store about writes that are not complete. A single
// PUT larger than the inline threshold is an upload too, whose only attempt has
// the upload's ID.
type Uploads interface {
	// BeginUpload records an upload before any of its chunks. Its ID comes from
	// NewUploadID. Kinds: NotFound (Bucket); AlreadyExists (Upload).
	BeginUpload(ctx context.Context, u Upload) error
	// Upload finds an upload in progress, or a multipart upload that was completed
	// a short time ago (see CompleteUpload). Kinds: NotFound (Upload) if there is
	// none, it is of another bucket or key, or it was aborted.
	Upload(ctx context.Context, r UploadRef) (Upload, error)
	// BeginPart records a try to write a part, before any of its chunks. The
	// attempt is a new random UUID; beginning it again changes nothing.
	// Kinds: NotFound (Upload) if the upload is not open or not multipart.
	BeginPart(ctx context.Context, r UploadRef, number int, attempt uuid.UUID) error
	// AddChunks records chunks of an attempt, and progress. Adding the same chunk again changes
	// nothing. Kinds: NotFound (Upload) if the upload is not open; NotFound
	// (Part) if the attempt was not begun or is finished.
	AddChunks(ctx context.Context, r UploadRef, attempt uuid.UUID, chunks []Chunk) error
	// Progress records that the upload is alive. Kinds: NotFound (Upload).
	Progress(ctx context.Context, r UploadRef) error
	// FinishPart makes an attempt, with these last chunks, the part of its number,
	// instead of the attempt that was finished before, which becomes garbage at
	// once. Modified is set by the store. Repeating it while the attempt is the
	// part changes nothing. Kinds: NotFound (Upload) if the upload is not open;
	// NotFound (Part) if the attempt was not begun with this number or was replaced.
	FinishPart(ctx context.Context, r UploadRef, p Part, chunks []Chunk) (Part, error)
	// ListParts lists finished parts with a number above after. Kinds: NotFound
	// (Upload) if the upload is not open or not multipart.
	ListParts(ctx context.Context, r UploadRef, after, limit int) (PartPage, error)
	// ListUploads lists open multipart uploads in the order of key, then of ID,
	// which is the order of their begin (see NewUploadID). Kinds: NotFound (Bucket).
	ListUploads(ctx context.Context, r ListUploads) (UploadPage, error)
	// CompleteUpload commits a multipart upload as an object made of the given
	// parts, which must be finished with the same attempts; every other attempt
	// of the upload becomes garbage. Repeating a completion that happened, with
	// the same parts, answers the same version, also when the object was replaced
	// since, until ListGarbage forgets it; for that only number and ETag
	// of the parts are compared. Kinds: as PutObject; NotFound (Part) if a part is not there
	// with its attempt, which is looked for before the condition.
	CompleteUpload(ctx context.Context, c Complete) (Version, error)
	// AbortUpload ends an upload, single or multipart; all it holds becomes
	// garbage. Kinds: NotFound (Upload) if it is not open.
	AbortUpload(ctx context.Context, r UploadRef) error
}

// Keys is the part of Store about built-in access keys.
type Keys interface {
	// CreateKey adds a key. Kinds: AlreadyExists (AccessKey).
	CreateKey(ctx context.Context, k Key) error
	// Key finds a key. Kinds: NotFound (AccessKey).
	Key(ctx context.Context, accessKey string) (Key, error)
	// ListKeys lists keys above after, in the order of the access keys.
	ListKeys(ctx context.Context, after string, limit int) (KeyPage, error)
	// DeleteKey removes a key and the grants to it, not those to people or groups. Kinds: NotFound (AccessKey).
	DeleteKey(ctx context.Context, accessKey string) error
}

// Garbages is the part of Store that the sweeper uses.
type Garbages interface {
	// ListGarbage lists what holds chunks and is of no use any more: replaced and deleted
	// versions, aborted uploads, attempts that a completion left out, and
	// single uploads without progress since IdleBefore, which end by it. It
	// answers where to go on (nil: the end); a page may be empty and not the
	// last. What it lists is durably garbage: it can never become of use again. It also forgets
	// the answers of completions before IdleBefore.
	ListGarbage(ctx context.Context, r ListGarbage) (garbage []Garbage, next []byte, err error)
	// DropGarbage removes the chunk rows and then the holders. Call it when no
	// reference of the attempts is left in the chunk store. Dropping twice is no error.
	DropGarbage(ctx context.Context, ids ...[]byte) error
}

// Info describes a store.
type Info struct {
	ClusterID uuid.UUID
	Kind      string // "memory", "pebble", "cql"
	Buckets   int64
	Usage     Usage // of all buckets
}

// Usage counts what is stored.
type Usage struct {
	Objects int64
	Bytes   int64 // plain bytes of the objects
	Uploads int64 // open multipart uploads
}

// Bucket is a bucket with who may use it.
type Bucket struct {
	ID      uuid.UUID
	Name    string
	Created time.Time
	Owner   string // who made it, as in Grant.Grantee, or empty
	Grants  []Grant
}

// Rights is what grants to any of the grantees allow with the bucket.
func (b Bucket) Rights(grantees ...string) identity.Rights {
	var r identity.Rights
	for _, g := range b.Grants {
		if slices.Contains(grantees, g.Grantee) {
			r |= g.Rights
		}
	}
	return r
}

// Closed reports whether no client may do anything with the bucket, whatever rights it has.
func (b Bucket) Closed() bool {
	for _, g := range b.Grants {
		if g.Grantee == identity.Closed {
			return true
		}
	}
	return false
}

// Grant gives a key, a person or a group rights on a bucket.
type Grant struct {
	Grantee string // an access key, identity.Person(name), identity.Group(name) or identity.Closed
	Rights  identity.Rights
}

// Key is a built-in access key.
type Key struct {
	AccessKey     string
	Secret        string
	Name          string
	CreateBuckets bool
	Created       time.Time
}

// ListBuckets asks for buckets.
type ListBuckets struct {
	// Grantees and Names choose the buckets on which one of these grantees has
	// any right, and those with these names. Both empty: all.
	Grantees []string
	Names    []string
	Prefix   string
	After    string // names above this one
	Limit    int    // at least 1
}

// BucketPage is some buckets.
type BucketPage struct {
	Buckets []Bucket
	More    bool
}

// KeyPage is some keys.
type KeyPage struct {
	Keys []Key
	More bool
}

// ListGarbage asks for garbage.
type ListGarbage struct {
	Cursor []byte // where to go on; nil: the beginning
	Limit  int    // at least 1
	// IdleBefore: uploads and answers older than this end; zero: none.
	IdleBefore time.Time
	// Before: only what became garbage before this time, so that who still reads a version that
	// was replaced finds its chunk rows; zero: all.
	Before time.Time
}

// Garbage is a holder of chunks that are of no use any more.
type Garbage struct {
	ID       []byte
	Bucket   uuid.UUID
	Key      string
	Attempts []uuid.UUID
}
