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

// home is the cluster that tests leave to.
var home = uuid.New()

func TestWritesAreHeldBackForALeaseAndNoLonger(t *testing.T) {
	g := newGateTest(t)
	one, other := uuid.New(), uuid.New()
	require.NoError(t, g.gate.Hold(t.Context(), one, testLease, false, false))
	require.True(t, g.writes(), "copying holds nothing back")
	g.conflict(g.gate.Hold(t.Context(), other, testLease, true, false))
	require.NoError(t, g.gate.Hold(t.Context(), one, testLease, true, true))
	require.False(t, g.writes())
	g.clock.Advance(testLease - 1)
	require.False(t, g.writes())
	require.NoError(t, g.gate.Hold(t.Context(), one, testLease, true, true))
	require.NoError(t, g.gate.Hold(t.Context(), one, testLease, false, true))
	g.clock.Advance(testLease - 1)
	require.False(t, g.writes(), "it was renewed, the last time by a call that came late")
	g.clock.Advance(1)
	require.True(t, g.writes())
	g.conflict(g.gate.Hold(t.Context(), one, testLease, true, true))
	g.conflict(g.gate.Leave(one, home, "http://new"))
	require.NoError(t, g.gate.Hold(t.Context(), other, testLease, true, false))
	g.gate.Release(one)
	require.False(t, g.writes(), "another's hold stays")
	g.gate.Release(other)
	require.True(t, g.writes())
}

func TestAHoldDoesNotOutliveTheProcess(t *testing.T) {
	g := newGateTest(t)
	one := uuid.New()
	require.NoError(t, g.gate.Hold(t.Context(), one, testLease, true, false))
	g.restart()
	require.True(t, g.writes())
	g.conflict(g.gate.Hold(t.Context(), one, testLease, true, true))
	g.conflict(g.gate.Leave(one, home, "http://new"))
}

func TestWhoHasLeftNeverWritesAgain(t *testing.T) {
	g := newGateTest(t)
	one := uuid.New()
	g.conflict(g.gate.Forward(home))
	require.NoError(t, g.gate.Hold(t.Context(), one, testLease, false, false))
	g.conflict(g.gate.Leave(one, home, "http://new"))
	require.NoError(t, g.gate.Hold(t.Context(), one, testLease, true, true))
	require.NoError(t, g.gate.Leave(one, home, "http://new"))
	for range 2 {
		require.False(t, g.writes())
		g.clock.Advance(time.Hour)
		require.False(t, g.writes())
		g.conflict(g.gate.Hold(t.Context(), uuid.New(), testLease, true, false))
		require.Equal(t, "http://new", g.gate.Moved().Endpoint)
		require.False(t, g.gate.Moved().Forwards)
		g.restart()
	}
	require.NoError(t, g.gate.Leave(uuid.New(), home, "http://newer"), "it may be repeated")
	other := uuid.New()
	g.conflict(g.gate.Leave(one, other, "http://other"))
	g.conflict(g.gate.Forward(other))
	require.False(t, g.gate.Moved().Forwards)
	require.NoError(t, g.gate.Forward(home))
	g.restart()
	require.True(t, g.gate.Moved().Forwards)
	require.Equal(t, "http://newer", g.gate.Moved().Endpoint)
	require.Equal(t, home, g.gate.Moved().Cluster)
	g.conflict(g.gate.Leave(one, home, "http://third"))
	g.conflict(g.gate.Leave(one, other, "http://other"))
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
	require.NoError(t, g.gate.Hold(t.Context(), one, testLease, true, false))
	require.Equal(t, 200, get())
	require.Equal(t, 2, here)
	require.NoError(t, g.gate.Leave(one, home, cluster.URL))
	require.Equal(t, 503, get(), "the cluster has no rights yet")
	require.NoError(t, g.gate.Forward(home))
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

// writing has a write under way until end is called.
func (g *gateTest) writing() (end func()) {
	began, ending, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		ended <- g.gate.write(func() error {
			close(began)
			<-ending
			return nil
		})
	}()
	<-began
	return func() {
		close(ending)
		require.NoError(g, <-ended)
	}
}

func TestARenewalNeitherWaitsForWritesNorHoldsThemUp(t *testing.T) {
	g := newGateTest(t)
	one := uuid.New()
	require.NoError(t, g.gate.Hold(t.Context(), one, testLease, false, false))
	end := g.writing()
	renewed := make(chan error)
	go func() { renewed <- g.gate.Hold(t.Context(), one, testLease, false, true) }()
	select {
	case err := <-renewed:
		require.NoError(t, err)
	case <-time.After(5 * time.Second):
		t.Error("the renewal waits for a write")
		end()
		require.NoError(t, <-renewed)
		return
	}
	require.True(t, g.writes())
	end()
}

func TestFreezingWaitsForTheWritesUnderWayAndNobodyLeavesBefore(t *testing.T) {
	g := newGateTest(t)
	one := uuid.New()
	require.NoError(t, g.gate.Hold(t.Context(), one, testLease, false, false))
	first, second := g.writing(), g.writing()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	require.True(t, errors.Is(g.gate.Hold(gone, one, testLease, true, true), errors.Canceled))
	frozen := make(chan error)
	go func() { frozen <- g.gate.Hold(t.Context(), one, testLease, true, true) }()
	require.False(t, g.writes(), "it is refused at once")
	require.NoError(t, g.gate.Hold(t.Context(), one, testLease, false, true))
	first()
	g.conflict(g.gate.Leave(one, home, "http://new"))
	select {
	case err := <-frozen:
		t.Error("a write is under way", err)
	default:
	}
	second()
	require.NoError(t, <-frozen)
	require.NoError(t, g.gate.Leave(one, home, "http://new"))
}

func TestWritesThatOutliveTheHoldAreNotFrozen(t *testing.T) {
	g := newGateTest(t)
	one := uuid.New()
	end := g.writing()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	require.True(t, errors.Is(g.gate.Hold(gone, one, testLease, true, false), errors.Canceled))
	g.clock.Advance(testLease)
	require.True(t, g.writes())
	end()
	g.conflict(g.gate.Hold(t.Context(), one, testLease, true, true))
	g.conflict(g.gate.Leave(one, home, "http://new"))
}
