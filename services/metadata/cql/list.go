package cql

import (
	"bytes"
	"context"
	"encoding/binary"

	"github.com/gocql/gocql"
	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/listing"
	"deuxfleurs.fr/garage/services/metadata/cql/scan"
)

const (
	listColumns     = `key, version_ts, version_id, kind, size, etag, storage_class, checksum_algorithm, checksum_type`
	listObjects     = `SELECT ` + listColumns + ` FROM objects WHERE bucket_id = ? AND shard = ? AND key >= ? LIMIT ?`
	listObjectsTo   = `SELECT ` + listColumns + ` FROM objects WHERE bucket_id = ? AND shard = ? AND key >= ? AND key < ? LIMIT ?`
	lastObject      = `SELECT key FROM objects WHERE bucket_id = ? AND shard = ? AND key >= ? ORDER BY key DESC LIMIT ?`
	lastObjectTo    = `SELECT key FROM objects WHERE bucket_id = ? AND shard = ? AND key >= ? AND key < ? ORDER BY key DESC LIMIT ?`
	maxListed       = 10_000 // entries of a page; a page of S3 has 1,000
	statementsAtOne = 1024   // statements of a round under way, more than a round has
	// maxLooked is about how many rows a page looks at: beyond, deleted keys that the sweeper has not come to would make it slow.
	maxLooked = 25_000
)

// List implements meta.Objects.
func (s *Store) List(ctx context.Context, r meta.List) (meta.Page, error) {
	if err := meta.CheckLimit(r.Limit); err != nil {
		return meta.Page{}, err
	}
	var page meta.Page
	q := listing.Query{Prefix: r.Prefix, Delimiter: r.Delimiter, After: r.After, Limit: min(r.Limit, maxListed)}
	err := s.listed(ctx, r.Bucket, func(shards int) error {
		var err error
		var looked string
		page.More, looked, _, err = scan.ListSome(ctx, objectRows{s, r.Bucket}, shards, q, scan.Place{}, maxLooked, func(e listing.Entry, row scan.Row[meta.Listed]) {
			if e.Prefix != "" {
				page.Prefixes, page.Next = append(page.Prefixes, e.Prefix), e.Prefix
				return
			}
			page.Objects, page.Next = append(page.Objects, row.Value), row.Key
		})
		if looked != "" {
			page.Next = looked
		}
		return err
	})
	if err != nil {
		return meta.Page{}, err
	}
	return page, nil
}

// listed runs a listing of a bucket that is known, and reads at the same time whether it is still there.
func (s *Store) listed(ctx context.Context, bucket uuid.UUID, list func(shards int) error) error {
	b, err := s.shards(ctx, bucket)
	if err != nil {
		return err
	}
	if s.leased(b.seen) {
		return list(b.shards)
	}
	return together(
		func() error { return list(b.shards) },
		func() error {
			_, err := s.bucket(ctx, bucket)
			return err
		},
	)
}

// objectRows is the scan.Source over the objects of a bucket.
type objectRows struct {
	store  *Store
	bucket uuid.UUID
}

// Round implements scan.Source.
func (o objectRows) Round(ctx context.Context, asks []scan.Ask) ([]scan.Answer[meta.Listed], error) {
	answers := make([]scan.Answer[meta.Listed], len(asks))
	err := inParallel(ctx, len(asks), statementsAtOne, func(ctx context.Context, i int) error {
		return o.ask(ctx, asks[i], &answers[i])
	})
	return answers, err
}

func (o objectRows) ask(ctx context.Context, a scan.Ask, answer *scan.Answer[meta.Listed]) error {
	cql, args := listObjects, []any{o.bucket, a.Shard, []byte(a.From.Key)}
	switch {
	case a.Last && a.To != "":
		cql, args = lastObjectTo, append(args, []byte(a.To))
	case a.Last:
		cql = lastObject
	case a.To != "":
		cql, args = listObjectsTo, append(args, []byte(a.To))
	}
	var row listedRow
	var last []byte // the key of the last row read
	err := o.store.each(ctx, a.Limit, func(scanRow func(...any) error) (bool, error) {
		if a.Last {
			answer.Read = 1
			err := scanRow(&row.key)
			last = append(last, row.key...)
			return true, err
		}
		if err := row.read(scanRow); err != nil {
			return false, err
		}
		below := answer.Read > 0 && bytes.Equal(row.key, last)
		answer.Read++
		if below {
			return true, nil
		}
		last = append(last[:0], row.key...)
		if row.kind.number() == kindObject {
			l := row.listed()
			answer.Rows = append(answer.Rows, scan.Row[meta.Listed]{Key: l.Key, Value: l})
		}
		return true, nil
	}, cql, append(args, a.Limit)...)
	answer.Key = string(last)
	return err
}

// cell is a value as it is in the driver's buffer, until the next row is read: listings read many rows that they do
// not show, and these need not be decoded.
type cell []byte

// UnmarshalCQL implements gocql.Unmarshaler.
func (c *cell) UnmarshalCQL(_ gocql.TypeInfo, data []byte) error {
	*c = data
	return nil
}

// number is the value of an int or a bigint; null is zero.
func (c cell) number() int64 {
	switch len(c) {
	case 4:
		return int64(int32(binary.BigEndian.Uint32(c)))
	case 8:
		return int64(binary.BigEndian.Uint64(c))
	}
	return 0
}

// listedRow is what a listing reads of a row of objects. It is read into again and again.
type listedRow struct {
	key, timestamp, id, kind, size, etag, class, algorithm, checksum cell
}

func (r *listedRow) read(scanRow func(...any) error) error {
	return scanRow(&r.key, &r.timestamp, &r.id, &r.kind, &r.size, &r.etag, &r.class, &r.algorithm, &r.checksum)
}

func (r *listedRow) listed() meta.Listed {
	return meta.Listed{
		Key: string(r.key), Version: meta.Version{Timestamp: clock.Timestamp(r.timestamp.number()), ID: idOf(r.id)}, Size: r.size.number(),
		ETag: string(r.etag), StorageClass: string(r.class),
		Checksum: meta.Checksum{Algorithm: string(r.algorithm), Type: string(r.checksum)},
	}
}
