package console

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

const token = "the operator's token of these tests"

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// api is an admin API that remembers what it was asked.
type api struct {
	adminv1.UnimplementedAdminServiceServer
	mu      sync.Mutex
	asked   int
	imports []*adminv1.ImportKeyRequest
	who     []string // which methods were called, and for whom
	status  *adminv1.GetStatusResponse
	traffic *adminv1.GetTrafficResponse // nil: there is none
	// revision is that of the partitions; 0 is 1.
	revision uint64
}

func (a *api) GetStatus(context.Context, *adminv1.GetStatusRequest) (*adminv1.GetStatusResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	return a.status, nil
}

func (a *api) GetTraffic(ctx context.Context, r *adminv1.GetTrafficRequest) (*adminv1.GetTrafficResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.traffic == nil {
		return a.UnimplementedAdminServiceServer.GetTraffic(ctx, r)
	}
	return a.traffic, nil
}

func (a *api) GetPartitions(context.Context, *adminv1.GetPartitionsRequest) (*adminv1.GetPartitionsResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return &adminv1.GetPartitionsResponse{Revision: max(a.revision, 1), Partitions: []*adminv1.Partition{{State: adminv1.PartitionState_PARTITION_STATE_COMPLETE}}}, nil
}

func (a *api) GetBucket(_ context.Context, r *adminv1.GetBucketRequest) (*adminv1.GetBucketResponse, error) {
	if r.GetName() == "elsewhere" {
		return nil, errors.Newf(errors.Unauthenticated, "the other rebalancer has another token")
	}
	return nil, errors.E(errors.NotFound, errors.Bucket, r.GetName(), "there is none")
}

func (a *api) ImportKey(_ context.Context, r *adminv1.ImportKeyRequest) (*adminv1.ImportKeyResponse, error) {
	a.imports = append(a.imports, r)
	return &adminv1.ImportKeyResponse{Key: &adminv1.Key{AccessKey: r.GetAccessKey()}}, nil
}

// credentials knows one key.
func credentials(_ context.Context, key string) (accessKey, secret string, err error) {
	if key != "GK1" {
		return "", "", errors.E(errors.NotFound, errors.AccessKey, key, "there is none")
	}
	return key, "top secret", nil
}

type admin struct{}

func (admin) Knows(t string) bool { return t == token }

// Invoke implements grpc.ClientConnInterface, as the rebalancer does for who is in its process.
func (a *api) Invoke(ctx context.Context, method string, request, answer any, _ ...grpc.CallOption) error {
	for _, m := range adminv1.AdminService_ServiceDesc.Methods {
		if !strings.HasSuffix(method, "/"+m.MethodName) {
			continue
		}
		got, err := m.Handler(a, ctx, func(into any) error { proto.Merge(into.(proto.Message), request.(proto.Message)); return nil }, nil)
		if err != nil {
			return err
		}
		proto.Merge(answer.(proto.Message), got.(proto.Message))
		a.mu.Lock()
		defer a.mu.Unlock()
		a.who = append(a.who, m.MethodName+" for "+fmt.Sprint(ctx.Value(asked{})))
		return nil
	}
	return errors.Newf(errors.NotImplemented, "%s", method)
}

func (*api) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errors.Newf(errors.NotImplemented, "there are no streams")
}

// asked is the key of who asks in a context.
type asked struct{}

func as(ctx context.Context, name, from string) context.Context {
	return context.WithValue(ctx, asked{}, strings.TrimSpace(name+" "+from))
}

// audit remembers what operators did.
type audit struct {
	mu  sync.Mutex
	all []Entry
}

func (a *audit) Record(_ context.Context, e Entry) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, e)
	return nil
}

func (a *audit) entries() []Entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.all)
}

func (a *audit) last(t *testing.T) Entry {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	require.NotEmpty(t, a.all)
	return a.all[len(a.all)-1]
}

// served is a console that browsers can reach.
type served struct {
	t       *testing.T
	console *Console
	server  *httptest.Server
	api     *api
	audit   *audit
	clock   *clock.Manual
	cookie  *http.Cookie
	token   string
}

func serve(t *testing.T, edit func(*Config, *Deps)) *served {
	t.Helper()
	s := &served{t: t, api: &api{status: &adminv1.GetStatusResponse{Layout: 1, OldestLayout: 1, Replication: 3}}, audit: &audit{}, clock: clock.NewManual(noon)}
	c, d := DefaultConfig(), Deps{API: s.api, As: as, Admin: admin{}, Credentials: credentials, Still: func(context.Context, Operator) error { return nil }, Audit: s.audit, Clock: s.clock, Random: clock.SystemRandom, Logger: slog.New(slog.DiscardHandler)}
	if edit != nil {
		edit(&c, &d)
	}
	var err error
	s.console, err = New(c, d)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.console.Run(ctx) }()
	s.server = httptest.NewServer(s.console)
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
		s.server.Close()
	})
	return s
}

