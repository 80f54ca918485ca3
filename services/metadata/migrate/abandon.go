package migrate

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// abandon removes the copies that a migration made, which are not what clients use: the standalone is asked, and kept from leaving meanwhile. Nothing
// but closed buckets with an ID that it has, or had when they were copied, goes. Kinds: Conflict if the standalone has left, or clients may have used a copy.
func (m *migration) abandon(ctx context.Context, standalone uuid.UUID, left bool) error {
	if left {
		return errors.Newf(errors.Conflict, "the standalone at %s has left: what is in the cluster is what clients use, and nothing of it is removed", m.options.GetSource())
	}
	if m.options.GetDryRun() {
		err := m.findNotes(ctx, standalone, false)
		if err == nil {
			_, err = m.toldCopies(ctx)
		}
		return err
	}
	return m.whileHeld(ctx, standalone, func(ctx context.Context) error {
		copies, err := m.toldCopies(ctx)
		if err != nil {
			return err
		}
		if err := m.removeCopies(ctx, copies); err != nil {
			return errors.Annotate(err, "what a migration left is not removed in full: run the same command again")
		}
		m.tell(&metadatav1.MigrateResponse{Result: &metadatav1.MigrationResult{Abandoned: true, Deleted: m.deleted.Load()}})
		return nil
	})
}

func (m *migration) removeCopies(ctx context.Context, copies []meta.Bucket) error {
	for _, b := range copies {
		if err := m.removeCopy(ctx, b, &differences{}); err != nil {
			return errors.Annotate(err, "removing the copy of the bucket %s", b.Name)
		}
		m.note("removed the copy of the bucket " + b.Name)
	}
	return m.deleteNotes(ctx)
}

// toldCopies finds the copies and tells what is in them. Kinds: Conflict if clients may have used one.
func (m *migration) toldCopies(ctx context.Context) ([]meta.Bucket, error) {
	buckets, err := m.allBuckets(ctx)
	if err != nil {
		return nil, err
	}
	of := maps.Clone(m.notes.copies)
	for _, b := range buckets {
		of[b.ID] = b
	}
	var copies []meta.Bucket
	var problems []string
	told := &metadatav1.MigrationCopies{}
	for _, b := range slices.SortedFunc(maps.Values(of), func(a, b meta.Bucket) int { return strings.Compare(a.Name, b.Name) }) {
		var t meta.Bucket
		err := once(ctx, func(ctx context.Context) (err error) { t, err = m.Store.Bucket(ctx, b.Name); return err })
		if errors.Is(err, errors.NotFound) || err == nil && t.ID != b.ID {
			continue // it was not copied, or is gone
		}
		if err != nil {
			return nil, err
		}
		if problem := inTheWay(b, t); problem != "" {
			problems = append(problems, problem)
			continue
		}
		var u meta.Usage
		err = once(ctx, func(ctx context.Context) (err error) { u, err = m.Store.Usage(ctx, b.ID); return err })
		if err != nil {
			return nil, err
		}
		copies = append(copies, b)
		told.Copies = append(told.Copies, &metadatav1.MigrationCopy{Bucket: b.Name, Objects: u.Objects, Bytes: u.Bytes, Uploads: u.Uploads})
	}
	if len(problems) > 0 {
		return nil, errors.Newf(errors.Conflict, "nothing was removed: %s", strings.Join(problems, "; "))
	}
	m.tell(&metadatav1.MigrateResponse{Copies: told})
	return copies, nil
}
