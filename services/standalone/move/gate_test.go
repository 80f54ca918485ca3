package move

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/datafolder"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/memory"
)

type gateTest struct {
	*testing.T
	folder *datafolder.Folder
	clock  *clock.Manual
	gate   *Gate
	store  meta.Store
}

func newGateTest(t *testing.T) *gateTest {
	folder, err := datafolder.Open(t.TempDir(), datafolder.Options{Service: "standalone"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, folder.Close()) })
	g := &gateTest{T: t, folder: folder, clock: clock.NewManual(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))}
	g.restart()
	return g
}

func (g *gateTest) restart() {
	var err error
	g.gate, err = NewGate(g.folder, g.clock)
	require.NoError(g, err)
	store, err := memory.New(g.clock, clock.SystemRandom)
	require.NoError(g, err)
	g.store = g.gate.Store(store)
}

// writes tells whether something can be written.
func (g *gateTest) writes() bool {
	err := g.store.CreateKey(context.Background(), meta.Key{AccessKey: uuid.NewString(), Secret: "s"})
	if err != nil {
		require.Equal(g, errors.Overloaded, errors.KindOf(err), "%v", err)
	}
	return err == nil
}

func (g *gateTest) conflict(err error) {
	g.Helper()
	require.True(g, errors.Is(err, errors.Conflict), "%v", err)
}

const testLease = 30 * time.Second

func TestWritesAreHeldBackForALeaseAndNoLonger(t *testing.T) {
	g := newGateTest(t)
	one, other := uuid.New(), uuid.New()
	require.NoError(t, g.gate.Hold(one, testLease, false, false))
	require.True(t, g.writes(), "copying holds nothing back")
	g.conflict(g.gate.Hold(other, testLease, true, false))
	require.NoError(t, g.gate.Hold(one, testLease, true, true))
	require.False(t, g.writes())
	g.clock.Advance(testLease - 1)
	require.False(t, g.writes())
	require.NoError(t, g.gate.Hold(one, testLease, true, true))
	require.NoError(t, g.gate.Hold(one, testLease, false, true))
	g.clock.Advance(testLease - 1)
	require.False(t, g.writes(), "it was renewed, the last time by a call that came late")
	g.clock.Advance(1)
	require.True(t, g.writes())
	g.conflict(g.gate.Hold(one, testLease, true, true))
	g.conflict(g.gate.Leave(one, "http://new"))
	require.NoError(t, g.gate.Hold(other, testLease, true, false))
	g.gate.Release(one)
	require.False(t, g.writes(), "another's hold stays")
	g.gate.Release(other)
	require.True(t, g.writes())
}

func TestAHoldDoesNotOutliveTheProcess(t *testing.T) {
	g := newGateTest(t)
	one := uuid.New()
	require.NoError(t, g.gate.Hold(one, testLease, true, false))
	g.restart()
	require.True(t, g.writes())
	g.conflict(g.gate.Hold(one, testLease, true, true))
	g.conflict(g.gate.Leave(one, "http://new"))
}

func TestWhoHasLeftNeverWritesAgain(t *testing.T) {
	g := newGateTest(t)
	one := uuid.New()
	g.conflict(g.gate.Forward())
	require.NoError(t, g.gate.Hold(one, testLease, false, false))
	g.conflict(g.gate.Leave(one, "http://new"))
	require.NoError(t, g.gate.Hold(one, testLease, true, true))
	require.NoError(t, g.gate.Leave(one, "http://new"))
	for range 2 {
		require.False(t, g.writes())
		g.clock.Advance(time.Hour)
		require.False(t, g.writes())
		g.conflict(g.gate.Hold(uuid.New(), testLease, true, false))
		require.Equal(t, "http://new", g.gate.Moved().Endpoint)
		require.False(t, g.gate.Moved().Forwards)
		g.restart()
	}
	require.NoError(t, g.gate.Leave(uuid.New(), "http://newer"), "it may be repeated")
	require.NoError(t, g.gate.Forward())
	g.restart()
	require.True(t, g.gate.Moved().Forwards)
	require.Equal(t, "http://newer", g.gate.Moved().Endpoint)
	g.conflict(g.gate.Leave(one, "http://third"))
}

func TestAReaderOnlyReads(t *testing.T) {
	g := newGateTest(t)
	require.True(t, errors.Is(ReadOnly(g.store).CreateKey(t.Context(), meta.Key{AccessKey: "k"}), errors.PermissionDenied))
	_, err := ReadOnly(g.store).ListKeys(t.Context(), "", 1)
	require.NoError(t, err)
}

func TestARequestIsForwardedAsItWasSigned(t *testing.T) {
	g := newGateTest(t)
	var uri, host string
	cluster := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { uri, host = r.RequestURI, r.Host }))
	defer cluster.Close()
	here := 0
	old := httptest.NewServer(g.gate.Handler(slog.New(slog.DiscardHandler))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { here++ })))
	defer old.Close()
	const odd = "/b/a//c/../%2F%20%C3%BC+?x=%2f&uploads&y=a;b"
	get := func() int {
		request, err := http.NewRequest(http.MethodGet, old.URL, nil)
		require.NoError(t, err)
		request.URL.Opaque, request.Host = odd, "s3.example.org"
		answer, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		return answer.StatusCode
	}
	require.Equal(t, 200, get())
	require.ErrorContains(t, g.gate.lookAt(t.Context(), old.URL), "itself")
	require.ErrorContains(t, g.gate.lookAt(t.Context(), cluster.URL), "200 OK")
	require.NoError(t, g.gate.lookAt(t.Context(), serveS3(t)))
	one := uuid.New()
	require.NoError(t, g.gate.Hold(one, testLease, true, false))
	require.Equal(t, 200, get())
	require.Equal(t, 2, here)
	require.NoError(t, g.gate.Leave(one, cluster.URL))
	require.Equal(t, 503, get(), "the cluster has no rights yet")
	require.NoError(t, g.gate.Forward())
	require.Equal(t, 200, get())
	require.Equal(t, 2, here)
	require.Equal(t, odd, uri)
	require.Equal(t, "s3.example.org", host)
	cluster.Close()
	require.Equal(t, 503, get())
}

// serveS3 answers as an S3 service does to who does not sign.
func serveS3(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amz-Request-Id", "1")
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(s.Close)
	return s.URL
}