// ask sends a request of a page of the console.
func (s *served) ask(method, path, body string, edit func(*http.Request)) (*http.Response, string) {
	s.t.Helper()
	resp := s.open(method, path, body, edit)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return resp, string(text)
}

func (s *served) open(method, path, body string, edit func(*http.Request)) *http.Response {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.server.URL+Path+path, strings.NewReader(body))
	require.NoError(s.t, err)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set(tokenHeader, s.token)
	if s.cookie != nil {
		r.AddCookie(s.cookie)
	}
	if edit != nil {
		edit(r)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(s.t, err)
	return resp
}

func (s *served) signIn() *served {
	s.t.Helper()
	resp, body := s.try("", token)
	require.Equal(s.t, 200, resp.StatusCode, body)
	var said struct{ Operator, Token string }
	require.NoError(s.t, json.Unmarshal([]byte(body), &said))
	require.Len(s.t, resp.Cookies(), 1)
	s.cookie, s.token = resp.Cookies()[0], said.Token
	return s
}

func (s *served) try(user, password string) (*http.Response, string) {
	s.t.Helper()
	return s.ask("POST", "sign-in", url.Values{"user": {user}, "password": {password}}.Encode(), func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	})
}

func (s *served) code(method, path, body string, edit func(*http.Request)) int {
	s.t.Helper()
	resp, _ := s.ask(method, path, body, edit)
	return resp.StatusCode
}

// guarded is all that needs a session.
var guarded = []string{"GET session", "POST sign-out", "POST api/GetStatus", "POST api/CreateBucket", "GET events", "GET objects", "GET object", "PUT object", "DELETE object", "POST link",
	"POST upload", "PUT upload", "DELETE upload", "POST upload/complete"}

func TestNothingButThePagesIsAnsweredWithoutASession(t *testing.T) {
	s := serve(t, nil)
	for _, path := range []string{"", "style.css", "js/app.js", "js/pages/overview.js"} {
		require.Equal(t, 200, s.code("GET", path, "", nil), path)
	}
	for _, what := range guarded {
		method, path, _ := strings.Cut(what, " ")
		require.Equal(t, 401, s.code(method, path, "{}", nil), what)
		require.Equal(t, 401, s.code(method, path, "{}", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: cookieName, Value: "guessed"}) }), what)
		require.Equal(t, 401, s.code(method, path, "{}", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }), what)
	}
	require.Zero(t, s.api.asked)
}

func TestEveryAnswerKeepsTheBrowserFromOtherOrigins(t *testing.T) {
	s := serve(t, nil).signIn()
	for _, path := range []string{"", "js/app.js", "nothing", "session", "objects"} {
		resp, _ := s.ask("GET", path, "", nil)
		policy := resp.Header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			require.Contains(t, policy, part, path)
		}
		require.NotContains(t, policy, "unsafe")
		require.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"), path)
		require.Equal(t, "no-referrer", resp.Header.Get("Referrer-Policy"), path)
	}
	resp, _ := s.ask("GET", "session", "", nil)
	require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
}

func TestTheSessionIsACookieThatNobodyElseSees(t *testing.T) {
	s := serve(t, nil).signIn()
	require.True(t, s.cookie.HttpOnly)
	require.Equal(t, http.SameSiteStrictMode, s.cookie.SameSite)
	require.Equal(t, Path, s.cookie.Path)
	require.False(t, s.cookie.Secure, "there is no TLS")
	require.GreaterOrEqual(t, len(s.cookie.Value), 43, "256 bits")
	for hash := range s.console.sessions.all {
		require.NotContains(t, s.cookie.Value, string(hash[:]))
	}
	resp, _ := s.ask("POST", "sign-in", "password="+url.QueryEscape(token), func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Forwarded-Proto", "https")
	})
	require.True(t, resp.Cookies()[0].Secure)
	require.NotEqual(t, s.cookie.Value, resp.Cookies()[0].Value)
	require.Equal(t, 401, s.code("GET", "session", "", nil), "signing in again ends the session before")
}

