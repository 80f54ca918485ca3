package unfinished

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/memory"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// beating puts the heartbeat of a migration right before somebody marks a bucket as being opened.
type beating struct {
	meta.Store
	beat func()
}

func (s beating) PutObject(ctx context.Context, p meta.Put) (meta.Version, error) {
	s.beat()
	return s.Store.PutObject(ctx, p)
}

func unfinishedCopy(t *testing.T) (*Notes, meta.Bucket) {
	t.Helper()
	store, err := memory.New(clock.System{}, clock.SystemRandom)
	require.NoError(t, err)
	n := &Notes{Store: store, Bucket: meta.Bucket{ID: uuid.New(), Name: BucketPrefix + "1", Grants: ClosedGrants}}
	b := meta.Bucket{ID: uuid.New(), Name: "photos", Grants: ClosedGrants}
	require.NoError(t, store.CreateBucket(t.Context(), n.Bucket))
	require.NoError(t, n.PutCopy(t.Context(), b))
	require.NoError(t, store.CreateBucket(t.Context(), b))
	return n, b
}

func TestAMigrationThatBeganBeforeTheMarkIsNotDisturbed(t *testing.T) {
	for _, what := range []string{"open", "remove"} {
		n, b := unfinishedCopy(t)
		s := beating{n.Store, func() { require.NoError(t, n.PutHeartbeat(t.Context(), uuid.New(), time.Now())) }}
		var err error
		if what == "open" {
			_, err = Open(t.Context(), s, clock.System{}, clock.SystemRandom, b)
		} else {
			require.NoError(t, n.Store.DeleteBucket(t.Context(), b.ID))
			err = RemoveNotes(t.Context(), s, clock.System{}, clock.SystemRandom, n.Bucket)
		}
		require.True(t, errors.Is(err, errors.Conflict), "%s: %v", what, err)
		require.NoError(t, n.CheckNoOpening(t.Context()), "the mark is taken back")
		if what == "open" {
			b, err = n.Store.Bucket(t.Context(), b.Name)
			require.NoError(t, err)
			require.True(t, b.Closed())
		}
		copies, err := n.Copies(t.Context())
		require.NoError(t, err)
		require.Len(t, copies, 1)
	}
}

// Another one who opens the same bucket takes back only what is his.
func TestWhoIsRefusedLeavesTheMarkOfAnother(t *testing.T) {
	n, b := unfinishedCopy(t)
	first, err := newOpening(clock.System{}, clock.SystemRandom, b, []*Notes{n})
	require.NoError(t, err)
	require.NoError(t, first.keepAway(t.Context()))
	s := beating{n.Store, func() { require.NoError(t, n.PutHeartbeat(t.Context(), uuid.New(), time.Now())) }}
	_, err = Open(t.Context(), s, clock.System{}, clock.SystemRandom, b)
	require.True(t, errors.Is(err, errors.Conflict), "%v", err)
	err = n.CheckNoOpening(t.Context())
	require.True(t, errors.Is(err, errors.Conflict), "%v", err)
	require.ErrorContains(t, err, "garage bucket open photos")
}

// The mark of a bucket that was opened, emptied and deleted is in nobody's way.
func TestTheMarkOfABucketThatIsGoneIsDropped(t *testing.T) {
	n, b := unfinishedCopy(t)
	first, err := newOpening(clock.System{}, clock.SystemRandom, b, []*Notes{n})
	require.NoError(t, err)
	require.NoError(t, first.keepAway(t.Context()))
	require.Error(t, n.CheckNoOpening(t.Context()))
	require.NoError(t, n.Store.DeleteBucket(t.Context(), b.ID))
	require.NoError(t, n.CheckNoOpening(t.Context()))
	require.NoError(t, n.each(t.Context(), markPrefix, func(o meta.Object) error { return errors.Newf(errors.Internal, "%s is left", o.Key) }))
}

// A copy that no note names keeps all migrations away, as nobody knows whose it is.
func TestACopyThatNoNoteNamesIsOpenedWhenNoMigrationIsAtWork(t *testing.T) {
	n, _ := unfinishedCopy(t)
	other := meta.Bucket{ID: uuid.New(), Name: "other", Grants: ClosedGrants}
	require.NoError(t, n.Store.CreateBucket(t.Context(), other))
	now := clock.NewManual(time.Now())
	require.NoError(t, n.PutHeartbeat(t.Context(), uuid.New(), now.Now()))
	_, err := Open(t.Context(), n.Store, now, clock.SystemRandom, other)
	require.True(t, errors.Is(err, errors.Conflict), "%v", err)
	now.Advance(HeartbeatLife)
	_, err = Open(t.Context(), n.Store, now, clock.SystemRandom, other)
	require.NoError(t, err)
	copies, err := n.Copies(t.Context())
	require.NoError(t, err)
	require.Len(t, copies, 1, "the notes of the other copy stay")
	require.NoError(t, n.CheckNoOpening(t.Context()))
}

// keeping deletes nothing.
type keeping struct{ meta.Store }

func (keeping) DeleteObjects(context.Context, uuid.UUID, []meta.Delete) ([]meta.DeleteResult, error) {
	return nil, errors.Newf(errors.Unavailable, "the database does not answer")
}

