package move

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"deuxfleurs.fr/garage/pkg/access"
	"deuxfleurs.fr/garage/pkg/adminserver"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/rpc"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
	"deuxfleurs.fr/garage/services/metadata/migrate"
	"deuxfleurs.fr/garage/services/metadata/server"
)

// migration moves one site to another. From the call with number failFrom on the standalone answers none.
type migration struct {
	from, to site
	gate     *gateTest
	calls    atomic.Int64
	failFrom atomic.Int64
	client   metadatav1.MigrationServiceClient
	request  *metadatav1.MigrateRequest
	bucket   meta.Bucket
	atFreeze func()                      // runs before writes are held back
	copies   []*metadatav1.MigrationCopy // as they were told last
	// write does a write of the cluster's metadata, or not.
	write func(func() error) error
}

func serve(t *testing.T, register func(grpc.ServiceRegistrar), options ...grpc.ServerOption) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := grpc.NewServer(append(rpc.ServerOptions(slog.New(slog.DiscardHandler), nil), options...)...)
	register(s)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		require.NoError(t, <-served)
	})
	return l.Addr().String()
}

func newMigration(t *testing.T) *migration {
	return newMigrationInto(t, func(s meta.Store) meta.Store { return s })
}

func newMigrationInto(t *testing.T, wrap func(meta.Store) meta.Store) *migration {
	m := &migration{from: newSite(t), to: newSite(t), gate: newGateTest(t), write: func(do func() error) error { return do() }}
	m.failFrom.Store(1 << 30)
	down := func() error {
		if m.calls.Add(1) >= m.failFrom.Load() {
			return errors.Newf(errors.Canceled, "the standalone is down")
		}
		return nil
	}
	source := serve(t, func(r grpc.ServiceRegistrar) {
		server.Register(r, ReadOnly(m.from.meta))
		Source{Gate: m.gate.gate, Chunks: m.from.chunks, ClusterID: uuid.New(), Clock: clock.System{}}.Register(r)
	}, grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
		if err := down(); err != nil {
			return nil, errors.ToStatus(err)
		}
		if r, is := req.(*metadatav1.HoldRequest); is && r.GetFreeze() && m.atFreeze != nil {
			m.atFreeze()
			m.atFreeze = nil
		}
		return h(ctx, req)
	}), grpc.ChainStreamInterceptor(func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
		if err := down(); err != nil {
			return errors.ToStatus(err)
		}
		return h(srv, s)
	}))
	m.client = cluster(t, m.to, gated{wrap(m.to.meta), func(do func() error) error { return m.write(do) }})
	s3 := serveS3(t)
	m.request = &metadatav1.MigrateRequest{Source: source, SourceToken: "t", Endpoint: s3}

	m.bucket = meta.Bucket{ID: uuid.New(), Name: "photos", Owner: "key"}
	require.NoError(t, m.from.meta.CreateKey(t.Context(), meta.Key{AccessKey: "key", Secret: "secret", Name: "mine"}))
	require.NoError(t, m.from.meta.CreateBucket(t.Context(), m.bucket))
	require.NoError(t, m.from.meta.SetGrant(t.Context(), m.bucket.ID, meta.Grant{Grantee: "key", Rights: identity.Read | identity.Write}))
	m.from.put(m.bucket.ID, "inline", "small")
	m.from.put(m.bucket.ID, "chunks", "large ", "and ", "larger")
	ref := meta.UploadRef{Bucket: m.bucket.ID, Key: "parts", ID: m.from.begin(m.bucket.ID, "parts", true)}
	c := meta.Complete{UploadRef: ref, ETag: "e-2", Checksum: meta.Checksum{Algorithm: "CRC32", Type: "COMPOSITE", Value: "c-2"}, Parts: []meta.Part{m.from.part(ref, 1, "one", "more"), m.from.part(ref, 7, "two")}}
	_, err := m.from.meta.CompleteUpload(t.Context(), c)
	require.NoError(t, err)
	ref.Key = "under way"
	ref.ID = m.from.begin(m.bucket.ID, ref.Key, true)
	m.from.part(ref, 3, "some", "of", "it")
	return m
}