func TestSigningInIsRefusedAndBounded(t *testing.T) {
	s := serve(t, nil)
	for range maxAttempts {
		resp, body := s.try("", "wrong")
		require.Equal(t, 401, resp.StatusCode)
		require.Empty(t, resp.Cookies())
		require.NotContains(t, body, token)
	}
	resp, _ := s.try("", "wrong")
	require.Equal(t, 429, resp.StatusCode, "too many attempts")
	require.NotEmpty(t, s.audit.last(t).Problem)
	s.signIn() // the token is taken in any case
	require.Equal(t, Entry{At: noon, Operator: tokenUser, From: "127.0.0.1", Action: "SignIn"}, s.audit.last(t))
	resp, body := s.try("ann", token)
	require.Equal(t, 401, resp.StatusCode, "the token is nobody's password")
	require.Contains(t, body, "people cannot sign in here")
}

func TestWhatIsNoNameOfAPersonIsRefusedAndNotKept(t *testing.T) {
	s := serve(t, func(_ *Config, d *Deps) {
		d.SignIn = func(context.Context, string, string) (Operator, error) {
			return Operator{}, errors.Newf(errors.Unauthenticated, "no")
		}
	})
	for _, name := range []string{strings.Repeat("a", maxName+1), "an\x1b[2Jn", "ann\x00x", "a\tb", "a\u202eb", "a\xff"} {
		resp, body := s.try(name, "x")
		require.Equal(t, 400, resp.StatusCode, "%q", name)
		require.Contains(t, body, "this is no name of a person")
	}
	require.Empty(t, s.audit.entries())
	resp, _ := s.try("Zoë "+strings.Repeat("a", maxName-5), "x")
	require.Equal(t, 401, resp.StatusCode)
	require.Len(t, s.audit.entries(), 1)
}

func TestOfManyRefusedSignInsFewAreNotedAndTheOthersCounted(t *testing.T) {
	s := serve(t, nil)
	const windows = 3
	for range windows * maxAttempts {
		resp, _ := s.try("", "wrong")
		require.Equal(t, 401, resp.StatusCode)
		s.console.attempts.forget("127.0.0.1") // as if from another address
	}
	require.Len(t, s.audit.entries(), maxRefused)
	s.advanceUntil(refusedWindow, func() bool { return len(s.audit.entries()) > maxRefused })
	last := s.audit.last(t)
	require.Equal(t, "SignIn", last.Action)
	require.Equal(t, fmt.Sprintf("%d more were refused", windows*maxAttempts-maxRefused), last.Problem)
	s.try("", "wrong")
	require.Len(t, s.audit.entries(), maxRefused+2, "the next minute has its own")
}

func TestAPersonSignsInWhereTheProgramKnowsPeople(t *testing.T) {
	s := serve(t, func(_ *Config, d *Deps) {
		d.SignIn = func(_ context.Context, user, password string) (Operator, error) {
			if user != "ann" || password != "hers" {
				return Operator{}, errors.Newf(errors.Unauthenticated, "no")
			}
			return Operator{Name: user}, nil
		}
	})
	resp, _ := s.try("ann", "his")
	require.Equal(t, 401, resp.StatusCode)
	resp, body := s.try("ann", "hers")
	require.Equal(t, 200, resp.StatusCode)
	require.Contains(t, body, `"operator":"ann"`)
	require.Equal(t, "ann", s.audit.last(t).Operator)
}

func TestASessionEndsByItself(t *testing.T) {
	s := serve(t, nil).signIn()
	for range 3 {
		s.clock.Advance(sessionIdle - time.Second)
		require.Equal(t, 200, s.code("GET", "session", "", nil), "it is in use")
	}
	s.clock.Advance(sessionIdle - time.Second)
	require.Equal(t, 200, s.code("GET", "session", "", func(r *http.Request) { r.Header.Set(unaskedHeader, "1") }), "it is there")
	s.clock.Advance(time.Second)
	require.Equal(t, 401, s.code("GET", "session", "", nil), "what a page asks by itself is no use")
	s.signIn()
	for range int(sessionLife / sessionIdle * 2) {
		s.clock.Advance(sessionIdle / 2)
		s.code("GET", "session", "", nil)
	}
	require.Equal(t, 401, s.code("GET", "session", "", nil), "also one in use has an end")
	s.signIn()
	require.Equal(t, 204, s.code("POST", "sign-out", "", nil))
	require.Equal(t, 401, s.code("GET", "session", "", nil))
}

