package convert

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// The generators draw every field, so that one that is forgotten in a translation shows.

var (
	text  = rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 8), func(b []byte) string { return string(b) })
	ascii = rapid.StringMatching(`[a-zA-Z0-9=+/-]{0,8}`)
	id    = rapid.Custom(func(t *rapid.T) uuid.UUID {
		return uuid.UUID(rapid.SliceOfN(rapid.ByteRange(1, 255), 16, 16).Draw(t, "id"))
	})
	when = rapid.Map(rapid.Int64Range(1, 1<<52), func(us int64) time.Time { return time.UnixMicro(us).UTC() })
	size = rapid.Int64Range(0, 1<<50)
	strs = rapid.Custom(func(t *rapid.T) map[string]string {
		m := rapid.MapOfN(text, text, 0, 3).Draw(t, "map")
		if len(m) == 0 {
			return nil
		}
		return m
	})
	conditions = rapid.SampledFrom([][]string{nil, {}, {"*"}, {"a", "\xff"}})
)

var chunks = rapid.Custom(func(t *rapid.T) meta.Chunk {
	return meta.Chunk{
		Offset: rapid.Uint64().Draw(t, "offset"), Length: rapid.Uint32Min(1).Draw(t, "length"),
		Hash: chunk.Hash(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash")),
	}
})

var checksums = rapid.Custom(func(t *rapid.T) meta.Checksum {
	return meta.Checksum{Algorithm: ascii.Draw(t, "algorithm"), Type: ascii.Draw(t, "type"), Value: ascii.Draw(t, "value")}
})

var attributes = rapid.Custom(func(t *rapid.T) meta.Attributes {
	return meta.Attributes{
		ContentType: text.Draw(t, "type"), StorageClass: text.Draw(t, "class"),
		Headers: strs.Draw(t, "headers"), User: strs.Draw(t, "user"), Tags: strs.Draw(t, "tags"),
	}
})

var objects = rapid.Custom(func(t *rapid.T) meta.Object {
	o := meta.Object{
		Key: text.Draw(t, "key"), Version: meta.Version{Timestamp: clock.Timestamp(size.Draw(t, "time")), ID: id.Draw(t, "id")},
		Size: size.Draw(t, "size"), ETag: text.Draw(t, "etag"), Attributes: attributes.Draw(t, "attributes"), Checksum: checksums.Draw(t, "checksum"),
		Multipart: rapid.Bool().Draw(t, "multipart"), First: chunks.Draw(t, "first"),
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "parts") {
		o.Parts = append(o.Parts, meta.ObjectPart{
			Number: i + 1, Attempt: id.Draw(t, "attempt"), Size: size.Draw(t, "size"), ETag: text.Draw(t, "etag"), Checksum: ascii.Draw(t, "checksum"),
		})
	}
	if len(o.Parts) == 0 {
		o.Inline = rapid.SliceOfN(rapid.Byte(), 1, 9).Draw(t, "inline")
	}
	return o
})

var refs = rapid.Custom(func(t *rapid.T) meta.UploadRef {
	return meta.UploadRef{Bucket: id.Draw(t, "bucket"), Key: text.Draw(t, "key"), ID: id.Draw(t, "id")}
})

var parts = rapid.Custom(func(t *rapid.T) meta.Part {
	return meta.Part{
		Number: rapid.IntRange(1, meta.MaxParts).Draw(t, "number"), Attempt: id.Draw(t, "attempt"), Size: size.Draw(t, "size"), ETag: text.Draw(t, "etag"),
		Checksum: checksums.Draw(t, "checksum"), First: chunks.Draw(t, "first"), Modified: when.Draw(t, "modified"),
	}
})

var uploads = rapid.Custom(func(t *rapid.T) meta.Upload {
	return meta.Upload{
		UploadRef: refs.Draw(t, "ref"), Multipart: rapid.Bool().Draw(t, "multipart"), Begun: when.Draw(t, "begun"), Initiator: text.Draw(t, "initiator"),
		State: meta.UploadState(rapid.IntRange(0, 3).Draw(t, "state")), Attributes: attributes.Draw(t, "attributes"), Checksum: checksums.Draw(t, "checksum"),
	}
})

func commit(t *rapid.T) meta.Commit {
	return meta.Commit{ID: id.Draw(t, "commit"), Again: rapid.Bool().Draw(t, "again")}
}

func condition(t *rapid.T) meta.Condition {
	return meta.Condition{IfMatch: conditions.Draw(t, "if match"), IfNoneMatch: conditions.Draw(t, "if none match")}
}

// there translates a value, sends the message over the wire, and translates it back.
func there[V any, P proto.Message](t *rapid.T, v V, to func(V) P, empty P, from func(P) (V, error)) {
	wire, err := proto.Marshal(to(v))
	require.NoError(t, err)
	require.NoError(t, proto.Unmarshal(wire, empty))
	got, err := from(empty)
	require.NoError(t, err)
	if diff := cmp.Diff(v, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestEveryFieldSurvives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := objects.Draw(t, "object")
		there(t, o, func(o meta.Object) *metadatav1.Object { return Object(&o) }, &metadatav1.Object{}, ObjectFrom)
		there(t, o.Listed(), Listed, &metadatav1.Listed{}, ListedFrom)
		there(t, uploads.Draw(t, "upload"), Upload, &metadatav1.Upload{}, UploadFrom)
		there(t, parts.Draw(t, "part"), Part, &metadatav1.Part{}, PartFrom)
		there(t, meta.Page{Objects: []meta.Listed{o.Listed()}, Prefixes: []string{"a\xff"}, More: true, Next: "n"}, Page, &metadatav1.ListObjectsResponse{}, PageFrom)
		there(t, meta.UploadPage{Uploads: []meta.Upload{uploads.Draw(t, "listed")}, Prefixes: []string{"a\xff"}, More: true, Next: "n", NextID: id.Draw(t, "next")},
			Uploads, &metadatav1.ListUploadsResponse{}, UploadsFrom)
		there(t, meta.Put{
			Bucket: id.Draw(t, "bucket"), Key: o.Key, Upload: id.Draw(t, "upload"), Size: o.Size, ETag: o.ETag, Attributes: o.Attributes, Checksum: o.Checksum,
			Inline: []byte{1}, First: o.First, Chunks: []meta.Chunk{o.First, chunks.Draw(t, "chunk")}, Condition: condition(t), Commit: commit(t),
		}, Put, &metadatav1.PutObjectRequest{}, PutFrom)
		there(t, meta.Complete{
			UploadRef: refs.Draw(t, "ref"), Parts: []meta.Part{parts.Draw(t, "part")}, ETag: o.ETag, Checksum: o.Checksum, Condition: condition(t),
		}, Complete, &metadatav1.CompleteUploadRequest{}, CompleteFrom)
		there(t, meta.Bucket{
			ID: id.Draw(t, "id"), Name: text.Draw(t, "name"), Created: when.Draw(t, "created"), Owner: text.Draw(t, "owner"),
			Grants: []meta.Grant{{Grantee: text.Draw(t, "key"), Rights: identity.All}},
		}, Bucket, &metadatav1.Bucket{}, BucketFrom)
		there(t, meta.Key{
			AccessKey: text.Draw(t, "key"), Secret: text.Draw(t, "secret"), Name: text.Draw(t, "name"), CreateBuckets: true, Created: when.Draw(t, "created"),
		}, Key, &metadatav1.Key{}, KeyFrom)
		there(t, meta.Garbage{ID: []byte{1, 2}, Bucket: id.Draw(t, "bucket"), Key: o.Key, Attempts: []uuid.UUID{id.Draw(t, "attempt")}},
			Garbage, &metadatav1.Garbage{}, GarbageFrom)
		there(t, o.Version, Version, &metadatav1.Version{}, VersionFrom)
		deletes := []meta.Delete{{Key: o.Key, Condition: condition(t), Commit: commit(t)}, {Key: "x"}}
		got, err := DeletesFrom(Deletes(deletes))
		require.NoError(t, err)
		require.Equal(t, deletes, got)
	})
}

func TestWrongLengthsAreInvalid(t *testing.T) {
	_, err := IDFrom([]byte{1})
	require.True(t, errors.Is(err, errors.Invalid))
	_, err = ChunkFrom(&metadatav1.Chunk{Hash: []byte{1}})
	require.True(t, errors.Is(err, errors.Invalid))
	_, err = ObjectFrom(&metadatav1.Object{Id: []byte{1}})
	require.True(t, errors.Is(err, errors.Invalid))
	_, err = PutFrom(&metadatav1.PutObjectRequest{Bucket: []byte{1}})
	require.True(t, errors.Is(err, errors.Invalid))
}
