package convert

import (
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// ID is the bytes of a UUID, none for the zero one.
func ID(id uuid.UUID) []byte {
	if id == uuid.Nil {
		return nil
	}
	return id[:]
}

// IDFrom reads a UUID; no bytes are the zero one.
func IDFrom(b []byte) (uuid.UUID, error) {
	if len(b) == 0 {
		return uuid.Nil, nil
	}
	if len(b) != len(uuid.UUID{}) {
		return uuid.Nil, errors.Newf(errors.Invalid, "an ID has 16 bytes, not %d", len(b))
	}
	return uuid.UUID(b), nil
}

// Time is microseconds since the Unix epoch, 0 for the zero time.
func Time(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// TimeFrom reads a time.
func TimeFrom(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// bytesOf is the bytes of a string, nil for the empty one, which protobuf does not write.
func bytesOf(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

func lists(ss []string) [][]byte {
	var out [][]byte
	for _, s := range ss {
		out = append(out, []byte(s))
	}
	return out
}

func strings(bs [][]byte) []string {
	var out []string
	for _, b := range bs {
		out = append(out, string(b))
	}
	return out
}

// Version translates a version.
func Version(v meta.Version) *metadatav1.Version {
	return &metadatav1.Version{Timestamp: int64(v.Timestamp), Id: ID(v.ID)}
}

// VersionFrom reads a version.
func VersionFrom(p *metadatav1.Version) (meta.Version, error) {
	id, err := IDFrom(p.GetId())
	return meta.Version{Timestamp: clock.Timestamp(p.GetTimestamp()), ID: id}, err
}

// Chunk translates a chunk, nil for the zero one.
func Chunk(c meta.Chunk) *metadatav1.Chunk {
	if c == (meta.Chunk{}) {
		return nil
	}
	return &metadatav1.Chunk{Offset: c.Offset, Length: c.Length, Hash: c.Hash[:]}
}

// ChunkFrom reads a chunk.
func ChunkFrom(p *metadatav1.Chunk) (meta.Chunk, error) {
	if p == nil {
		return meta.Chunk{}, nil
	}
	if len(p.GetHash()) != chunk.HashSize {
		return meta.Chunk{}, errors.Newf(errors.Invalid, "a hash has %d bytes, not %d", chunk.HashSize, len(p.GetHash()))
	}
	return meta.Chunk{Offset: p.GetOffset(), Length: p.GetLength(), Hash: chunk.Hash(p.GetHash())}, nil
}

// Chunks translates chunks.
func Chunks(cs []meta.Chunk) []*metadatav1.Chunk {
	out := make([]*metadatav1.Chunk, len(cs))
	for i, c := range cs {
		out[i] = &metadatav1.Chunk{Offset: c.Offset, Length: c.Length, Hash: c.Hash[:]}
	}
	return out
}

// ChunksFrom reads chunks.
func ChunksFrom(ps []*metadatav1.Chunk) ([]meta.Chunk, error) { return each(ps, ChunkFrom) }

// each reads all messages of a list; an empty list is nil.
func each[P, V any](ps []P, from func(P) (V, error)) ([]V, error) {
	var out []V
	for _, p := range ps {
		v, err := from(p)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// every makes the messages of a list.
func every[V, P any](vs []V, to func(V) P) []P {
	out := make([]P, len(vs))
	for i, v := range vs {
		out[i] = to(v)
	}
	return out
}

func pairs(m map[string]string) []*metadatav1.Pair {
	if len(m) == 0 {
		return nil
	}
	out := make([]*metadatav1.Pair, 0, len(m))
	for k, v := range m {
		out = append(out, &metadatav1.Pair{Name: bytesOf(k), Value: bytesOf(v)})
	}
	return out
}

func pairsFrom(ps []*metadatav1.Pair) map[string]string {
	if len(ps) == 0 {
		return nil
	}
	out := make(map[string]string, len(ps))
	for _, p := range ps {
		out[string(p.GetName())] = string(p.GetValue())
	}
	return out
}

// Attributes translates attributes, nil if there are none.
func Attributes(a meta.Attributes) *metadatav1.Attributes {
	if a.ContentType == "" && a.StorageClass == "" && len(a.Headers) == 0 && len(a.User) == 0 && len(a.Tags) == 0 {
		return nil
	}
	return &metadatav1.Attributes{
		ContentType: bytesOf(a.ContentType), StorageClass: bytesOf(a.StorageClass),
		Headers: pairs(a.Headers), User: pairs(a.User), Tags: pairs(a.Tags),
	}
}

// AttributesFrom reads attributes.
func AttributesFrom(p *metadatav1.Attributes) meta.Attributes {
	return meta.Attributes{
		ContentType: string(p.GetContentType()), StorageClass: string(p.GetStorageClass()),
		Headers: pairsFrom(p.GetHeaders()), User: pairsFrom(p.GetUser()), Tags: pairsFrom(p.GetTags()),
	}
}

// Checksum translates a checksum, nil for the zero one.
func Checksum(c meta.Checksum) *metadatav1.Checksum {
	if c == (meta.Checksum{}) {
		return nil
	}
	return &metadatav1.Checksum{Algorithm: c.Algorithm, Type: c.Type, Value: c.Value}
}

// ChecksumFrom reads a checksum.
func ChecksumFrom(p *metadatav1.Checksum) meta.Checksum {
	return meta.Checksum{Algorithm: p.GetAlgorithm(), Type: p.GetType(), Value: p.GetValue()}
}

// Condition translates a condition, nil if it always holds.
func Condition(c meta.Condition) *metadatav1.Condition {
	if c.Unconditional() {
		return nil
	}
	return &metadatav1.Condition{
		IfMatch: lists(c.IfMatch), IfMatchSet: c.IfMatch != nil, IfNoneMatch: lists(c.IfNoneMatch), IfNoneMatchSet: c.IfNoneMatch != nil,
	}
}

// ConditionFrom reads a condition.
func ConditionFrom(p *metadatav1.Condition) meta.Condition {
	c := meta.Condition{IfMatch: strings(p.GetIfMatch()), IfNoneMatch: strings(p.GetIfNoneMatch())}
	if p.GetIfMatchSet() && c.IfMatch == nil {
		c.IfMatch = []string{}
	}
	if p.GetIfNoneMatchSet() && c.IfNoneMatch == nil {
		c.IfNoneMatch = []string{}
	}
	return c
}

// Grant translates a grant.
func Grant(g meta.Grant) *metadatav1.Grant {
	return &metadatav1.Grant{AccessKey: bytesOf(g.Grantee), Rights: uint32(g.Rights)}
}

// GrantFrom reads a grant.
func GrantFrom(p *metadatav1.Grant) (meta.Grant, error) {
	return meta.Grant{Grantee: string(p.GetAccessKey()), Rights: identity.Rights(p.GetRights())}, nil
}

// Bucket translates a bucket.
func Bucket(b meta.Bucket) *metadatav1.Bucket {
	return &metadatav1.Bucket{
		Id: ID(b.ID), Name: bytesOf(b.Name), Created: Time(b.Created), Owner: bytesOf(b.Owner), Grants: every(b.Grants, Grant),
	}
}

// BucketFrom reads a bucket.
func BucketFrom(p *metadatav1.Bucket) (meta.Bucket, error) {
	id, err := IDFrom(p.GetId())
	if err != nil {
		return meta.Bucket{}, err
	}
	grants, err := each(p.GetGrants(), GrantFrom)
	return meta.Bucket{ID: id, Name: string(p.GetName()), Created: TimeFrom(p.GetCreated()), Owner: string(p.GetOwner()), Grants: grants}, err
}

// ListBuckets translates a question for buckets.
func ListBuckets(r meta.ListBuckets) *metadatav1.ListBucketsRequest {
	return &metadatav1.ListBucketsRequest{
		Grantees: lists(r.Grantees), Names: lists(r.Names), Prefix: []byte(r.Prefix), After: []byte(r.After), Limit: int64(r.Limit),
	}
}

// ListBucketsFrom reads a question for buckets.
func ListBucketsFrom(p *metadatav1.ListBucketsRequest) meta.ListBuckets {
	return meta.ListBuckets{
		Grantees: strings(p.GetGrantees()), Names: strings(p.GetNames()),
		Prefix: string(p.GetPrefix()), After: string(p.GetAfter()), Limit: int(p.GetLimit()),
	}
}

// Key translates an access key.
func Key(k meta.Key) *metadatav1.Key {
	return &metadatav1.Key{
		AccessKey: bytesOf(k.AccessKey), Secret: bytesOf(k.Secret), Name: bytesOf(k.Name), CreateBuckets: k.CreateBuckets, Created: Time(k.Created),
	}
}

// KeyFrom reads an access key.
func KeyFrom(p *metadatav1.Key) (meta.Key, error) {
	return meta.Key{
		AccessKey: string(p.GetAccessKey()), Secret: string(p.GetSecret()), Name: string(p.GetName()),
		CreateBuckets: p.GetCreateBuckets(), Created: TimeFrom(p.GetCreated()),
	}, nil
}

// Usage translates a usage.
func Usage(u meta.Usage) *metadatav1.Usage {
	return &metadatav1.Usage{Objects: u.Objects, Bytes: u.Bytes, Uploads: u.Uploads}
}

// UsageFrom reads a usage.
func UsageFrom(p *metadatav1.Usage) meta.Usage {
	return meta.Usage{Objects: p.GetObjects(), Bytes: p.GetBytes(), Uploads: p.GetUploads()}
}

// Garbage translates garbage.
func Garbage(g meta.Garbage) *metadatav1.Garbage {
	return &metadatav1.Garbage{Id: g.ID, Bucket: ID(g.Bucket), Key: bytesOf(g.Key), Attempts: every(g.Attempts, func(a uuid.UUID) []byte { return a[:] })}
}

// GarbageFrom reads garbage.
func GarbageFrom(p *metadatav1.Garbage) (meta.Garbage, error) {
	bucket, err := IDFrom(p.GetBucket())
	if err != nil {
		return meta.Garbage{}, err
	}
	attempts, err := each(p.GetAttempts(), IDFrom)
	return meta.Garbage{ID: p.GetId(), Bucket: bucket, Key: string(p.GetKey()), Attempts: attempts}, err
}
