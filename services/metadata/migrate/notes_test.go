package migrate

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/memory"
	"deuxfleurs.fr/garage/pkg/meta/unfinished"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// into is a migration into a store, by a service whose clock differs, with a copy that it made.
func into(t *testing.T, store meta.Store, c clock.Clock) (*migration, meta.Bucket) {
	t.Helper()
	m := &migration{Deps: Deps{Store: store, Clock: c, Random: clock.SystemRandom, Logger: slog.New(slog.DiscardHandler)},
		notes: notes{failed: make(map[place]bool), copies: make(map[uuid.UUID]meta.Bucket)}}
	require.NoError(t, m.findNotes(t.Context(), uuid.Nil, true))
	now := c.Now()
	m.hold = &hold{id: uuid.New()}
	m.hold.heard.set(now)
	m.hold.beat.set(now)
	b := meta.Bucket{ID: uuid.New(), Name: "photos", Grants: unfinished.ClosedGrants}
	require.NoError(t, m.noteCopy(t.Context(), b))
	require.NoError(t, store.CreateBucket(t.Context(), b))
	return m, b
}

// failing keeps the time of the last object that was to be written with one, and may fail that.
type failing struct {
	meta.Store
	err     error
	written clock.Timestamp
}

func (s *failing) PutObject(ctx context.Context, p meta.Put) (meta.Version, error) {
	if p.Written == 0 {
		return s.Store.PutObject(ctx, p)
	}
	if s.written = p.Written; s.err != nil {
		return meta.Version{}, s.err
	}
	return s.Store.PutObject(ctx, p)
}

// A write of a settling that failed may still take effect when another service, with a slower clock, has settled the same.
func TestWhoSettlesAgainComesAboveWhoFailedWithAFasterClock(t *testing.T) {
	store, err := memory.New(clock.System{}, clock.SystemRandom)
	require.NoError(t, err)
	s, now := &failing{Store: store, err: errors.Newf(errors.Canceled, "the database does not answer")}, time.Now()
	fast, b := into(t, s, clock.NewManual(now.Add(maxSkew)))
	require.NoError(t, fast.notes.PutDoubt(t.Context(), unfinished.DoubtsOf(b)+"1", &metadatav1.MigrationDoubt{Keys: [][]byte{[]byte("k")}}))
	require.ErrorIs(t, fast.settle(t.Context(), b, false), s.err)
	failed := s.written
	require.NotZero(t, failed)

	s.err = nil
	slow := &migration{Deps: fast.Deps, hold: fast.hold, notes: notes{failed: make(map[place]bool), copies: make(map[uuid.UUID]meta.Bucket)}}
	slow.Clock = clock.NewManual(now.Add(-maxSkew))
	require.NoError(t, slow.findNotes(t.Context(), uuid.Nil, true))
	require.NoError(t, slow.settle(t.Context(), b, false))
	require.Greater(t, s.written, failed)
	require.NoError(t, slow.notes.EachDoubt(t.Context(), b, func(note string, _ *metadatav1.MigrationDoubt) error {
		return errors.Newf(errors.Internal, "%s is left", note)
	}))
}

func TestAHeartbeatFindsThatTheCopyWasOpenedByHand(t *testing.T) {
	store, err := memory.New(clock.System{}, clock.SystemRandom)
	require.NoError(t, err)
	m, b := into(t, store, clock.System{})
	m.target.Store(&b)
	require.NoError(t, m.check(t.Context(), time.Now()))
	require.NoError(t, store.SetGrant(t.Context(), b.ID, meta.Grant{Grantee: identity.Closed}))
	err = m.check(t.Context(), time.Now())
	require.True(t, errors.Is(err, errors.Conflict), "%v", err)
	require.ErrorContains(t, err, "photos is open to clients")
}

// What is no commit of an object could hurt clients too: an upload of theirs aborted, a part of theirs replaced.
func TestNoUploadIsTouchedWithoutASureHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := memory.New(clock.System{}, clock.SystemRandom)
		require.NoError(t, err)
		m, b := into(t, store, clock.System{})
		m.source, err = memory.New(clock.System{}, clock.SystemRandom)
		require.NoError(t, err)
		require.NoError(t, m.source.CreateBucket(t.Context(), b))
		begin := func(s meta.Store) meta.UploadRef {
			id, err := meta.NewUploadID(time.Now(), clock.SystemRandom)
			require.NoError(t, err)
			ref := meta.UploadRef{Bucket: b.ID, Key: "video", ID: id}
			require.NoError(t, s.BeginUpload(t.Context(), meta.Upload{UploadRef: ref, Multipart: true}))
			return ref
		}
		here := begin(store)
		time.Sleep(unheard + 1)
		require.True(t, errors.Is(m.uploads(t.Context(), b, &differences{}), errors.Unavailable))
		_, err = store.Upload(t.Context(), here)
		require.NoError(t, err, "it is not aborted")
		require.NoError(t, store.AbortUpload(t.Context(), here))
		there := begin(m.source)
		require.True(t, errors.Is(m.uploads(t.Context(), b, &differences{}), errors.Unavailable))
		_, err = store.Upload(t.Context(), there)
		require.True(t, errors.Is(err, errors.NotFound), "%v", err)
		_, err = m.part(t.Context(), there, meta.Part{Number: 1}, uuid.New())
		require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
		require.True(t, errors.Is(m.removeCopy(t.Context(), b, &differences{}), errors.Unavailable), "clients may have uploads in it")
	})
}
