package cql

import (
	"context"

	"github.com/gocql/gocql"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/convert"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

const (
	insertRow = `INSERT INTO objects (bucket_id, shard, key, version_ts, version_id, kind, size, etag, storage_class, checksum_algorithm, checksum_type,
		upload_id, object, inline, tail, checked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?`
	deleteRow = `DELETE FROM objects USING TIMESTAMP ? WHERE bucket_id = ? AND shard = ? AND key = ? AND version_ts = ? AND version_id = ?`
	readHeads = `SELECT version_ts, version_id, kind, size, etag, upload_id, checked FROM objects WHERE bucket_id = ? AND shard = ? AND key = ? LIMIT ?`
)

// row is a version of a key: an object, or a marker that hides what is below it.
type row struct {
	version meta.Version
	kind    int
	size    int64
	etag    string
	class   string
	sum     meta.Checksum // without value
	upload  uuid.UUID     // that wrote it, or zero
	object  []byte
	inline  []byte
	tail    []byte
	written clock.Timestamp // that of meta.Put
	// checked is, of a conditional write, the timestamp of the newest version that its condition was
	// checked against, zero if there was none; of another write nil.
	checked *int64
}

// rowOf is the row of an object that an upload wrote, whose last chunks are not recorded yet.
func rowOf(o meta.Object, upload uuid.UUID, tail []meta.Chunk) (*row, error) {
	r := &row{
		version: o.Version, kind: kindObject, size: o.Size, etag: o.ETag, class: o.StorageClass, sum: o.Checksum, upload: upload, inline: o.Inline,
	}
	o.Key, o.Version, o.Inline = "", meta.Version{}, nil
	var err error
	if r.object, err = proto.Marshal(convert.Object(&o)); err != nil {
		return nil, errors.Wrap(errors.Internal, err, "encoding an object")
	}
	if len(tail) > 0 {
		if r.tail, err = proto.Marshal(&metadatav1.AddChunksRequest{Chunks: convert.Chunks(tail)}); err != nil {
			return nil, errors.Wrap(errors.Internal, err, "encoding chunks")
		}
	}
	return r, nil
}

// markerRow hides what is below it.
func markerRow(c meta.Commit) *row { return &row{kind: kindMarker, version: meta.Version{ID: c.ID}} }

// chunksOfTail are the rows of chunks that the row's commit writes beside it.
func chunksOfTail(tail []byte) ([]meta.Chunk, error) {
	if len(tail) == 0 {
		return nil, nil
	}
	var p metadatav1.AddChunksRequest
	if err := proto.Unmarshal(tail, &p); err != nil {
		return nil, errors.Wrap(errors.Corrupted, err, "the chunks of an object's row are damaged")
	}
	return convert.ChunksFrom(p.GetChunks())
}

// objectOf decodes a row.
func objectOf(key string, v meta.Version, object, inline []byte) (meta.Object, error) {
	var p metadatav1.Object
	if err := proto.Unmarshal(object, &p); err != nil {
		return meta.Object{}, errors.E(errors.Corrupted, errors.Object, key, "its row in the metadata is damaged: %v", err)
	}
	o, err := convert.ObjectFrom(&p)
	o.Key, o.Version = key, v
	if len(inline) > 0 {
		o.Inline = inline
	}
	return o, err
}

// unset is a column that is left as it is: binding null would write a deletion.
func unset[T string | []byte](v T) any {
	if len(v) == 0 {
		return gocql.UnsetValue
	}
	return v
}

// columns are the values of the row's columns from version_ts to checked.
func (r *row) columns() []any {
	return []any{
		int64(r.version.Timestamp), r.version.ID[:], r.kind, r.size, []byte(r.etag), unset([]byte(r.class)), unset(r.sum.Algorithm), unset(r.sum.Type),
		unset(idBytes(r.upload)), unset(r.object), unset(r.inline), unset(r.tail), r.unsetChecked(),
	}
}

func (r *row) unsetChecked() any {
	if r.checked == nil {
		return gocql.UnsetValue
	}
	return *r.checked
}

func (p place) values() []any { return []any{p.bucket, p.shard, []byte(p.key)} }

// insertion is the statement that writes the row; whoever repeats it writes the same.
func (r *row) insertion(p place) statement {
	return statement{insertRow, append(append(p.values(), r.columns()...), int64(r.version.Timestamp))}
}

// removal deletes this row for good: the deletion has the write time of the row, and so
// is above it however late the row comes, and touches no other.
func removal(p place, v meta.Version) statement {
	return statement{deleteRow, append([]any{int64(v.Timestamp)}, append(p.values(), int64(v.Timestamp), v.ID[:])...)}
}

func (s *Store) run(ctx context.Context, st statement) error { return s.exec(ctx, st.cql, st.args...) }

// head is what a writer must know of a version.
type head struct {
	meta.Version
	kind    int
	size    int64
	etag    string
	upload  uuid.UUID
	checked *int64 // as that of a row
}

func (h head) exists() bool { return h.kind == kindObject && h.Timestamp != 0 }

// heads reads the newest versions of a key, newest first.
func (s *Store) heads(ctx context.Context, p place, limit int) ([]head, error) {
	var heads []head
	err := s.each(ctx, limit, func(scan func(...any) error) (bool, error) {
		var h head
		var ts int64
		var id, etag, upload []byte
		if err := scan(&ts, &id, &h.kind, &h.size, &etag, &upload, &h.checked); err != nil {
			return false, err
		}
		h.Version, h.etag, h.upload = meta.Version{Timestamp: clock.Timestamp(ts), ID: idOf(id)}, string(etag), idOf(upload)
		heads = append(heads, h)
		return true, nil
	}, readHeads, append(p.values(), limit)...)
	return heads, err
}

// below is the newest of the versions but one's own; without one it is no version at all.
func below(heads []head, own meta.Version) head {
	for _, h := range heads {
		if h.Version != own {
			return h
		}
	}
	return head{}
}

// outran says whether conditional writers may have decided above one's own row without having seen it: it must
// rise above them then. Where an unconditional write is above it, or one whose condition was checked against it, it has
// its place: it came before.
func outran(heads []head, own meta.Version) bool {
	var lowest *head
	for i := range heads {
		h := &heads[i]
		if h.Version == own || h.Timestamp < own.Timestamp {
			continue
		}
		if h.checked == nil {
			return false
		}
		lowest = h
	}
	return lowest != nil && *lowest.checked < int64(own.Timestamp)
}
