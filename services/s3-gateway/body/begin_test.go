package body_test

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// slowBegin has uploads begun only once their body has failed.
type slowBegin struct {
	meta.Store
	failed chan struct{}
}

func (s *slowBegin) BeginUpload(ctx context.Context, u meta.Upload) error {
	<-s.failed
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(100 * time.Millisecond): // for a cancelled context to be seen; on a slow machine the test only notices less
	}
	return s.Store.BeginUpload(ctx, u)
}

// brokenOff yields two chunks, then fails.
type brokenOff struct {
	left   int
	failed chan struct{}
}

func (b *brokenOff) Read(p []byte) (int, error) {
	if b.left == 0 {
		close(b.failed)
		return 0, io.ErrUnexpectedEOF
	}
	n := min(len(p), b.left)
	b.left -= n
	return n, nil
}

// TestChunksOfABodyBrokenOffAtOnceAreCollected guards against references that nothing knows of.
func TestChunksOfABodyBrokenOffAtOnceAreCollected(t *testing.T) {
	f := newFixture(t)
	failed := make(chan struct{})
	f.store.Meta = &slowBegin{Store: f.meta.Store, failed: failed}
	_, err := f.store.Write(t.Context(), f.single("a"), &brokenOff{left: 2 * size, failed: failed}, 5*size, &seen{}, nil)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	garbage, _, err := f.meta.ListGarbage(t.Context(), meta.ListGarbage{Limit: 10})
	require.NoError(t, err)
	require.Len(t, garbage, 1)
}

// lateBegin has uploads begun after their machine was asleep.
type lateBegin struct {
	meta.Store
	clock *clock.Manual
	sleep time.Duration
}

func (l *lateBegin) BeginUpload(ctx context.Context, u meta.Upload) error {
	l.clock.Advance(l.sleep)
	return l.Store.BeginUpload(ctx, u)
}

// References of what is not begun for a day are removed.
func TestAnUploadThatBeginsLongAfterItsFirstChunkFails(t *testing.T) {
	for sleep, fails := range map[time.Duration]bool{time.Minute: false, 2 * time.Hour: true} {
		f := newFixture(t)
		f.store.Meta = &lateBegin{f.meta.Store, f.clock, sleep}
		a, err := f.store.Write(t.Context(), f.single("a"), bytes.NewReader(random(2*size)), 2*size, &seen{}, nil)
		if !fails {
			require.NoError(t, err)
			a.Discard(t.Context())
			continue
		}
		require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
		garbage, _, err := f.meta.ListGarbage(t.Context(), meta.ListGarbage{Limit: 10})
		require.NoError(t, err)
		require.Len(t, garbage, 1, "what it stored is collected")
	}
}
