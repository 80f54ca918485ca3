package move

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity/keys"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/unfinished"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	"deuxfleurs.fr/garage/services/rebalancer"
)

// operator is a rebalancer of the cluster, which an operator asks. Its clock is ahead by some time.
func operator(t *testing.T, store meta.Store, ahead time.Duration) *rebalancer.Service {
	t.Helper()
	l, err := layout.New(3, 1, []layout.Node{{ID: uuid.New(), Zone: "home", Tokens: 1, Address: "127.0.0.1:1"}})
	require.NoError(t, err)
	owners, err := layout.Assign(nil, l)
	require.NoError(t, err)
	active, err := layout.NewActive(layout.Placement{Layout: l, Assignment: owners})
	require.NoError(t, err)
	s, err := rebalancer.New(rebalancer.Config{}, rebalancer.Deps{Store: store, Folder: t.TempDir(), Identities: keys.New(store, clock.System{}, 0), Layouts: active,
		Node: func(chunk.NodeID) (rebalancer.Node, error) {
			return nil, errors.Newf(errors.NotFound, "there is no node")
		},
		Clock: clock.NewManual(time.Now().Add(ahead)), Random: clock.SystemRandom, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return s
}

// during does something once, while objects are listed or after one was written.
type during struct {
	meta.Store
	list func(meta.List) bool
	put  func(meta.Put) bool
	do   func()
	once sync.Once
}

func (s *during) List(ctx context.Context, l meta.List) (meta.Page, error) {
	if s.list != nil && s.list(l) {
		s.once.Do(s.do)
	}
	return s.Store.List(ctx, l)
}

func (s *during) PutObject(ctx context.Context, p meta.Put) (meta.Version, error) {
	v, err := s.Store.PutObject(ctx, p)
	if s.put != nil && s.put(p) {
		s.once.Do(s.do)
	}
	return v, err
}

// clients write into the copy, if it lets them, and require at the end that all of it stays.
type clients struct {
	m      *migration
	upload meta.UploadRef
	wrote  bool
}

func (c *clients) write() {
	if c.m.rights() == 0 {
		return
	}
	c.wrote = true
	t := c.m.to
	c.m.to.put(c.m.bucket.ID, "photo", "the only copy")
	c.m.to.put(c.m.bucket.ID, "inline", "overwritten by a client")
	c.upload = meta.UploadRef{Bucket: c.m.bucket.ID, Key: "video", ID: t.begin(c.m.bucket.ID, "video", true)}
}

func (c *clients) kept(about ...any) {
	if !c.wrote {
		return
	}
	t := c.m.to
	t.Helper()
	for key, want := range map[string]string{"photo": "the only copy", "inline": "overwritten by a client"} {
		o, err := t.meta.Object(t.Context(), c.m.bucket.ID, key)
		require.NoError(t, err, about...)
		require.Equal(t, want, string(o.Inline), about...)
	}
	u, err := t.meta.Upload(t.Context(), c.upload)
	require.NoError(t, err, about...)
	require.Equal(t, meta.Open, u.State, about...)
}

// An operator opens a copy at each listing of the cluster by a migration, or by its removal, and clients write.
func TestWhatClientsWriteIntoACopyThatIsOpenedStays(t *testing.T) {
	for _, abandon := range []bool{false, true} {
		refused, opened := 0, 0
		for n := 1; ; n++ {
			o := &during{}
			m := newMigrationInto(t, func(s meta.Store) meta.Store { o.Store = s; return o })
			m.request.CopyOnly = true
			_, _, err := m.run()
			require.NoError(t, err)
			m.request.CopyOnly, m.request.Abandon = false, abandon
			boss, c, calls, came := operator(t, m.to.meta, 0), &clients{m: m}, 0, false
			o.list = func(meta.List) bool { calls++; return calls == n }
			var opening error
			o.do = func() {
				came = true
				_, opening = boss.OpenBucket(t.Context(), &adminv1.OpenBucketRequest{Name: m.bucket.Name})
				c.write()
			}
			_, result, err := m.run()
			if !came {
				require.Greater(t, n, 3, "the calls are counted")
				break
			}
			c.kept("abandon %v, call %d: %v", abandon, n, err)
			if opening == nil {
				opened++
				require.True(t, errors.Is(err, errors.Conflict), "abandon %v, call %d: %v", abandon, n, err)
				continue
			}
			refused++
			require.NoError(t, err, "abandon %v, call %d: the migration goes on", abandon, n)
			require.True(t, result.GetMoved() || result.GetAbandoned())
		}
		require.Positive(t, refused, "abandon %v", abandon)
		require.Positive(t, opened, "abandon %v", abandon)
	}
}

// notes are the names of the buckets with the notes of migrations.
func (m *migration) notes() (names []string) {
	page, err := m.to.meta.ListBuckets(m.to.Context(), meta.ListBuckets{Prefix: unfinished.BucketPrefix, Limit: 10})
	require.NoError(m.to, err)
	for _, b := range page.Buckets {
		names = append(names, b.Name)
	}
	return names
}

// copied is a migration that has copied everything, and is begun again, or abandoned.
func copied(t *testing.T, abandon bool) *migration {
	m := newMigration(t)
	m.request.CopyOnly = true
	_, _, err := m.run()
	require.NoError(t, err)
	m.request.CopyOnly, m.request.Abandon = false, abandon
	return m
}

func open(t *testing.T, s *rebalancer.Service, bucket string) (*adminv1.OpenBucketResponse, error) {
	return s.OpenBucket(t.Context(), &adminv1.OpenBucketRequest{Name: bucket})
}

// The operator has looked that no migration is at work, and one begins before the copy is open.
func TestAMigrationThatBeginsWhileACopyIsOpenedEnds(t *testing.T) {
	for _, abandon := range []bool{false, true} {
		m := copied(t, abandon)
		var migrated error
		o := &during{Store: m.to.meta, put: func(p meta.Put) bool { return strings.HasPrefix(p.Key, "opening/") }, do: func() { _, _, migrated = m.run() }}
		before := m.to.text(m.bucket)
		_, err := open(t, operator(t, o, 0), m.bucket.Name)
		require.True(t, errors.Is(migrated, errors.Conflict), "%v", migrated)
		require.ErrorContains(t, migrated, "run \"garage bucket open photos\" again")
		require.NoError(t, err)
		c := &clients{m: m}
		require.Len(t, m.to.text(m.bucket), len(before), "nothing was removed")
		c.write()
		require.True(t, c.wrote)
		_, _, err = m.run()
		require.True(t, errors.Is(err, errors.Conflict), "%v", err)
		c.kept()
		require.Nil(t, m.gate.gate.Moved())
	}
}

// Nobody can tell a migration that was killed from one that does not answer for a moment: its heartbeat has to be old.
func TestACopyIsOpenedSomeTimeAfterItsMigrationWasKilled(t *testing.T) {
	m := newMigration(t)
	o := m.write
	m.request.CopyOnly = true
	var writes atomic.Int64
	m.write = func(do func() error) error {
		if writes.Add(1) > 8 {
			return errors.Newf(errors.Canceled, "the cluster is down")
		}
		return do()
	}
	_, _, err := m.run()
	require.Error(t, err)
	m.write = o
	before := m.to.lines(m.bucket, true)
	_, err = open(t, operator(t, m.to.meta, unfinished.HeartbeatLife-time.Minute), m.bucket.Name)
	require.True(t, errors.Is(err, errors.Conflict), "%v", err)
	require.ErrorContains(t, err, "is at work or was killed a moment ago")
	require.ErrorContains(t, err, "repeat this command")
	require.Equal(t, before, m.to.lines(m.bucket, true))
	_, err = open(t, operator(t, m.to.meta, unfinished.HeartbeatLife), m.bucket.Name)
	require.NoError(t, err)
	require.NotZero(t, m.rights())
	require.Empty(t, m.notes())
}

func TestAMigrationGoesOnThoughAnOpeningWasRefused(t *testing.T) {
	m := copied(t, false)
	atFreeze := make(chan error, 1)
	m.atFreeze = func() {
		_, err := open(t, operator(t, m.to.meta, 0), m.bucket.Name)
		atFreeze <- err
	}
	_, result, err := m.run()
	require.NoError(t, err)
	require.True(t, result.GetMoved())
	require.True(t, errors.Is(<-atFreeze, errors.Conflict))
}

// opener fails to open a bucket, before or after that took effect.
type opener struct {
	meta.Store
	after bool
}

func (s opener) SetGrant(ctx context.Context, bucket uuid.UUID, g meta.Grant) error {
	if s.after {
		if err := s.Store.SetGrant(ctx, bucket, g); err != nil {
			return err
		}
	}
	return errors.Newf(errors.Unavailable, "the database does not answer")
}

func TestAnOpeningThatWasInterruptedIsDoneAgainAndKeepsMigrationsAway(t *testing.T) {
	for _, abandon := range []bool{false, true} {
		for _, after := range []bool{false, true} {
			m := copied(t, abandon)
			_, err := open(t, operator(t, opener{m.to.meta, after}, 0), m.bucket.Name)
			require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
			require.ErrorContains(t, err, "is to be done again")
			c := &clients{m: m}
			c.write()
			require.Equal(t, after, c.wrote)
			_, _, err = m.run()
			require.True(t, errors.Is(err, errors.Conflict), "%v", err)
			if !after {
				require.ErrorContains(t, err, "garage bucket open photos")
			}
			c.kept()
			_, err = open(t, operator(t, m.to.meta, 0), m.bucket.Name)
			require.NoError(t, err)
			require.NotZero(t, m.rights())
			require.Empty(t, m.notes())
			c.kept()
			_, err = open(t, operator(t, m.to.meta, 0), m.bucket.Name)
			require.True(t, errors.Is(err, errors.Conflict), "it is open: %v", err)
			require.ErrorContains(t, err, "not closed")
		}
	}
}

func TestTheNotesGoWithTheLastCopyThatIsClosed(t *testing.T) {
	m := newMigration(t)
	second := meta.Bucket{ID: uuid.New(), Name: "second"}
	require.NoError(t, m.from.meta.CreateBucket(t.Context(), second))
	m.request.CopyOnly = true
	_, _, err := m.run()
	require.NoError(t, err)
	require.Len(t, m.notes(), 1)
	boss := operator(t, m.to.meta, 0)
	remove := func(name string) error {
		_, err := boss.DeleteBucket(t.Context(), &adminv1.DeleteBucketRequest{Name: name})
		return err
	}
	_, err = open(t, boss, m.bucket.Name)
	require.NoError(t, err)
	require.Len(t, m.notes(), 1)
	err = remove(m.notes()[0])
	require.True(t, errors.Is(err, errors.Conflict), "%v", err)
	require.ErrorContains(t, err, "second")
	// What was refused leaves nothing that keeps a migration away.
	require.NoError(t, (&unfinished.Notes{Store: m.to.meta, Bucket: m.bucketOf(m.notes()[0])}).CheckNoOpening(t.Context()))
	_, err = open(t, boss, second.Name)
	require.NoError(t, err)
	require.Empty(t, m.notes())
}

// A migration that was killed before it had made a copy leaves notes of nothing.
func TestTheNotesOfAMigrationWithoutCopiesCanBeDeleted(t *testing.T) {
	m := newMigration(t)
	m.write = func(do func() error) error {
		if len(m.notes()) > 0 {
			return errors.Newf(errors.Canceled, "the cluster is down")
		}
		return do()
	}
	_, _, err := m.run()
	require.Error(t, err)
	n := unfinished.Notes{Store: m.to.meta, Bucket: m.bucketOf(m.notes()[0])}
	require.NoError(t, n.PutHeartbeat(t.Context(), uuid.New(), time.Now()))
	remove := func(later time.Duration) error {
		_, err := operator(t, m.to.meta, later).DeleteBucket(t.Context(), &adminv1.DeleteBucketRequest{Name: n.Bucket.Name})
		return err
	}
	require.True(t, errors.Is(remove(0), errors.Conflict), "it may be at work")
	require.NoError(t, remove(unfinished.HeartbeatLife))
	require.Empty(t, m.notes())
}

func (m *migration) bucketOf(name string) meta.Bucket {
	b, err := m.to.meta.Bucket(m.to.Context(), name)
	require.NoError(m.to, err)
	return b
}

// unsure fails the write of one object of a copy, which may take effect later.
type unsure struct{ meta.Store }

func (s unsure) PutObject(ctx context.Context, p meta.Put) (meta.Version, error) {
	if p.Key == "inline" {
		return meta.Version{}, errors.Newf(errors.Canceled, "the database does not answer")
	}
	return s.Store.PutObject(ctx, p)
}

func TestWhoOpensACopyIsToldWhatIsInDoubt(t *testing.T) {
	m := newMigrationInto(t, func(s meta.Store) meta.Store { return unsure{s} })
	_, _, err := m.run()
	require.Error(t, err)
	answer, err := open(t, operator(t, m.to.meta, 0), m.bucket.Name)
	require.NoError(t, err)
	require.EqualValues(t, 1, answer.GetInDoubt())
	require.Equal(t, [][]byte{[]byte("inline")}, answer.GetKeysInDoubt())
	require.False(t, answer.GetBucket().GetClosed())
	m = copied(t, false)
	answer, err = open(t, operator(t, m.to.meta, 0), m.bucket.Name)
	require.NoError(t, err)
	require.Zero(t, answer.GetInDoubt())
}
