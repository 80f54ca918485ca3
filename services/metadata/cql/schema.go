package cql

// shardsOfNew is the number of shards of a new bucket.
const shardsOfNew = 16

// migrations bring the schema from each version to the next: the first makes
// it. A service applies them under a lease, one after the other, and each of
// them may be run again after a crash: so every statement says IF NOT EXISTS,
// or sets what it sets, and columns are added by addColumn. Times are
// microseconds since the Unix epoch, IDs that order rows are blobs of 16 bytes.
var migrations = []migration{
	{statements: []string{
		`CREATE TABLE IF NOT EXISTS cluster (
			name text PRIMARY KEY, -- "cluster"
			id uuid
		)`,
		// Changed by lightweight transactions only.
		`CREATE TABLE IF NOT EXISTS buckets (
			name text PRIMARY KEY,
			id uuid,
			created bigint,
			owner text,
			grantees frozen<list<text>>, -- in step with rights
			rights frozen<list<int>>,
			revision bigint -- rises with each change of the grants
		)`,
		// Changed by lightweight transactions only; decides whether a bucket takes writes.
		`CREATE TABLE IF NOT EXISTS bucket_ids (
			id uuid PRIMARY KEY,
			name text,
			shards int,
			state int, -- stateCreating …
			deleter uuid, -- who is deleting it
			since bigint -- since when
		)`,
		`CREATE TABLE IF NOT EXISTS keys (
			access_key text PRIMARY KEY,
			secret text,
			name text,
			create_buckets boolean,
			created bigint
		)`,
		// A row is written once, with the write time version_ts, and never changed.
		`CREATE TABLE IF NOT EXISTS objects (
			bucket_id uuid,
			shard int,
			key blob,
			version_ts bigint,
			version_id blob,
			kind int, -- kindObject or kindMarker
			size bigint,
			etag blob,
			storage_class blob,
			checksum_algorithm text,
			checksum_type text,
			upload_id blob, -- of the upload that wrote it; null if inline
			object blob, -- metadatav1.Object without key, version and inline body
			inline blob,
			tail blob, -- metadatav1.AddChunksRequest with chunks only: rows that its commit wrote at the same time
			PRIMARY KEY ((bucket_id, shard), key, version_ts, version_id)
		) WITH CLUSTERING ORDER BY (key ASC, version_ts DESC, version_id ASC)`,
		// Multipart uploads. Begun and moved on by plain writes, ended by lightweight transactions on state.
		`CREATE TABLE IF NOT EXISTS uploads (
			bucket_id uuid,
			shard int,
			key blob,
			upload_id blob,
			begun bigint,
			progress bigint,
			upload blob, -- metadatav1.Upload: what meta.Upload says, without state
			begin_id uuid, -- of the call that began it
			state int, -- uploadOpen …
			closing bigint, -- since when it is being ended
			parts blob, -- metadatav1.CompleteUploadRequest, once decided
			version_ts bigint, -- of the object, once decided
			version_id blob,
			object blob, -- the object, once decided
			conditional boolean, -- decided by the claim of its key: the object is there or not when that is settled
			completed bigint,
			PRIMARY KEY ((bucket_id, shard), key, upload_id)
		)`,
		// Uploads of single objects: apart, so that their many deletions slow no listing down. Deletions
		// are kept as long as hints are, 3 hours: a row is checked against the objects
		// before it is acted on, so that one that comes back does no harm. State is
		// changed by lightweight transactions only, done by the commit.
		`CREATE TABLE IF NOT EXISTS singles (
			bucket_id uuid,
			shard int,
			key blob,
			upload_id blob,
			begun bigint,
			progress bigint,
			upload blob,
			begin_id uuid,
			state int,
			closing bigint,
			done blob, -- ID of the version that it was committed as
			PRIMARY KEY ((bucket_id, shard), key, upload_id)
		) WITH gc_grace_seconds = 10800`,
		// A begun attempt has modified 0, a finished one its time.
		`CREATE TABLE IF NOT EXISTS parts (
			upload_id blob,
			number int,
			modified bigint,
			attempt_id blob,
			part blob, -- metadatav1.Part; null if begun
			size bigint,
			etag blob,
			PRIMARY KEY (upload_id, number, modified, attempt_id)
		) WITH CLUSTERING ORDER BY (number ASC, modified DESC, attempt_id ASC)`,
		// Rows have the write time 1, whoever writes them, deletions of the partition 2:
		// whatever comes late stays deleted.
		`CREATE TABLE IF NOT EXISTS chunks (
			attempt_id blob,
			offset bigint,
			length int,
			hash blob,
			bucket_id uuid STATIC,
			key blob STATIC,
			upload_id blob STATIC,
			number int STATIC, -- of the part; 0: a single upload
			sealed bigint STATIC, -- bytes of the attempt, when all its rows are there
			PRIMARY KEY (attempt_id, offset)
		)`,
		// Changed by lightweight transactions only.
		`CREATE TABLE IF NOT EXISTS claims (
			bucket_id uuid,
			key blob,
			holder uuid,
			until bigint,
			decided boolean,
			version_ts bigint,
			version_id blob,
			kind int,
			size bigint,
			etag blob,
			storage_class blob,
			checksum_algorithm text,
			checksum_type text,
			upload_id blob,
			object blob,
			inline blob,
			tail blob,
			PRIMARY KEY ((bucket_id, key))
		)`,
		`CREATE TABLE IF NOT EXISTS usage (
			bucket_id uuid,
			writer uuid,
			objects bigint,
			bytes bigint,
			uploads bigint,
			PRIMARY KEY (bucket_id, writer)
		)`,
		`CREATE TABLE IF NOT EXISTS leases (
			name text PRIMARY KEY,
			holder uuid,
			until bigint
		)`,
	}},
	{columns: []column{{"cluster", "created", "bigint"}}},
	{columns: []column{{"objects", "checked", "bigint"}, {"claims", "checked", "bigint"}}},
}

// migration is a step of the schema.
type migration struct {
	statements []string
	columns    []column
}

// column is a column that a migration adds.
type column struct{ table, name, kind string }

// kinds of rows of objects.
const (
	kindObject = 0
	kindMarker = 1 // hides what is below it
)

// states of a bucket.
const (
	stateCreating = 0 // its name may not be taken yet
	stateLive     = 1
	stateDeleting = 2 // a deletion looks whether it is empty
	stateDeleted  = 3 // the name is free; its uploads and rows may still be swept
)

// states of an upload.
const (
	uploadOpen       = 0
	uploadCompleting = 1 // the version is decided: whoever meets it finishes it
	uploadCompleted  = 2
	uploadAborting   = 3 // is looked at for a commit under way
	uploadAborted    = 4
)