// cluster serves migrations into a site, whose metadata is reached through a store.
func cluster(t *testing.T, s site, store meta.Store) metadatav1.MigrationServiceClient {
	t.Helper()
	conn, err := adminserver.Dial(adminserver.DialConfig{Address: serve(t, func(r grpc.ServiceRegistrar) {
		migrate.Register(r, migrate.Deps{Store: store, Chunks: s.chunks, Clock: clock.System{}, Random: clock.SystemRandom, Logger: slog.New(slog.DiscardHandler),
			Room: func(context.Context) (migrate.Room, error) { return migrate.Room{Copies: 3, Free: 10_000}, nil }})
	})})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return metadatav1.NewMigrationServiceClient(conn)
}

// run migrates and returns what was told.
func (m *migration) run() (plan *metadatav1.MigrationPlan, result *metadatav1.MigrationResult, err error) {
	stream, err := m.client.Migrate(m.from.Context(), m.request)
	require.NoError(m.from, err)
	for {
		r, err := stream.Recv()
		if err == io.EOF {
			return plan, result, nil
		}
		if err != nil {
			return plan, result, err
		}
		if r.GetPlan() != nil {
			plan = r.GetPlan()
		}
		if r.GetCopies() != nil {
			m.copies = r.GetCopies().GetCopies()
		}
		if r.GetResult() != nil {
			result = r.GetResult()
		}
	}
}

// same requires that the cluster has what the standalone has. What was in doubt may have a later time.
func (m *migration) same(about ...any) {
	m.to.Helper()
	require.Equal(m.to, m.from.lines(m.bucket, false), m.to.lines(m.bucket, false), about...)
	page, err := m.from.meta.List(m.to.Context(), meta.List{Bucket: m.bucket.ID, Limit: 1000})
	require.NoError(m.to, err)
	for _, l := range page.Objects {
		o, err := m.to.meta.Object(m.to.Context(), m.bucket.ID, l.Key)
		require.NoError(m.to, err)
		require.WithinRange(m.to, o.Modified(), l.Modified(), time.Now().Add(3*time.Minute))
	}
}

// boss may do everything by a group in LDAP.
var boss = identity.Identity{Principals: []string{identity.Person("boss"), "key"}, Buckets: map[string]identity.Rights{identity.EveryBucket: identity.All, "photos": identity.All}}

// rights is what boss may do with the cluster's copy.
func (m *migration) rights() identity.Rights {
	b, err := m.to.meta.Bucket(m.to.Context(), m.bucket.Name)
	if errors.Is(err, errors.NotFound) {
		return 0
	}
	require.NoError(m.to, err)
	return access.Rights(&boss, b)
}

func TestWhoeverFailsAtAnyCallNothingIsLostAndTheSameCommandGoesOn(t *testing.T) {
	m := newMigration(t)
	rng := rand.New(rand.NewPCG(1, 2))
	left := 0
	for n := int64(1); ; n++ {
		m.calls.Store(0)
		m.failFrom.Store(n)
		_, result, err := m.run()
		if err == nil {
			require.True(t, result.GetMoved())
			require.Greater(t, n, int64(20), "the calls are counted")
			break
		}
		if m.gate.gate.Moved() != nil {
			left++
			require.False(t, m.gate.writes())
			continue
		}
		require.Zero(t, m.rights(), "call %d", n)
		m.gate.clock.Advance(maxLease)
		require.True(t, m.gate.writes(), "call %d: a hold ends", n)
		key := fmt.Sprint("key ", rng.IntN(4))
		switch rng.IntN(4) {
		case 0:
			m.from.put(m.bucket.ID, key, fmt.Sprint("inline ", n))
		case 1:
			m.from.put(m.bucket.ID, key, fmt.Sprint("chunk ", n), "of two")
		case 2:
			_, err := m.from.meta.DeleteObjects(t.Context(), m.bucket.ID, []meta.Delete{{Key: key}})
			require.NoError(t, err)
		default:
			if n < 20 { // each costs calls in each run
				m.from.begin(m.bucket.ID, key, true)
			}
		}
	}
	require.Positive(t, left, "some failed when the standalone had left")
	require.Equal(t, m.from.text(m.bucket), m.to.text(m.bucket))
	k, err := m.to.meta.Key(t.Context(), "key")
	require.NoError(t, err)
	require.Equal(t, "secret", k.Secret)
	require.True(t, m.gate.gate.Moved().Forwards)
	m.failFrom.Store(1 << 30)
	_, result, err := m.run()
	require.NoError(t, err, "once more changes nothing")
	require.True(t, result.GetMoved())
}