// What is in doubt is told also when its notes cannot be removed, or only some of them: nobody could tell it later.
func TestWhatIsInDoubtIsToldThoughNotesAreLeft(t *testing.T) {
	n, b := unfinishedCopy(t)
	require.NoError(t, n.PutDoubt(t.Context(), DoubtsOf(b)+"1", &metadatav1.MigrationDoubt{Keys: [][]byte{[]byte("a"), []byte("b")}}))
	require.NoError(t, n.PutDoubt(t.Context(), DoubtsOf(b)+"2", &metadatav1.MigrationDoubt{Keys: [][]byte{[]byte("b"), []byte("c")}}))
	opened, err := Open(t.Context(), keeping{n.Store}, clock.System{}, clock.SystemRandom, b)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b", "c"}, opened.Keys)
	require.EqualValues(t, 3, opened.InDoubt)
	require.Error(t, opened.Left)
	b, err = n.Store.Bucket(t.Context(), b.Name)
	require.NoError(t, err)
	require.False(t, b.Closed())
	require.Error(t, n.CheckNoOpening(t.Context()))

	opened, err = Open(t.Context(), keeping{n.Store}, clock.System{}, clock.SystemRandom, b)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b", "c"}, opened.Keys)
	require.Error(t, opened.Left)
	opened, err = Open(t.Context(), n.Store, clock.System{}, clock.SystemRandom, b)
	require.NoError(t, err)
	require.NoError(t, opened.Left)
	_, err = n.Store.Bucket(t.Context(), n.Bucket.Name)
	require.True(t, errors.Is(err, errors.NotFound), "%v", err)
}

// keepingSome fails the deletion of one key.
type keepingSome struct {
	meta.Store
	key string
}

func (s keepingSome) DeleteObjects(ctx context.Context, bucket uuid.UUID, some []meta.Delete) ([]meta.DeleteResult, error) {
	rest := slices.DeleteFunc(slices.Clone(some), func(d meta.Delete) bool { return d.Key == s.key })
	results, err := s.Store.DeleteObjects(ctx, bucket, rest)
	if len(rest) < len(some) {
		err = errors.Join(err, errors.Newf(errors.Unavailable, "the database does not answer"))
	}
	return results, err
}

// lateGrant changes grants without saying so.
type lateGrant struct{ meta.Store }

func (s lateGrant) SetGrant(ctx context.Context, bucket uuid.UUID, g meta.Grant) error {
	return errors.Join(s.Store.SetGrant(ctx, bucket, g), errors.Newf(errors.Unavailable, "the database does not answer"))
}

// Whose first try was not answered is told what is in doubt by the second, though that drops only some of the notes.
func TestWhatIsInDoubtIsToldByAnOpeningThatIsResumed(t *testing.T) {
	n, b := unfinishedCopy(t)
	require.NoError(t, n.PutDoubt(t.Context(), DoubtsOf(b)+"1", &metadatav1.MigrationDoubt{Keys: [][]byte{[]byte("a")}}))
	require.NoError(t, n.PutDoubt(t.Context(), DoubtsOf(b)+"2", &metadatav1.MigrationDoubt{Keys: [][]byte{[]byte("b")}}))
	_, err := Open(t.Context(), lateGrant{n.Store}, clock.System{}, clock.SystemRandom, b)
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
	b, err = n.Store.Bucket(t.Context(), b.Name)
	require.NoError(t, err)
	require.False(t, b.Closed())
	opened, err := Open(t.Context(), keepingSome{n.Store, DoubtsOf(b) + "2"}, clock.System{}, clock.SystemRandom, b)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, opened.Keys)
	require.ErrorContains(t, opened.Left, "does not answer")
}

// Who has gone away before the answer asks again, and is told the same.
func TestWhatIsInDoubtIsKeptWhenNobodyWaitsForTheAnswer(t *testing.T) {
	n, b := unfinishedCopy(t)
	require.NoError(t, n.PutDoubt(t.Context(), DoubtsOf(b)+"1", &metadatav1.MigrationDoubt{Keys: [][]byte{[]byte("a")}}))
	ctx, cancel := context.WithCancel(t.Context())
	s := beating{n.Store, cancel} // at the mark
	opened, err := Open(ctx, s, clock.System{}, clock.SystemRandom, b)
	require.NoError(t, err)
	require.Error(t, opened.Left)
	b, err = n.Store.Bucket(t.Context(), b.Name)
	require.NoError(t, err)
	require.False(t, b.Closed())
	opened, err = Open(t.Context(), n.Store, clock.System{}, clock.SystemRandom, b)
	require.NoError(t, err)
	require.NoError(t, opened.Left)
	require.Equal(t, []string{"a"}, opened.Keys)
}

// The removal of notes that was killed is in nobody's way once it has been refused.
func TestARefusedRemovalTakesBackTheMarksOfEarlierOnes(t *testing.T) {
	n, _ := unfinishedCopy(t)
	killed, err := newOpening(clock.System{}, clock.SystemRandom, n.Bucket, []*Notes{n})
	require.NoError(t, err)
	require.NoError(t, killed.keepAway(t.Context()))
	require.ErrorContains(t, n.CheckNoOpening(t.Context()), "bucket delete")
	err = RemoveNotes(t.Context(), n.Store, clock.System{}, clock.SystemRandom, n.Bucket)
	require.True(t, errors.Is(err, errors.Conflict), "%v", err)
	require.NoError(t, n.CheckNoOpening(t.Context()))
}

func TestOnlyTheFirstKeysInDoubtAreNamed(t *testing.T) {
	n, b := unfinishedCopy(t)
	p := &metadatav1.MigrationDoubt{}
	for i := range maxKeysTold + 1 {
		p.Keys = append(p.Keys, []byte{byte(i >> 8), byte(i)})
	}
	require.NoError(t, n.PutDoubt(t.Context(), DoubtsOf(b)+"1", p))
	opened, err := Open(t.Context(), n.Store, clock.System{}, clock.SystemRandom, b)
	require.NoError(t, err)
	require.EqualValues(t, maxKeysTold+1, opened.InDoubt)
	require.Len(t, opened.Keys, maxKeysTold)
}
