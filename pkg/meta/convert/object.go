package convert

import (
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/meta"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// ObjectPart translates a part of an object.
func ObjectPart(p meta.ObjectPart) *metadatav1.ObjectPart {
	return &metadatav1.ObjectPart{Number: uint32(p.Number), Attempt: p.Attempt[:], Size: p.Size, Etag: bytesOf(p.ETag), Checksum: p.Checksum}
}

// ObjectPartFrom reads a part of an object.
func ObjectPartFrom(p *metadatav1.ObjectPart) (meta.ObjectPart, error) {
	attempt, err := IDFrom(p.GetAttempt())
	return meta.ObjectPart{Number: int(p.GetNumber()), Attempt: attempt, Size: p.GetSize(), ETag: string(p.GetEtag()), Checksum: p.GetChecksum()}, err
}

// Object translates an object.
func Object(o *meta.Object) *metadatav1.Object {
	p := &metadatav1.Object{
		Key: bytesOf(o.Key), Timestamp: int64(o.Timestamp), Id: ID(o.ID), Size: o.Size, Etag: bytesOf(o.ETag), Attributes: Attributes(o.Attributes),
		Checksum: Checksum(o.Checksum), Multipart: o.Multipart, Inline: o.Inline, First: Chunk(o.First),
	}
	if len(o.Parts) > 0 {
		p.Parts = every(o.Parts, ObjectPart)
	}
	return p
}

// ObjectFrom reads an object.
func ObjectFrom(p *metadatav1.Object) (meta.Object, error) {
	id, err := IDFrom(p.GetId())
	if err != nil {
		return meta.Object{}, err
	}
	parts, err := each(p.GetParts(), ObjectPartFrom)
	if err != nil {
		return meta.Object{}, err
	}
	first, err := ChunkFrom(p.GetFirst())
	o := meta.Object{
		Key: string(p.GetKey()), Version: meta.Version{Timestamp: clock.Timestamp(p.GetTimestamp()), ID: id}, Size: p.GetSize(), ETag: string(p.GetEtag()),
		Attributes: AttributesFrom(p.GetAttributes()), Checksum: ChecksumFrom(p.GetChecksum()), Parts: parts, Multipart: p.GetMultipart(), First: first,
	}
	if len(p.GetInline()) > 0 {
		o.Inline = p.GetInline()
	}
	return o, err
}

// Listed translates what a listing says of an object.
func Listed(l meta.Listed) *metadatav1.Listed {
	return &metadatav1.Listed{
		Key: bytesOf(l.Key), Timestamp: int64(l.Timestamp), Id: ID(l.ID), Size: l.Size, Etag: bytesOf(l.ETag), StorageClass: bytesOf(l.StorageClass),
		ChecksumAlgorithm: l.Checksum.Algorithm, ChecksumType: l.Checksum.Type,
	}
}

// ListedFrom reads what a listing says of an object.
func ListedFrom(p *metadatav1.Listed) (meta.Listed, error) {
	id, err := IDFrom(p.GetId())
	return meta.Listed{
		Key: string(p.GetKey()), Version: meta.Version{Timestamp: clock.Timestamp(p.GetTimestamp()), ID: id}, Size: p.GetSize(), ETag: string(p.GetEtag()),
		StorageClass: string(p.GetStorageClass()), Checksum: meta.Checksum{Algorithm: p.GetChecksumAlgorithm(), Type: p.GetChecksumType()},
	}, err
}

// Page translates a page of a listing.
func Page(p meta.Page) *metadatav1.ListObjectsResponse {
	return &metadatav1.ListObjectsResponse{Objects: every(p.Objects, Listed), Prefixes: lists(p.Prefixes), More: p.More, Next: bytesOf(p.Next)}
}

// PageFrom reads a page of a listing.
func PageFrom(p *metadatav1.ListObjectsResponse) (meta.Page, error) {
	objects, err := each(p.GetObjects(), ListedFrom)
	return meta.Page{Objects: objects, Prefixes: strings(p.GetPrefixes()), More: p.GetMore(), Next: string(p.GetNext())}, err
}

// Put translates the commit of an object.
func Put(p meta.Put) *metadatav1.PutObjectRequest {
	return &metadatav1.PutObjectRequest{
		Bucket: ID(p.Bucket), Key: bytesOf(p.Key), Upload: ID(p.Upload), Size: p.Size, Etag: bytesOf(p.ETag), Attributes: Attributes(p.Attributes),
		Checksum: Checksum(p.Checksum), Inline: p.Inline, First: Chunk(p.First), Chunks: Chunks(p.Chunks), Condition: Condition(p.Condition),
		Commit: Commit(p.Commit),
	}
}

// PutFrom reads the commit of an object.
func PutFrom(p *metadatav1.PutObjectRequest) (meta.Put, error) {
	ids, err := each([][]byte{p.GetBucket(), p.GetUpload()}, IDFrom)
	if err != nil {
		return meta.Put{}, err
	}
	first, err := ChunkFrom(p.GetFirst())
	if err != nil {
		return meta.Put{}, err
	}
	commit, err := CommitFrom(p.GetCommit())
	if err != nil {
		return meta.Put{}, err
	}
	chunks, err := ChunksFrom(p.GetChunks())
	return meta.Put{
		Bucket: ids[0], Key: string(p.GetKey()), Upload: ids[1], Size: p.GetSize(), ETag: string(p.GetEtag()), Attributes: AttributesFrom(p.GetAttributes()),
		Checksum: ChecksumFrom(p.GetChecksum()), Inline: p.GetInline(), First: first, Chunks: chunks, Condition: ConditionFrom(p.GetCondition()),
		Commit: commit,
	}, err
}

// Delete translates the deletion of a key.
func Delete(d meta.Delete) *metadatav1.Delete {
	return &metadatav1.Delete{Key: bytesOf(d.Key), Condition: Condition(d.Condition), Commit: Commit(d.Commit)}
}

// Commit translates the name of a write; that of none is nil.
func Commit(c meta.Commit) *metadatav1.Commit {
	if c == (meta.Commit{}) {
		return nil
	}
	return &metadatav1.Commit{Id: ID(c.ID), Again: c.Again}
}

// CommitFrom reads the name of a write.
func CommitFrom(p *metadatav1.Commit) (meta.Commit, error) {
	id, err := IDFrom(p.GetId())
	return meta.Commit{ID: id, Again: p.GetAgain()}, err
}

// Deletes translates deletions.
func Deletes(ds []meta.Delete) []*metadatav1.Delete { return every(ds, Delete) }

// DeletesFrom reads deletions.
func DeletesFrom(ps []*metadatav1.Delete) ([]meta.Delete, error) {
	return each(ps, func(p *metadatav1.Delete) (meta.Delete, error) {
		commit, err := CommitFrom(p.GetCommit())
		return meta.Delete{Key: string(p.GetKey()), Condition: ConditionFrom(p.GetCondition()), Commit: commit}, err
	})
}

// UploadRef translates the name of an upload.
func UploadRef(r meta.UploadRef) *metadatav1.UploadRef {
	return &metadatav1.UploadRef{Bucket: ID(r.Bucket), Key: bytesOf(r.Key), Id: ID(r.ID)}
}

// UploadRefFrom reads the name of an upload.
func UploadRefFrom(p *metadatav1.UploadRef) (meta.UploadRef, error) {
	ids, err := each([][]byte{p.GetBucket(), p.GetId()}, IDFrom)
	if err != nil {
		return meta.UploadRef{}, err
	}
	return meta.UploadRef{Bucket: ids[0], Key: string(p.GetKey()), ID: ids[1]}, nil
}

// Upload translates an upload.
func Upload(u meta.Upload) *metadatav1.Upload {
	return &metadatav1.Upload{
		Ref: UploadRef(u.UploadRef), Multipart: u.Multipart, Begun: Time(u.Begun), Initiator: bytesOf(u.Initiator), State: uint32(u.State),
		Attributes: Attributes(u.Attributes), Checksum: Checksum(u.Checksum),
	}
}

// UploadFrom reads an upload.
func UploadFrom(p *metadatav1.Upload) (meta.Upload, error) {
	ref, err := UploadRefFrom(p.GetRef())
	return meta.Upload{
		UploadRef: ref, Multipart: p.GetMultipart(), Begun: TimeFrom(p.GetBegun()), Initiator: string(p.GetInitiator()), State: meta.UploadState(p.GetState()),
		Attributes: AttributesFrom(p.GetAttributes()), Checksum: ChecksumFrom(p.GetChecksum()),
	}, err
}

// Part translates a finished part.
func Part(p meta.Part) *metadatav1.Part {
	return &metadatav1.Part{
		Number: uint32(p.Number), Attempt: ID(p.Attempt), Size: p.Size, Etag: bytesOf(p.ETag), Checksum: Checksum(p.Checksum),
		First: Chunk(p.First), Modified: Time(p.Modified),
	}
}

// PartFrom reads a finished part.
func PartFrom(p *metadatav1.Part) (meta.Part, error) {
	attempt, err := IDFrom(p.GetAttempt())
	if err != nil {
		return meta.Part{}, err
	}
	first, err := ChunkFrom(p.GetFirst())
	return meta.Part{
		Number: int(p.GetNumber()), Attempt: attempt, Size: p.GetSize(), ETag: string(p.GetEtag()), Checksum: ChecksumFrom(p.GetChecksum()),
		First: first, Modified: TimeFrom(p.GetModified()),
	}, err
}

// Parts translates parts.
func Parts(ps []meta.Part) []*metadatav1.Part { return every(ps, Part) }

// PartsFrom reads parts.
func PartsFrom(ps []*metadatav1.Part) ([]meta.Part, error) { return each(ps, PartFrom) }

// Complete translates the completion of an upload.
func Complete(c meta.Complete) *metadatav1.CompleteUploadRequest {
	return &metadatav1.CompleteUploadRequest{
		Ref: UploadRef(c.UploadRef), Parts: Parts(c.Parts), Etag: bytesOf(c.ETag), Checksum: Checksum(c.Checksum), Condition: Condition(c.Condition),
	}
}

// CompleteFrom reads the completion of an upload.
func CompleteFrom(p *metadatav1.CompleteUploadRequest) (meta.Complete, error) {
	ref, err := UploadRefFrom(p.GetRef())
	if err != nil {
		return meta.Complete{}, err
	}
	parts, err := PartsFrom(p.GetParts())
	return meta.Complete{
		UploadRef: ref, Parts: parts, ETag: string(p.GetEtag()), Checksum: ChecksumFrom(p.GetChecksum()), Condition: ConditionFrom(p.GetCondition()),
	}, err
}

// Uploads translates a page of uploads.
func Uploads(p meta.UploadPage) *metadatav1.ListUploadsResponse {
	return &metadatav1.ListUploadsResponse{
		Uploads: every(p.Uploads, Upload), Prefixes: lists(p.Prefixes), More: p.More, Next: bytesOf(p.Next), NextId: ID(p.NextID),
	}
}

// UploadsFrom reads a page of uploads.
func UploadsFrom(p *metadatav1.ListUploadsResponse) (meta.UploadPage, error) {
	next, err := IDFrom(p.GetNextId())
	if err != nil {
		return meta.UploadPage{}, err
	}
	uploads, err := each(p.GetUploads(), UploadFrom)
	return meta.UploadPage{Uploads: uploads, Prefixes: strings(p.GetPrefixes()), More: p.GetMore(), Next: string(p.GetNext()), NextID: next}, err
}
