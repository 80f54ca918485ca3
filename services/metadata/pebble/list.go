package pebble

import (
	"context"

	cockroach "github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/listing"

	"google.golang.org/protobuf/encoding/protowire"
)

// cursor is a listing.Iterator over the rows of a table that begin with prefix.
type cursor struct {
	it     *cockroach.Iterator
	prefix []byte
	seek   []byte // scratch
	rows   int64
}

func (s *Store) cursor(prefix []byte) (*cursor, error) {
	it, err := s.db.NewIter(&cockroach.IterOptions{LowerBound: prefix, UpperBound: end(prefix)})
	if err != nil {
		return nil, errors.Wrap(errors.Internal, err, "reading metadata")
	}
	return &cursor{it: it, prefix: prefix}, nil
}

// SeekGE implements listing.Iterator.
func (c *cursor) SeekGE(key []byte) {
	c.seek = append(append(c.seek[:0], c.prefix...), key...)
	c.it.SeekGE(c.seek)
	c.rows++
}

// Next implements listing.Iterator.
func (c *cursor) Next() {
	c.it.Next()
	c.rows++
}

// Key implements listing.Iterator.
func (c *cursor) Key() []byte {
	if !c.it.Valid() {
		return nil
	}
	return c.it.Key()[len(c.prefix):]
}

func (c *cursor) close(s *Store, problem error) error {
	s.rows.Add(c.rows)
	if err := c.it.Close(); err != nil && problem == nil {
		problem = errors.Wrap(errors.Internal, err, "reading metadata")
	}
	return problem
}

// List implements meta.Objects.
func (s *Store) List(ctx context.Context, r meta.List) (meta.Page, error) {
	if err := meta.CheckLimit(r.Limit); err != nil {
		return meta.Page{}, err
	}
	if err := s.gate.enter(ctx); err != nil {
		return meta.Page{}, err
	}
	defer s.gate.leave()
	if s.find(r.Bucket) == nil {
		return meta.Page{}, noBucket(r.Bucket)
	}
	c, err := s.cursor(row(tableListed, r.Bucket[:]))
	if err != nil {
		return meta.Page{}, err
	}
	var page meta.Page
	var problem error
	q := listing.Query{Prefix: r.Prefix, Delimiter: r.Delimiter, After: r.After, Limit: r.Limit}
	page.More = listing.Walk(c, q, func(e listing.Entry) bool {
		if e.Prefix != "" {
			page.Prefixes, page.Next = append(page.Prefixes, e.Prefix), e.Prefix
			return true
		}
		l := meta.Listed{Key: string(c.Key())}
		_, problem = decodeListed(c.it.Value(), &l)
		page.Objects, page.Next = append(page.Objects, l), l.Key
		return problem == nil && ctx.Err() == nil
	})
	if problem == nil {
		problem = ctx.Err()
	}
	if err := c.close(s, problem); err != nil {
		return page, err
	}
	return page, s.allSettled(ctx)
}

// decodeListed reads a Listed record into l, without its key. Listings spend
// most of their time here, so it does without reflection.
func decodeListed(b []byte, l *meta.Listed) (chunked bool, err error) {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false, damaged(n)
		}
		b = b[n:]
		switch kind {
		case protowire.VarintType:
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return false, damaged(n)
			}
			b = b[n:]
			switch number {
			case 2:
				l.Timestamp = clock.Timestamp(v)
			case 4:
				l.Size = int64(v)
			case 9:
				chunked = v != 0
			}
		case protowire.BytesType:
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return false, damaged(n)
			}
			b = b[n:]
			switch number {
			case 3:
				if l.ID, err = uuid.FromBytes(v); err != nil {
					return false, damaged(0)
				}
			case 5:
				l.ETag = string(v)
			case 6:
				l.StorageClass = string(v)
			case 7:
				l.Checksum.Algorithm = known(v)
			case 8:
				l.Checksum.Type = known(v)
			}
		default:
			if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
				return false, damaged(n)
			}
			b = b[n:]
		}
	}
	return chunked, nil
}

func damaged(n int) error {
	return errors.Wrap(errors.Corrupted, errors.Join(errors.New("bad row of a listing"), protowire.ParseError(n)), "a record of the metadata is damaged")
}

// known is string(v), without allocating for the names of checksums.
func known(v []byte) string {
	for _, s := range [...]string{"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256", "FULL_OBJECT", "COMPOSITE"} {
		if string(v) == s {
			return s
		}
	}
	return string(v)
}