func TestSessionsAreBounded(t *testing.T) {
	c := clock.NewManual(noon)
	s := newSessions(c, clock.SystemRandom)
	first, made, err := s.begin(Operator{})
	require.NoError(t, err)
	second, _, err := s.begin(Operator{})
	require.NoError(t, err)
	c.Advance(time.Second)
	require.NotNil(t, s.find(second, true))
	for range maxSessions - 1 {
		_, _, err := s.begin(Operator{})
		require.NoError(t, err)
	}
	require.Len(t, s.all, maxSessions)
	require.Nil(t, s.find(first, false), "the one that was idle longest made room")
	<-made.ended
	require.NotNil(t, s.find(second, false))
}

func TestAChangeNeedsTheTokenOfTheSessionAndTheSameOrigin(t *testing.T) {
	s := serve(t, nil).signIn()
	call := func(edit func(*http.Request)) int { return s.code("POST", "api/GetStatus", "{}", edit) }
	require.Equal(t, 200, call(nil))
	require.Equal(t, 403, call(func(r *http.Request) { r.Header.Del(tokenHeader) }))
	require.Equal(t, 403, call(func(r *http.Request) { r.Header.Set(tokenHeader, s.token+"x") }))
	require.Equal(t, 403, call(func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }))
	require.Equal(t, 403, call(func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }))
	require.Equal(t, 403, call(func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "https://evil.example") }))
	require.Equal(t, 403, s.code("POST", "sign-in", "password="+url.QueryEscape(token), func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
	}), "nobody is signed in by another page")
	require.Equal(t, 404, s.code("GET", "api/GetStatus", "", nil), "no call by a link")
}

func TestEventsTellWhenTheStatusChangesAndEndWithTheSession(t *testing.T) {
	s := serve(t, nil).signIn()
	resp := s.open("GET", "events", "", nil)
	defer resp.Body.Close()
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	next := func() (event, data string) {
		for lines.Scan() {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				event = name
			} else if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				return event, text
			}
		}
		return "", ""
	}
	event, _ := next()
	require.Equal(t, "hello", event)
	event, data := next()
	require.Equal(t, "status", event)
	require.Contains(t, data, "all of it has 3 good copies")
	s.api.mu.Lock()
	s.api.status = &adminv1.GetStatusResponse{Layout: 1, OldestLayout: 1, Replication: 3, Nodes: []*adminv1.Node{{Id: "a", Partitions: 4096}}}
	s.api.mu.Unlock()
	s.advanceUntil(lookEvery, func() bool {
		s.api.mu.Lock()
		defer s.api.mu.Unlock()
		return s.api.asked > 1
	})
	event, data = next()
	require.Equal(t, "status", event)
	require.Contains(t, data, "Node a is missing")
	require.Equal(t, 204, s.code("POST", "sign-out", "", nil))
	event, _ = next()
	require.Equal(t, "ended", event)
	event, _ = next()
	require.Empty(t, event, "nothing follows")
}

// withAnn is a console where ann is signed in, and an operator as long as membership says so.
func withAnn(t *testing.T) (s *served, membership *atomic.Pointer[error]) {
	t.Helper()
	membership = &atomic.Pointer[error]{}
	s = serve(t, func(_ *Config, d *Deps) {
		d.SignIn = func(context.Context, string, string) (Operator, error) {
			return Operator{Name: "person:ann", Person: "ann"}, nil
		}
		d.Still = func(_ context.Context, o Operator) error {
			require.Equal(t, "ann", o.Person)
			if why := membership.Load(); why != nil {
				return *why
			}
			return nil
		}
	})
	resp, body := s.try("ann", "hers")
	require.Equal(t, 200, resp.StatusCode, body)
	var said struct{ Token string }
	require.NoError(t, json.Unmarshal([]byte(body), &said))
	s.cookie, s.token = resp.Cookies()[0], said.Token
	return s, membership
}

func TestWhoIsNoOperatorAnyMoreIsSignedOutByWhatTheyDoNext(t *testing.T) {
	s, membership := withAnn(t)
	require.Equal(t, 200, s.code("POST", "api/GetStatus", "{}", nil))
	away := errors.Newf(errors.Unavailable, "LDAP cannot be asked")
	membership.Store(&away)
	require.Equal(t, 503, s.code("POST", "api/GetStatus", "{}", nil), "nobody knows")
	membership.Store(nil)
	require.Equal(t, 200, s.code("POST", "api/GetStatus", "{}", nil), "the session is as before")
	asked, left := s.api.asked, errors.Newf(errors.PermissionDenied, "only members of the LDAP group operators may sign in")
	membership.Store(&left)
	resp, body := s.ask("POST", "api/GetStatus", "{}", nil)
	require.Equal(t, 401, resp.StatusCode)
	require.Contains(t, body, "only members of the LDAP group")
	require.Equal(t, asked, s.api.asked)
	require.Equal(t, Entry{At: noon, Operator: "person:ann", From: "127.0.0.1", Action: "SignOut", Problem: left.Error()}, s.audit.last(t))
	noted := len(s.audit.entries())
	membership.Store(nil)
	require.Equal(t, 401, s.code("POST", "api/GetStatus", "{}", nil), "there is no session")
	require.Len(t, s.audit.entries(), noted)
}