func TestWhereverTheClusterFailsTheSameCommandGoesOn(t *testing.T) {
	left := 0
	for n := int64(1); ; n++ {
		m := newMigration(t)
		var writes atomic.Int64
		m.write = func(do func() error) error {
			at := writes.Add(1)
			if at < n {
				return do()
			}
			if at == n && n%2 == 0 { // it takes effect, and nobody hears of it
				_ = do()
			}
			return errors.Newf(errors.Canceled, "the cluster is down")
		}
		_, result, err := m.run()
		if err == nil {
			require.True(t, result.GetMoved())
			require.Greater(t, n, int64(15), "the writes are counted")
			break
		}
		switch moved := m.gate.gate.Moved(); {
		case moved != nil:
			left++
			require.False(t, moved.Forwards, "write %d", n)
			require.False(t, m.gate.writes(), "write %d", n)
		default:
			require.Zero(t, m.rights(), "write %d", n)
			require.True(t, m.gate.writes(), "write %d", n)
			m.from.put(m.bucket.ID, "inline", "overwritten")
			_, err := m.from.meta.DeleteObjects(t.Context(), m.bucket.ID, []meta.Delete{{Key: "chunks"}})
			require.NoError(t, err)
		}
		m.write = func(do func() error) error { return do() }
		_, result, err = m.run()
		require.NoError(t, err, "write %d", n)
		require.True(t, result.GetMoved())
		m.same("write %d", n)
	}
	require.Positive(t, left, "some failed when the standalone had left")
}

// forgetful hides objects with a time of before, as a database does that remembers a later deletion of their keys.
type forgetful struct{ meta.Store }

func (s forgetful) hide(ctx context.Context, ref meta.UploadRef, written clock.Timestamp) error {
	if written == 0 {
		return nil
	}
	_, err := s.DeleteObjects(ctx, ref.Bucket, []meta.Delete{{Key: ref.Key}})
	return err
}

func (s forgetful) PutObject(ctx context.Context, p meta.Put) (meta.Version, error) {
	v, err := s.Store.PutObject(ctx, p)
	return v, errors.Join(err, s.hide(ctx, meta.UploadRef{Bucket: p.Bucket, Key: p.Key}, p.Written))
}

func (s forgetful) CompleteUpload(ctx context.Context, c meta.Complete) (meta.Version, error) {
	v, err := s.Store.CompleteUpload(ctx, c)
	return v, errors.Join(err, s.hide(ctx, c.UploadRef, c.Written))
}

func TestAnObjectThatALaterDeletionHidesGetsTheTimeOfNow(t *testing.T) {
	m := newMigrationInto(t, func(s meta.Store) meta.Store { return forgetful{s} })
	before := time.Now()
	_, result, err := m.run()
	require.NoError(t, err)
	require.True(t, result.GetMoved())
	for key, size := range map[string]int64{"inline": 5, "chunks": 16, "parts": 10} {
		o, err := m.to.meta.Object(t.Context(), m.bucket.ID, key)
		require.NoError(t, err, key)
		require.Equal(t, size, o.Size, key)
		require.WithinRange(t, o.Modified(), before.Truncate(time.Microsecond), time.Now().Add(time.Second), key)
	}
}

