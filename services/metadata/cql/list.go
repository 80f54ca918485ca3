package cql

import (
	"context"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/listing"
	"deuxfleurs.fr/garage/services/metadata/cql/scan"

	"deuxfleurs.fr/garage/pkg/clock"
)

const (
	listColumns     = `key, version_ts, version_id, kind, size, etag, storage_class, checksum_algorithm, checksum_type`
	listObjects     = `SELECT ` + listColumns + ` FROM objects WHERE bucket_id = ? AND shard = ? AND key >= ? LIMIT ?`
	listObjectsTo   = `SELECT ` + listColumns + ` FROM objects WHERE bucket_id = ? AND shard = ? AND key >= ? AND key < ? LIMIT ?`
	lastObject      = `SELECT key FROM objects WHERE bucket_id = ? AND shard = ? AND key >= ? ORDER BY key DESC LIMIT ?`
	lastObjectTo    = `SELECT key FROM objects WHERE bucket_id = ? AND shard = ? AND key >= ? AND key < ? ORDER BY key DESC LIMIT ?`
	maxListed       = 10_000 // entries of a page; a page of S3 has 1,000
	statementsAtOne = 1024   // statements of a round under way, more than a round has
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
		page.More, _, err = scan.List(ctx, objectRows{s, r.Bucket}, shards, q, scan.Place{}, func(e listing.Entry, row scan.Row[meta.Listed]) {
			if e.Prefix != "" {
				page.Prefixes, page.Next = append(page.Prefixes, e.Prefix), e.Prefix
				return
			}
			page.Objects, page.Next = append(page.Objects, row.Value), row.Key
		})
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
	return o.store.each(ctx, a.Limit, func(scanRow func(...any) error) (bool, error) {
		if a.Last {
			err := scanRow(&row.key)
			answer.Read, answer.Key = 1, string(row.key)
			return true, err
		}
		if err := row.read(scanRow); err != nil {
			return false, err
		}
		below := answer.Read > 0 && answer.Key == string(row.key)
		answer.Read++
		if below {
			return true, nil
		}
		answer.Key = string(row.key)
		if row.kind == kindObject {
			answer.Rows = append(answer.Rows, scan.Row[meta.Listed]{Key: answer.Key, Value: row.listed(answer.Key)})
		}
		return true, nil
	}, cql, append(args, a.Limit)...)
}

// listedRow is what a listing reads of a row of objects. It is read into again and again.
type listedRow struct {
	key, id, etag, storageClass []byte
	algorithm, kindOfChecksum   string
	timestamp, size             int64
	kind                        int
}

func (r *listedRow) read(scanRow func(...any) error) error {
	return scanRow(&r.key, &r.timestamp, &r.id, &r.kind, &r.size, &r.etag, &r.storageClass, &r.algorithm, &r.kindOfChecksum)
}

func (r *listedRow) listed(key string) meta.Listed {
	return meta.Listed{
		Key: key, Version: meta.Version{Timestamp: clock.Timestamp(r.timestamp), ID: idOf(r.id)}, Size: r.size,
		ETag: string(r.etag), StorageClass: string(r.storageClass),
		Checksum: meta.Checksum{Algorithm: r.algorithm, Type: r.kindOfChecksum},
	}
}
