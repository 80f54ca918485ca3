package unfinished

import (
	"context"

	"google.golang.org/protobuf/proto"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

const (
	copyPrefix  = "copy/"
	doubtPrefix = "doubt/"
)

// PutCopy notes that a bucket is a copy, before it is made.
func (n *Notes) PutCopy(ctx context.Context, b meta.Bucket) error {
	return n.put(ctx, copyPrefix+b.ID.String(), []byte(b.Name))
}

// Copies are the buckets that the migration made, as far as they are known: ID and name.
func (n *Notes) Copies(ctx context.Context) (copies []meta.Bucket, err error) {
	err = n.each(ctx, copyPrefix, func(o meta.Object) error {
		b, err := n.named(o, copyPrefix)
		copies = append(copies, b)
		return err
	})
	return copies, err
}

// ForgetCopy drops the notes of a bucket that is none, or no copy any more.
func (n *Notes) ForgetCopy(ctx context.Context, b meta.Bucket) error {
	if err := n.dropEach(ctx, DoubtsOf(b)); err != nil {
		return err
	}
	return n.Drop(ctx, copyPrefix+b.ID.String())
}

// forgetFinished drops the notes of copies that are open or gone. closed is the name of one that is not, if any is left.
func (n *Notes) forgetFinished(ctx context.Context) (closed string, err error) {
	copies, err := n.Copies(ctx)
	if err != nil {
		return "", err
	}
	for _, b := range copies {
		t, found, err := n.find(ctx, b)
		if err != nil {
			return "", err
		}
		if found && t.Closed() {
			closed = t.Name
			continue
		}
		if err := n.ForgetCopy(ctx, b); err != nil {
			return "", err
		}
	}
	return closed, nil
}

// DoubtsOf is the prefix of the notes of keys in a copy that are being written, or of which a write failed.
func DoubtsOf(b meta.Bucket) string { return doubtPrefix + b.ID.String() + "/" }

// EachDoubt does something with each note of keys in a copy.
func (n *Notes) EachDoubt(ctx context.Context, b meta.Bucket, do func(key string, p *metadatav1.MigrationDoubt) error) error {
	return n.each(ctx, DoubtsOf(b), func(o meta.Object) error {
		p := &metadatav1.MigrationDoubt{}
		if err := proto.Unmarshal(o.Inline, p); err != nil {
			return n.damaged(o, err)
		}
		return do(o.Key, p)
	})
}

// PutDoubt notes keys in a copy.
func (n *Notes) PutDoubt(ctx context.Context, key string, p *metadatav1.MigrationDoubt) error {
	body, err := proto.Marshal(p)
	if err != nil {
		return errors.Wrap(errors.Internal, err, "writing a note")
	}
	return n.put(ctx, key, body)
}
