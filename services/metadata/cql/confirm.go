package cql

import (
	"context"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

const readRow = `SELECT kind, size, etag, storage_class, checksum_algorithm, checksum_type, upload_id, object, inline, tail, checked, WRITETIME(kind)
	FROM objects WHERE bucket_id = ? AND shard = ? AND key = ? AND version_ts = ? AND version_id = ?`

// confirmed is how much later than a row its confirmation is written, in microseconds.
const confirmed = 1

// confirm makes sure that a version stays, before what it replaced goes for good, and says whether it
// is there. Its commit may have failed, and the statement that takes it back may be on its way
// still, or wait in the database for a node that is away: that has the write time of the row. So the row
// is written once more, a microsecond later. What removes versions in the end has the later time too.
func (s *Store) confirm(ctx context.Context, p place, v meta.Version) (bool, error) {
	r := row{version: v}
	var etag, class, upload []byte
	var written int64
	found, err := s.one(ctx, []any{
		&r.kind, &r.size, &etag, &class, &r.sum.Algorithm, &r.sum.Type, &upload, &r.object, &r.inline, &r.tail, &r.checked, &written,
	}, readRow, append(p.values(), int64(v.Timestamp), v.ID[:])...)
	if err != nil || !found || written > int64(v.Timestamp) {
		return found, err
	}
	r.etag, r.class, r.upload = string(etag), string(class), idOf(upload)
	again := r.insertion(p)
	again.args[len(again.args)-1] = int64(v.Timestamp) + confirmed
	return true, s.run(ctx, again)
}

// adopt confirms a version that another call wrote, before it is answered as committed: that call may still fail, and take it
// back. Kinds: Unavailable if it did.
func (s *Store) adopt(ctx context.Context, p place, v meta.Version) error {
	stays, err := s.confirm(ctx, p, v)
	if err == nil && !stays {
		err = errors.E(errors.Unavailable, errors.Object, p.key, "the upload was being committed by another call, which failed; try again")
	}
	return err
}
