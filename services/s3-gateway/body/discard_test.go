package body_test

import (
	"bytes"
	"context"
	"log/slog"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// leaving fails every write that gives something up.
type leaving struct {
	meta.Store
	err error
}

func (l *leaving) AddChunks(context.Context, meta.UploadRef, uuid.UUID, []meta.Chunk) error {
	return l.err
}
func (l *leaving) AbortUpload(context.Context, meta.UploadRef) error { return l.err }

func TestWhatAFailedWriteLeavesBehindIsSaid(t *testing.T) {
	f := newFixture(t)
	discard := func(failure error) string {
		var log bytes.Buffer
		f.store.Log = slog.New(slog.NewTextHandler(&log, nil))
		f.store.Meta = f.meta
		a, err := f.store.Write(t.Context(), f.single("k"), bytes.NewReader(make([]byte, 2*size)), 2*size, &seen{}, nil)
		require.NoError(t, err)
		f.store.Meta = &leaving{f.meta, failure}
		a.Discard(t.Context())
		return log.String()
	}
	log := discard(errors.Newf(errors.Unavailable, "the store is away"))
	require.Contains(t, log, "could not be recorded")
	require.Contains(t, log, "could not be given up")
	require.Contains(t, log, "chunks=2")
	require.Contains(t, log, "the store is away")
	require.Empty(t, discard(errors.E(errors.NotFound, errors.Upload, "", "it was aborted")), "that an upload is gone is no news")
	require.Empty(t, discard(nil))
}
