//go:build stack

package cql

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/metatest"
)

// A service that has not seen an attempt may get its begin once more, when the upload has long ended.
func TestABeginThatComesLateTakesNothingFromWhatTheAttemptBecame(t *testing.T) {
	alone(t)
	f := twoServices(t)
	known := func(attempt uuid.UUID) {
		t.Helper()
		found, err := f.b.Attempts(f.ctx, meta.FindAttempts{IDs: []uuid.UUID{attempt}, Everywhere: true})
		require.NoError(t, err)
		require.NotEqual(t, meta.AttemptUnknown, found[0].State)
		rows, err := f.b.Chunks(f.ctx, attempt, 0, 10)
		require.NoError(t, err)
		require.Len(t, rows, 2)
	}
	for _, complete := range []bool{true, false} {
		r := f.begin("k", true)
		require.NoError(t, f.b.BeginPart(f.ctx, r, 2, uuid.New())) // it sees that the upload is open
		p := f.part(f.a, r, 1)
		if complete {
			_, err := f.a.CompleteUpload(f.ctx, meta.Complete{UploadRef: r, Parts: []meta.Part{p}})
			require.NoError(t, err)
		} else {
			require.NoError(t, f.a.AbortUpload(f.ctx, r))
		}
		known(p.Attempt)
		f.noUpload(f.b.BeginPart(f.ctx, r, 1, p.Attempt))
		known(p.Attempt)

		f.b.begun.opened(r) // as if it had seen that before
		refused := uuid.New()
		f.noUpload(f.b.BeginPart(f.ctx, r, 1, refused))
		found, err := f.b.Attempts(f.ctx, meta.FindAttempts{IDs: []uuid.UUID{refused}, Everywhere: true})
		require.NoError(t, err)
		require.Equal(t, meta.AttemptUnknown, found[0].State)
	}
}

func TestRestoredObjectsKeepTheirTimestamps(t *testing.T) {
	metatest.RunRestored(t, func(t *testing.T, c clock.Clock) meta.Store { return openStore(t, c) })
}
