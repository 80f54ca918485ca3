package cql

import (
	"context"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/listing"
	"deuxfleurs.fr/garage/services/metadata/cql/scan"
)

// Places are pairs throughout: single and multi-column relations do not mix, and an empty ID is below all.
const (
	fromUploads   = ` FROM uploads WHERE bucket_id = ? AND shard = ? AND (key, upload_id) > (?, ?)`
	toUploads     = fromUploads + ` AND (key, upload_id) < (?, 0x)`
	listUploads   = `SELECT key, upload_id, begin_id, state, upload` + fromUploads + ` LIMIT ?`
	listUploadsTo = `SELECT key, upload_id, begin_id, state, upload` + toUploads + ` LIMIT ?`
	lastUpload    = `SELECT key` + fromUploads + ` ORDER BY key DESC LIMIT ?`
	lastUploadTo  = `SELECT key` + toUploads + ` ORDER BY key DESC LIMIT ?`
)

// ListUploads implements meta.Uploads.
func (s *Store) ListUploads(ctx context.Context, r meta.ListUploads) (meta.UploadPage, error) {
	if err := meta.CheckLimit(r.Limit); err != nil {
		return meta.UploadPage{}, err
	}
	q := r.Query()
	q.Limit = min(q.Limit, maxListed)
	var behind scan.Place
	if r.AfterID != uuid.Nil {
		behind = scan.Place{Key: r.After, Sub: string(r.AfterID[:])}
	}
	var page meta.UploadPage
	err := s.listed(ctx, r.Bucket, func(shards int) error {
		var err error
		page.More, _, err = scan.List(ctx, uploadRows{s, r.Bucket}, shards, q, behind, func(e listing.Entry, row scan.Row[meta.Upload]) {
			if e.Prefix != "" {
				page.Prefixes, page.Next, page.NextID = append(page.Prefixes, e.Prefix), e.Prefix, uuid.Nil
				return
			}
			page.Uploads, page.Next, page.NextID = append(page.Uploads, row.Value), row.Key, row.Value.ID
		})
		return err
	})
	if err != nil {
		return meta.UploadPage{}, err
	}
	return page, nil
}

// uploadRows is the scan.Source over the multipart uploads of a bucket.
type uploadRows struct {
	store  *Store
	bucket uuid.UUID
}

// Round implements scan.Source.
func (r uploadRows) Round(ctx context.Context, asks []scan.Ask) ([]scan.Answer[meta.Upload], error) {
	answers := make([]scan.Answer[meta.Upload], len(asks))
	err := inParallel(ctx, len(asks), statementsAtOne, func(ctx context.Context, i int) error {
		return r.ask(ctx, asks[i], &answers[i])
	})
	return answers, err
}

func (r uploadRows) ask(ctx context.Context, a scan.Ask, answer *scan.Answer[meta.Upload]) error {
	cql, args := listUploads, []any{r.bucket, a.Shard, []byte(a.From.Key), []byte(a.From.Sub)}
	switch {
	case a.Last && a.To != "":
		cql, args = lastUploadTo, append(args, []byte(a.To))
	case a.Last:
		cql = lastUpload
	case a.To != "":
		cql, args = listUploadsTo, append(args, []byte(a.To))
	}
	return r.store.each(ctx, a.Limit, func(scanRow func(...any) error) (bool, error) {
		var key, id, upload []byte
		var state int
		var begin *uuid.UUID
		if a.Last {
			err := scanRow(&key)
			answer.Read, answer.Key = 1, string(key)
			return true, err
		}
		if err := scanRow(&key, &id, &begin, &state, &upload); err != nil {
			return false, err
		}
		answer.Read, answer.Key, answer.Sub = answer.Read+1, string(key), string(id)
		if begin == nil || state != uploadOpen {
			return true, nil // one that was not begun is the trace of a write that came late
		}
		u, err := decodeUpload(upload)
		u.UploadRef = meta.UploadRef{Bucket: r.bucket, Key: answer.Key, ID: idOf(id)}
		answer.Rows = append(answer.Rows, scan.Row[meta.Upload]{Key: answer.Key, Sub: answer.Sub, Value: u})
		return true, err
	}, cql, append(args, a.Limit)...)
}