func TestWhoIsNoOperatorAnyMoreMaySignOut(t *testing.T) {
	s, membership := withAnn(t)
	away := errors.Newf(errors.Unavailable, "LDAP cannot be asked")
	membership.Store(&away)
	require.Equal(t, 204, s.code("POST", "sign-out", "", nil))
}

func TestWhoIsNoOperatorAnyMoreFollowsNothing(t *testing.T) {
	s, membership := withAnn(t)
	resp := s.open("GET", "events", "", nil)
	defer resp.Body.Close()
	text, heard := bufio.NewReader(resp.Body), ""
	for !strings.Contains(heard, "event: status") {
		line, err := text.ReadString('\n')
		require.NoError(t, err)
		heard += line
	}
	left := errors.Newf(errors.PermissionDenied, "no member")
	membership.Store(&left)
	ended := make(chan string)
	go func() {
		rest, _ := io.ReadAll(text) // it ends when the connection does
		ended <- string(rest)
	}()
	var rest string
	s.advanceUntil(lookEvery, func() bool {
		select {
		case rest = <-ended:
			return true
		default:
			return false
		}
	})
	require.Contains(t, rest, "event: ended")
	require.NotContains(t, rest, "event: alive")
	require.Nil(t, s.console.sessions.find(s.cookie.Value, false))
}

// advanceUntil lets time go on in steps until something has happened.
func (s *served) advanceUntil(step time.Duration, happened func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !happened(); time.Sleep(time.Millisecond) {
		require.True(s.t, time.Now().Before(deadline), "it does not happen")
		s.clock.Advance(step)
	}
}

func TestWhoHasNoSessionDoesNotKeepAConnectionWithABodyThatNeverComes(t *testing.T) {
	s := serve(t, nil).signIn()
	s.console.patience = 50 * time.Millisecond
	server := httptest.NewServer(s.console)
	t.Cleanup(server.Close)
	begin := func(what, header string) net.Conn {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Second)))
		_, err = io.WriteString(c, what+" HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 2\r\n"+header+"\r\n")
		require.NoError(t, err)
		return c
	}
	for _, what := range []string{"POST /console/sign-in", "POST /console/api/GetStatus", "PUT /console/object", "GET /console/", "GET /", "POST /nothing"} {
		_, err := io.ReadAll(begin(what, ""))
		require.NoError(t, err, "%s: the server closes the connection", what)
	}
	signed := begin("POST /console/api/GetStatus", "Cookie: "+s.cookie.Name+"="+s.cookie.Value+"\r\n"+tokenHeader+": "+s.token+"\r\n")
	time.Sleep(2 * s.console.patience) // the time in which it would be closed
	_, err := io.WriteString(signed, "{}")
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(signed), nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 200, resp.StatusCode, "who has one may be slow")
}

func TestWhatSaysNothingNewIsNotSent(t *testing.T) {
	s := serve(t, nil)
	const revision = 1<<63 | 1 // more than numbers of scripts can have
	seen := func(free int64, at time.Time, requests int64) string {
		s.api.mu.Lock()
		s.api.revision = revision
		s.api.status.Nodes = []*adminv1.Node{{Id: "a", Capacity: 100 << 30, Free: free, Disks: []*adminv1.Disk{{Capacity: 100 << 30, Free: free}}}}
		s.api.traffic = &adminv1.GetTrafficResponse{Services: []*adminv1.ServiceTraffic{{Name: "s3-gateway", At: timestamppb.New(at), Counters: &adminv1.Counters{Requests: requests}}}}
		s.api.mu.Unlock()
		return string(s.console.look(t.Context()))
	}
	first := seen(70<<30, noon, 5)
	require.Contains(t, first, `"partitions":"9223372036854775809"`, "as GetPartitions says it")
	require.Equal(t, first, seen(70<<30+1<<20, noon.Add(time.Second), 5))
	require.NotEqual(t, first, seen(71<<30, noon, 5))
	require.NotEqual(t, first, seen(70<<30, noon, 6))
	for n, want := range map[int64]int64{-1: -1, 0: 0, 1023: 1023, 1025: 1024, 1 << 62: 1 << 62, 1<<62 + 1: 1 << 62} {
		require.Equal(t, want, rounded(n))
	}
}