func TestWhatIsInTheWayIsToldBeforeAnythingIsCopied(t *testing.T) {
	m := newMigration(t)
	require.NoError(t, m.to.meta.CreateBucket(t.Context(), meta.Bucket{ID: uuid.New(), Name: m.bucket.Name}))
	require.NoError(t, m.to.meta.CreateKey(t.Context(), meta.Key{AccessKey: "key", Secret: "another"}))
	m.from.put(m.bucket.ID, "big", strings.Repeat("b", 4000))
	m.request.Endpoint = "http://127.0.0.1:1"
	m.request.DryRun = true
	plan, result, err := m.run()
	require.NoError(t, err)
	require.Nil(t, result)
	require.Equal(t, []int64{1, 1, 4, 1}, []int64{plan.GetBuckets(), plan.GetKeys(), plan.GetObjects(), plan.GetUploads()})
	require.Len(t, plan.GetObstacles(), 4, "%v", plan.GetObstacles())
	for i, what := range []string{"another bucket", "another secret", "add nodes", "cannot forward"} {
		require.Contains(t, plan.GetObstacles()[i], what)
	}
	m.request.DryRun = false
	_, _, err = m.run()
	require.True(t, errors.Is(err, errors.Conflict), "%v", err)
	require.Nil(t, m.gate.gate.Moved())
	require.True(t, m.gate.writes())
	buckets, err := m.to.meta.ListBuckets(t.Context(), meta.ListBuckets{Limit: 10})
	require.NoError(t, err)
	require.Len(t, buckets.Buckets, 1, "nothing was made")
	require.NotEqual(t, m.bucket.ID, buckets.Buckets[0].ID)
}

func TestAStandaloneThatHasLeftGoesToNoOtherCluster(t *testing.T) {
	for _, forwards := range []bool{false, true} {
		m := newMigration(t)
		if !forwards {
			m.write = func(do func() error) error {
				if m.gate.gate.Moved() != nil {
					return errors.Newf(errors.Canceled, "the cluster is down")
				}
				return do()
			}
		}
		_, _, err := m.run()
		require.Equal(t, forwards, err == nil, "%v", err)
		require.Equal(t, forwards, m.gate.gate.Moved().Forwards)
		left := *m.gate.gate.Moved()
		other := newSite(t)
		home := m.client
		m.client = cluster(t, other, other.meta)
		for _, abandon := range []bool{false, true} {
			m.request.Abandon = abandon
			_, _, err = m.run()
			require.True(t, errors.Is(err, errors.Conflict), "%v", err)
			require.ErrorContains(t, err, "has moved to another cluster, "+left.Cluster.String())
		}
		require.Equal(t, left, *m.gate.gate.Moved())
		info, err := other.meta.Info(t.Context())
		require.NoError(t, err)
		require.Zero(t, info.Buckets)
		keys, err := other.meta.ListKeys(t.Context(), "", 1)
		require.NoError(t, err)
		require.Empty(t, keys.Keys)
		m.client, m.request.Abandon = home, false
		m.write = func(do func() error) error { return do() }
		_, result, err := m.run()
		require.NoError(t, err, "in its own it is finished")
		require.True(t, result.GetMoved())
		require.True(t, m.gate.gate.Moved().Forwards)
	}
}

func TestWhatIsDamagedIsNamedAndStopsTheCutOverUnlessItIsLeftOut(t *testing.T) {
	m := newMigration(t)
	before := m.from.text(m.bucket)
	m.from.put(m.bucket.ID, "bad", "lost ", "bytes")
	o, err := m.from.meta.Object(t.Context(), m.bucket.ID, "bad")
	require.NoError(t, err)
	require.True(t, m.from.chunks.Lose(o.First.Hash))
	_, _, err = m.run()
	require.True(t, errors.Is(err, errors.Corrupted), "%v", err)
	require.ErrorContains(t, err, "photos/bad")
	require.Nil(t, m.gate.gate.Moved())
	m.request.LeaveDamaged = true
	_, result, err := m.run()
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte("photos/bad")}, result.GetDamaged())
	require.Equal(t, before, m.to.text(m.bucket))
}

