package meta

import (
	"bytes"
	"slices"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta/listing"
)

// Limits that every store keeps.
const (
	MaxKey     = 1024     // bytes of a key
	MaxInline  = 64 << 10 // bytes of an inline body; the gateway's threshold is below
	MaxParts   = 10000    // and the largest part number
	MaxDeletes = 1000     // keys of one DeleteObjects
)

// Check decides whether the condition holds where the newest object of the key
// has the ETag, or where there is none. Kinds: NotFound (Object) if IfMatch is
// given and there is no object; PreconditionFailed.
func (c Condition) Check(key string, exists bool, etag string) error {
	if c.IfMatch != nil {
		if !exists {
			return errors.E(errors.NotFound, errors.Object, key, "there is no object to match")
		}
		if !matches(c.IfMatch, etag) {
			return errors.E(errors.PreconditionFailed, errors.Object, key, "its ETag is %q", etag)
		}
	}
	if c.IfNoneMatch != nil && exists && matches(c.IfNoneMatch, etag) {
		return errors.E(errors.PreconditionFailed, errors.Object, key, "it exists with ETag %q", etag)
	}
	return nil
}

func matches(list []string, etag string) bool {
	return slices.Contains(list, "*") || slices.Contains(list, etag)
}

// Check refuses what no store takes. Kinds: Invalid.
func (p Put) Check() error {
	if err := CheckKey(p.Key); err != nil {
		return err
	}
	if len(p.Inline) > MaxInline {
		return errors.E(errors.Invalid, errors.Object, p.Key, "an inline body has at most %d bytes, not %d", MaxInline, len(p.Inline))
	}
	if p.Upload == uuid.Nil && (len(p.Chunks) > 0 || int64(len(p.Inline)) != p.Size) {
		return errors.E(errors.Invalid, errors.Object, p.Key, "a body of %d bytes without upload is inline and whole", p.Size)
	}
	if p.Upload != uuid.Nil && len(p.Inline) > 0 {
		return errors.E(errors.Invalid, errors.Object, p.Key, "a body is inline or in chunks, not both")
	}
	if p.Size < 0 {
		return errors.E(errors.Invalid, errors.Object, p.Key, "the size is negative")
	}
	if p.Upload != uuid.Nil && p.Commit != (Commit{}) {
		return errors.E(errors.Invalid, errors.Object, p.Key, "a commit is repeated by the ID of its upload if it has one")
	}
	return p.Commit.Check(p.Key)
}

// Object is what the commit makes; of its version only the ID is set, if it is known.
func (p Put) Object() Object {
	o := Object{
		Key: p.Key, Size: p.Size, ETag: p.ETag, Attributes: p.Attributes, Checksum: p.Checksum,
		Inline: p.Inline, First: p.First, Version: Version{ID: p.Commit.ID},
	}
	if p.Upload != uuid.Nil {
		o.Parts = []ObjectPart{{Number: 1, Attempt: p.Upload, Size: p.Size, ETag: p.ETag, Checksum: p.Checksum.Value}}
	}
	return o
}

// Attempts are the attempts that hold the object's chunks.
func (o *Object) Attempts() []uuid.UUID {
	attempts := make([]uuid.UUID, len(o.Parts))
	for i, p := range o.Parts {
		attempts[i] = p.Attempt
	}
	return attempts
}

// Check refuses what no store takes. Kinds: Invalid.
func (c Complete) Check() error {
	if err := CheckKey(c.Key); err != nil {
		return err
	}
	if len(c.Parts) == 0 || len(c.Parts) > MaxParts {
		return errors.E(errors.Invalid, errors.Upload, c.ID.String(), "an object has 1 to %d parts, not %d", MaxParts, len(c.Parts))
	}
	for i, p := range c.Parts {
		if err := CheckPart(p.Number); err != nil {
			return err
		}
		if i > 0 && p.Number <= c.Parts[i-1].Number {
			return errors.E(errors.Invalid, errors.Upload, c.ID.String(), "part %d comes after part %d", p.Number, c.Parts[i-1].Number)
		}
	}
	return nil
}

// Object is what the completion makes of the stored parts, without its version.
func (c Complete) Object(u Upload, parts []Part) Object {
	o := Object{Key: c.Key, ETag: c.ETag, Attributes: u.Attributes, Checksum: c.Checksum, Multipart: true}
	for _, p := range parts {
		if o.First.Length == 0 {
			o.First = p.First
		}
		o.Size += p.Size
		o.Parts = append(o.Parts, ObjectPart{Number: p.Number, Attempt: p.Attempt, Size: p.Size, ETag: p.ETag, Checksum: p.Checksum.Value})
	}
	return o
}

// CheckKey refuses keys that are empty or too long. Kinds: Invalid.
func CheckKey(key string) error {
	if key == "" || len(key) > MaxKey {
		return errors.E(errors.Invalid, errors.Object, key, "a key has 1 to %d bytes, not %d", MaxKey, len(key))
	}
	return nil
}

