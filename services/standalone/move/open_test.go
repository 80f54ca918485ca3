package move

import (
	"context"
	"log/slog"
	"sync"
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

// An operator opens a copy at each moment of a migration, or of its removal, and clients write.
func TestWhatClientsWriteIntoACopyThatIsOpenedStays(t *testing.T) {
	for _, abandon := range []bool{false, true} {
		refused := 0
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
				require.True(t, errors.Is(err, errors.Conflict), "abandon %v, call %d: %v", abandon, n, err)
				continue
			}
			refused++
			require.NoError(t, err, "abandon %v, call %d: the migration goes on", abandon, n)
			require.True(t, result.GetMoved() || result.GetAbandoned())
		}
		require.Positive(t, refused, "abandon %v", abandon)
	}
}