func TestCopyingAloneChangesNothingForClients(t *testing.T) {
	m := newMigration(t)
	m.request.CopyOnly = true
	_, result, err := m.run()
	require.NoError(t, err)
	require.False(t, result.GetMoved())
	require.EqualValues(t, 3, result.GetObjects())
	require.True(t, m.gate.writes())
	require.Zero(t, m.rights())
	_, err = m.from.meta.DeleteObjects(t.Context(), m.bucket.ID, []meta.Delete{{Key: "inline"}})
	require.NoError(t, err)
	m.request.CopyOnly = false
	_, result, err = m.run()
	require.NoError(t, err)
	require.EqualValues(t, 1, result.GetDeleted())
	require.Zero(t, result.GetObjects(), "what was copied is not copied again")
	require.Equal(t, m.from.text(m.bucket), m.to.text(m.bucket))
	require.Equal(t, identity.All, m.rights())
}

func TestACopyThatClientsMayHaveUsedIsNotTouched(t *testing.T) {
	for _, g := range []meta.Grant{{Grantee: identity.Closed}, {Grantee: identity.Person("ann"), Rights: identity.Read}} {
		m := newMigration(t)
		m.request.CopyOnly = true
		_, _, err := m.run()
		require.NoError(t, err)
		require.NoError(t, m.to.meta.SetGrant(t.Context(), m.bucket.ID, g))
		m.to.put(m.bucket.ID, "acknowledged", "by the cluster")
		before := m.to.text(m.bucket)
		m.request.CopyOnly = false
		_, _, err = m.run()
		require.True(t, errors.Is(err, errors.Conflict), "%v", err)
		require.Equal(t, before, m.to.text(m.bucket))
	}
}

func TestACopyWhoseBucketIsGoneAtTheStandaloneIsDeletedUnlessClientsMayHaveUsedIt(t *testing.T) {
	for _, opened := range []bool{false, true} {
		m := newMigration(t)
		second := meta.Bucket{ID: uuid.New(), Name: "second"}
		require.NoError(t, m.from.meta.CreateBucket(t.Context(), second))
		m.from.put(second.ID, "only", "this")
		m.atFreeze = func() {
			if opened {
				require.NoError(t, m.to.meta.SetGrant(t.Context(), second.ID, meta.Grant{Grantee: identity.Closed}))
			}
			_, err := m.from.meta.DeleteObjects(t.Context(), second.ID, []meta.Delete{{Key: "only"}})
			require.NoError(t, err)
			require.NoError(t, m.from.meta.DeleteBucket(t.Context(), second.ID))
		}
		_, _, err := m.run()
		_, there := m.to.meta.Object(t.Context(), second.ID, "only")
		if opened {
			require.True(t, errors.Is(err, errors.Conflict), "%v", err)
			require.NoError(t, there)
			continue
		}
		require.NoError(t, err)
		require.True(t, errors.Is(there, errors.NotFound), "%v", there)
	}
}