// CheckPart refuses part numbers outside 1 to MaxParts. Kinds: Invalid.
func CheckPart(number int) error {
	if number < 1 || number > MaxParts {
		return errors.E(errors.Invalid, errors.Part, "", "a part number is 1 to %d, not %d", MaxParts, number)
	}
	return nil
}

// CheckLimit refuses limits below 1. Kinds: Invalid.
func CheckLimit(limit int) error {
	if limit < 1 {
		return errors.Newf(errors.Invalid, "a limit is at least 1, not %d", limit)
	}
	return nil
}

// CheckDeletes refuses requests that no store takes. Kinds: Invalid.
func CheckDeletes(deletes []Delete) error {
	if len(deletes) > MaxDeletes {
		return errors.Newf(errors.Invalid, "at most %d keys are deleted in one request, not %d", MaxDeletes, len(deletes))
	}
	for _, d := range deletes {
		if err := errors.Join(CheckKey(d.Key), d.Commit.Check(d.Key)); err != nil {
			return err
		}
	}
	return nil
}

// Check refuses what no store takes. Kinds: Invalid.
func (b Bucket) Check() error {
	if b.Name == "" || len(b.Name) > MaxKey || b.ID == uuid.Nil {
		return errors.E(errors.Invalid, errors.Bucket, b.Name, "a bucket has a name and an ID")
	}
	return nil
}

// Granted is the bucket's grants after g was set; the old slice stays as it is.
func (b Bucket) Granted(g Grant) []Grant {
	var grants []Grant
	found := false
	for _, old := range b.Grants {
		if old.Grantee == g.Grantee {
			found, old = true, g
		}
		if old.Rights != 0 {
			grants = append(grants, old)
		}
	}
	if !found && g.Rights != 0 {
		grants = append(grants, g)
	}
	return grants
}

// Check refuses what no store takes. Kinds: Invalid.
func (k Key) Check() error {
	if k.AccessKey == "" || len(k.AccessKey) > MaxKey || k.Secret == "" {
		return errors.E(errors.Invalid, errors.AccessKey, k.AccessKey, "a key has an access key and a secret")
	}
	if !identity.IsAccessKey(k.AccessKey) {
		return errors.E(errors.Invalid, errors.AccessKey, k.AccessKey, "an access key is not called like a person, a group or the mark of a closed bucket")
	}
	return nil
}

// Check refuses what no store takes. Kinds: Invalid.
func (g Grant) Check() error {
	if g.Grantee == "" || len(g.Grantee) > MaxKey || g.Grantee == identity.Person("") || g.Grantee == identity.Group("") {
		return errors.E(errors.Invalid, errors.AccessKey, g.Grantee, "rights are given to an access key, a person or a group")
	}
	return nil
}

// Shows reports whether the request asks for the bucket, apart from its place in the order.
func (r ListBuckets) Shows(b Bucket) bool {
	if len(r.Grantees) == 0 && len(r.Names) == 0 {
		return true
	}
	return b.Rights(r.Grantees...) != 0 || slices.Contains(r.Names, b.Name)
}

// Check refuses what no store takes. Kinds: Invalid.
func (u Upload) Check() error {
	if u.ID == uuid.Nil {
		return errors.E(errors.Invalid, errors.Upload, "", "an upload has an ID")
	}
	return CheckKey(u.Key)
}

// Wrote reports whether the body of the object is what the single upload wrote.
func (o *Object) Wrote(upload uuid.UUID) bool {
	return !o.Multipart && len(o.Parts) == 1 && o.Parts[0].Attempt == upload
}

// Listed is what a listing says of the object.
func (o *Object) Listed() Listed {
	return Listed{
		Key: o.Key, Version: o.Version, Size: o.Size, ETag: o.ETag, StorageClass: o.StorageClass,
		Checksum: Checksum{Algorithm: o.Checksum.Algorithm, Type: o.Checksum.Type},
	}
}

// SameParts reports whether two completions name the same parts: numbers and ETags.
func SameParts(a, b []Part) bool {
	return slices.EqualFunc(a, b, func(a, b Part) bool { return a.Number == b.Number && a.ETag == b.ETag })
}

// Shows reports whether an upload of the key comes behind After and AfterID.
func (r ListUploads) Shows(key string, id uuid.UUID) bool {
	if key == r.After && r.AfterID != uuid.Nil {
		return bytes.Compare(id[:], r.AfterID[:]) > 0
	}
	return key > r.After || r.After == ""
}

// Query is the listing of the keys of uploads. Where AfterID is set, the rows
// of the key After begin behind it: the store's iterator sees to that.
func (r ListUploads) Query() listing.Query {
	q := listing.Query{Prefix: r.Prefix, Delimiter: r.Delimiter, After: r.After, Limit: r.Limit}
	if r.AfterID != uuid.Nil {
		q.From = r.After
	}
	return q
}