func TestAnUnfinishedMigrationIsAbandonedAndMayBeginAgain(t *testing.T) {
	m := newMigration(t)
	second := meta.Bucket{ID: uuid.New(), Name: "second"}
	require.NoError(t, m.from.meta.CreateBucket(t.Context(), second))
	m.from.put(second.ID, "only", "this")
	own := meta.Bucket{ID: uuid.New(), Name: "own"}
	require.NoError(t, m.to.meta.CreateBucket(t.Context(), own))
	m.to.put(own.ID, "k", "of the cluster")
	m.request.CopyOnly = true
	_, _, err := m.run()
	require.NoError(t, err)
	// A bucket that is deleted at the standalone between two calls goes too.
	_, err = m.from.meta.DeleteObjects(t.Context(), second.ID, []meta.Delete{{Key: "only"}})
	require.NoError(t, err)
	require.NoError(t, m.from.meta.DeleteBucket(t.Context(), second.ID))
	before, there := m.from.text(m.bucket), m.to.text(m.bucket)

	m.request.Abandon, m.request.DryRun = true, true
	_, _, err = m.run()
	require.NoError(t, err)
	require.Len(t, m.copies, 2)
	require.Equal(t, []string{m.bucket.Name, second.Name}, []string{m.copies[0].GetBucket(), m.copies[1].GetBucket()})
	require.Equal(t, []int64{3, 31, 1}, []int64{m.copies[0].GetObjects(), m.copies[0].GetBytes(), m.copies[0].GetUploads()})
	require.Equal(t, there, m.to.text(m.bucket), "nothing is removed until that is wanted")

	m.request.DryRun = false
	require.NoError(t, m.gate.gate.Hold(t.Context(), uuid.New(), testLease, false, false))
	_, _, err = m.run()
	require.True(t, errors.Is(err, errors.Conflict), "another migration may be about to leave: %v", err)
	m.gate.clock.Advance(testLease)

	_, result, err := m.run()
	require.NoError(t, err)
	require.True(t, result.GetAbandoned())
	buckets, err := m.to.meta.ListBuckets(t.Context(), meta.ListBuckets{Limit: 10})
	require.NoError(t, err)
	require.Len(t, buckets.Buckets, 1)
	require.Equal(t, own.ID, buckets.Buckets[0].ID)
	_, err = m.to.meta.Object(t.Context(), own.ID, "k")
	require.NoError(t, err)
	require.Equal(t, before, m.from.text(m.bucket))
	require.True(t, m.gate.writes())

	m.request.Abandon, m.request.CopyOnly = false, false
	_, result, err = m.run()
	require.NoError(t, err)
	require.True(t, result.GetMoved())
	require.Equal(t, before, m.to.text(m.bucket))
	m.request.Abandon = true
	_, _, err = m.run()
	require.True(t, errors.Is(err, errors.Conflict), "%v", err)
	require.ErrorContains(t, err, "has left")
	require.Equal(t, before, m.to.text(m.bucket))
}

func TestACopyThatClientsMayHaveUsedIsNotAbandoned(t *testing.T) {
	for _, g := range []meta.Grant{{Grantee: identity.Closed}, {Grantee: identity.Person("ann"), Rights: identity.Read}} {
		m := newMigration(t)
		m.request.CopyOnly = true
		_, _, err := m.run()
		require.NoError(t, err)
		require.NoError(t, m.to.meta.SetGrant(t.Context(), m.bucket.ID, g))
		before := m.to.text(m.bucket)
		m.request.Abandon = true
		_, _, err = m.run()
		require.True(t, errors.Is(err, errors.Conflict), "%v", err)
		require.Equal(t, before, m.to.text(m.bucket))
	}
}

func TestWhereverAnAbandonFailsTheSameCommandGoesOn(t *testing.T) {
	for n := int64(1); ; n++ {
		m := newMigration(t)
		m.request.CopyOnly = true
		_, _, err := m.run()
		require.NoError(t, err)
		m.request.CopyOnly, m.request.Abandon = false, true
		var writes atomic.Int64
		m.write = func(do func() error) error {
			at := writes.Add(1)
			if at < n {
				return do()
			}
			if at == n && n%2 == 0 {
				_ = do()
			}
			return errors.Newf(errors.Canceled, "the cluster is down")
		}
		_, _, err = m.run()
		m.write = func(do func() error) error { return do() }
		if err == nil {
			require.Greater(t, n, int64(5), "the writes are counted")
			break
		}
		if m.copies != nil { // it had begun to remove them
			require.ErrorContains(t, err, "run the same command again", "write %d", n)
		}
		_, result, err := m.run()
		require.NoError(t, err, "write %d", n)
		require.True(t, result.GetAbandoned())
		info, err := m.to.meta.Info(t.Context())
		require.NoError(t, err)
		require.Zero(t, info.Buckets, "write %d", n)
		m.request.Abandon = false
		_, result, err = m.run()
		require.NoError(t, err, "write %d", n)
		require.True(t, result.GetMoved())
		m.same("write %d", n)
	}
}
