package api_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/s3-gateway/api"
	"deuxfleurs.fr/garage/services/s3-gateway/api/apitest"
	"deuxfleurs.fr/garage/services/s3-gateway/body"
	"deuxfleurs.fr/garage/services/s3-gateway/sigv4/sigtest"
)

// requireNothingLeft checks that no memory is held and no upload is open.
func requireNothingLeft(t *testing.T, g *apitest.Gateway) {
	t.Helper()
	require.Eventually(t, func() bool { return g.Pool.Used() == 0 }, 10*time.Second, time.Millisecond)
	// An upload that nobody ended would be listed only by an idle time in the future.
	require.Len(t, garbage(t, g, time.Now().Add(time.Hour)), len(garbage(t, g, time.Unix(0, 0))), "an upload was left open")
}

func garbage(t *testing.T, g *apitest.Gateway, idle time.Time) []meta.Garbage {
	t.Helper()
	all, _, err := g.Meta.ListGarbage(t.Context(), meta.ListGarbage{Limit: 1000, IdleBefore: idle})
	require.NoError(t, err)
	return all
}

// failing is a chunk store whose calls fail from a given one on.
type failing struct {
	chunk.Store
	puts, gets atomic.Int64 // calls that still succeed
	kind       errors.Kind
}

func (f *failing) Put(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref) (chunk.Outcome, error) {
	if f.puts.Add(-1) < 0 {
		return 0, errors.Newf(f.kind, "the test wants it")
	}
	return f.Store.Put(ctx, h, data, ref)
}

func (f *failing) Get(ctx context.Context, h chunk.Hash) (*buffer.Buffer, error) {
	if f.gets.Add(-1) < 0 {
		return nil, errors.Newf(f.kind, "the test wants it")
	}
	return f.Store.Get(ctx, h)
}

func startFailing(t *testing.T) (*apitest.Gateway, *apitest.Client, *failing) {
	f := &failing{}
	f.puts.Store(1 << 30)
	f.gets.Store(1 << 30)
	g, c := start(t, apitest.Options{Chunks: func(s chunk.Store) chunk.Store { f.Store = s; return f }})
	return g, c, f
}

func TestAPutThatFailsLeavesNothingVisible(t *testing.T) {
	g, c, f := startFailing(t)
	old := random(3 * apitest.ChunkSize)
	put(t, c, "a", old)
	for kind, code := range map[errors.Kind]string{errors.Unavailable: "ServiceUnavailable", errors.Overloaded: "SlowDown", errors.Internal: "InternalError", errors.Full: "ServiceUnavailable"} {
		for after := range int64(4) {
			f.kind = kind
			f.puts.Store(after)
			r, err := c.Try(apitest.Request{Method: "PUT", Bucket: bucketName, Key: "a", Body: random(5 * apitest.ChunkSize)})
			require.NoError(t, err)
			require.Equal(t, code, r.Code)
			require.Equal(t, old, get(c, "a").Body)
			requireNothingLeft(t, g)
		}
	}
	require.Len(t, garbage(t, g, time.Unix(0, 0)), 16, "each failed upload waits for the sweeper")
}

func TestAGetThatFailsIsNeverShortAndWhole(t *testing.T) {
	g, c, f := startFailing(t)
	p := random(8 * apitest.ChunkSize)
	put(t, c, "a", p)
	for _, kind := range []errors.Kind{errors.Unavailable, errors.Corrupted, errors.NotFound} {
		f.kind = kind
		f.gets.Store(0)
		r := get(c, "a")
		require.GreaterOrEqual(t, r.Status, 500, "before the first byte it is an error")
		require.NotEmpty(t, r.Code)
		for after := int64(1); after < 8; after++ {
			f.gets.Store(after)
			r := get(c, "a")
			require.Equal(t, 200, r.Status)
			require.Error(t, r.Err, "past the first byte the connection is cut")
			require.Less(t, len(r.Body), len(p))
			require.True(t, bytes.HasPrefix(p, r.Body))
		}
	}
	f.gets.Store(1 << 30)
	require.Equal(t, p, get(c, "a").Body)
	requireNothingLeft(t, g)
}

func TestAClientThatGoesAwayLeavesNothing(t *testing.T) {
	g, c := start(t, apitest.Options{})
	p := random(30 * apitest.ChunkSize)
	put(t, c, "a", p)
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		resp, err := c.HTTP.Do(c.Build(apitest.Request{Method: "GET", Bucket: bucketName, Key: "a"}).WithContext(ctx))
		require.NoError(t, err)
		_, err = io.ReadFull(resp.Body, make([]byte, 10))
		require.NoError(t, err)
		cancel()
		resp.Body.Close()
	}
	requireNothingLeft(t, g)
}

// dial opens a connection and sends the beginning of a PUT: its head and some of its body.
func dial(t *testing.T, g *apitest.Gateway, c *apitest.Client, key string, size, sent int) (net.Conn, *http.Request) {
	t.Helper()
	conn, err := net.Dial("tcp", g.Server.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	req := c.Build(apitest.Request{Method: "PUT", Bucket: bucketName, Key: key, Body: make([]byte, size), Payload: sigtest.Unsigned})
	var wire bytes.Buffer
	require.NoError(t, req.Write(&wire))
	_, err = conn.Write(wire.Bytes()[:wire.Len()-size+sent])
	require.NoError(t, err)
	return conn, req
}

func answerCode(t *testing.T, conn net.Conn, req *http.Request) string {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(30*time.Second)))
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	require.NoError(t, err)
	p, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	_, code, _ := bytes.Cut(p, []byte("<Code>"))
	code, _, _ = bytes.Cut(code, []byte("</Code>"))
	return string(code)
}

func TestAClientThatStopsSendingIsCut(t *testing.T) {
	g, c := start(t, apitest.Options{API: func(c *api.Config) { c.IdleTimeout = 200 * time.Millisecond }})
	for _, sent := range []int{0, 1000, 2 * apitest.ChunkSize} {
		conn, req := dial(t, g, c, "slow", 10*apitest.ChunkSize, sent)
		require.Equal(t, "RequestTimeout", answerCode(t, conn, req))
	}
	require.Equal(t, 404, get(c, "slow").Status)
	requireNothingLeft(t, g)
}

func TestSlowClientsCostOnlyThemselves(t *testing.T) {
	const pool = 8 << 20 // smaller than what the slow ones would take
	g, c := start(t, apitest.Options{Pool: pool})
	var conns []net.Conn
	var reqs []*http.Request
	for range 40 {
		conn, req := dial(t, g, c, "slow", 10*apitest.ChunkSize, apitest.ChunkSize-1)
		conns, reqs = append(conns, conn), append(reqs, req)
	}
	p := random(4 * apitest.ChunkSize)
	for range 3 {
		put(t, c, "fast", p)
		require.Equal(t, p, get(c, "fast").Body)
	}
	require.LessOrEqual(t, g.Pool.Used(), pool)
	require.Equal(t, "SlowDown", answerCode(t, conns[0], reqs[0]), "the slowest was told to go")
	for _, conn := range conns {
		conn.Close()
	}
	requireNothingLeft(t, g)
}

func TestTooManyRequestsAreToldToSlowDown(t *testing.T) {
	g, c := start(t, apitest.Options{API: func(c *api.Config) { c.MaxRequests, c.IdleTimeout = 2, time.Hour }})
	answers := make(chan *http.Response, 3)
	for _, key := range []string{"a", "b", "c"} { // two of them go on
		conn, req := dial(t, g, c, key, 10*apitest.ChunkSize, 10)
		go func() {
			resp, err := http.ReadResponse(bufio.NewReader(conn), req)
			if err == nil {
				resp.Body.Close()
				answers <- resp
			}
		}()
	}
	select {
	case resp := <-answers:
		require.Equal(t, 503, resp.StatusCode)
		require.NotEmpty(t, resp.Header.Get("Retry-After"))
	case <-time.After(30 * time.Second):
		require.Fail(t, "all three go on")
	}
	require.Equal(t, 503, c.Do(apitest.Request{Method: "HEAD", Bucket: bucketName}).Status)
}

func TestAReaderThatStopsHoldsAWindowOfOne(t *testing.T) {
	const ahead = 4 // chunks
	f := &counting{}
	g, c := start(t, apitest.Options{
		Chunks: func(s chunk.Store) chunk.Store { f.Store = s; return f },
		Bodies: func(c *body.Config) { c.ReadAhead = ahead * apitest.ChunkSize },
	})
	put(t, c, "a", random(64*apitest.ChunkSize))
	conn, err := net.Dial("tcp", g.Server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(4<<10))
	req := c.Build(apitest.Request{Method: "GET", Bucket: bucketName, Key: "a"})
	require.NoError(t, req.Write(conn))
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	// The sockets swallow some; after that nothing more is asked for.
	var last int64
	require.Eventually(t, func() bool {
		same := f.gets.Load() == last
		last = f.gets.Load()
		return same
	}, 30*time.Second, 300*time.Millisecond)
	require.Less(t, last, int64(60))
	require.LessOrEqual(t, f.gets.Load()-f.released.Load(), int64(1+ahead), "chunks held for one reader: what is sent and what is read ahead")
}

// counting counts chunks that were read and not released.
type counting struct {
	chunk.Store
	gets, released atomic.Int64
}

func (c *counting) Get(ctx context.Context, h chunk.Hash) (*buffer.Buffer, error) {
	b, err := c.Store.Get(ctx, h)
	if err != nil {
		return nil, err
	}
	c.gets.Add(1)
	return buffer.FromSegments([][]byte{b.Bytes()}, func() { c.released.Add(1) }), nil
}

// pooled gives chunks in memory of the gateway's pool, as a chunk-node in the same process does.
type pooled struct {
	chunk.Store
	pool *buffer.Pool
}

func (p *pooled) Get(ctx context.Context, h chunk.Hash) (*buffer.Buffer, error) {
	b, err := p.Store.Get(ctx, h)
	if err != nil {
		return nil, err
	}
	account := p.pool.Open(nil)
	defer account.Close()
	out := account.New()
	if err := out.Append(ctx, b.Bytes()); err != nil {
		out.Release()
		return nil, err
	}
	return out, nil
}

func TestSlowReadersCostOnlyThemselves(t *testing.T) {
	p := &pooled{}
	g, c := start(t, apitest.Options{
		Pool: 8 << 20, Chunks: func(s chunk.Store) chunk.Store { p.Store = s; return p },
		API: func(c *api.Config) { c.IdleTimeout = time.Hour }, // it is not what helps here
	})
	p.pool = g.Pool
	want := random(4 * apitest.ChunkSize)
	put(t, c, "fast", want)
	for i := range 3 { // in pieces that the small pool can take
		put(t, c, "slow"+string(rune('0'+i)), random(40*apitest.ChunkSize))
	}
	for i := range 24 {
		conn, err := net.Dial("tcp", g.Server.Listener.Addr().String())
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(4<<10))
		req := c.Build(apitest.Request{Method: "GET", Bucket: bucketName, Key: "slow" + string(rune('0'+i%3))})
		require.NoError(t, req.Write(conn))
	}
	require.Eventually(t, func() bool { return g.Pool.Used() > g.Pool.Limit()*9/10 }, 30*time.Second, time.Millisecond)
	for range 3 {
		require.Equal(t, want, get(c, "fast").Body)
		put(t, c, "new", want)
	}
	require.LessOrEqual(t, g.Pool.Used(), g.Pool.Limit())
}

// overtaken is a chunk store where the next read finds that its object has just been replaced and collected.
type overtaken struct {
	chunk.Store
	replace func()
}

func (o *overtaken) Get(ctx context.Context, h chunk.Hash) (*buffer.Buffer, error) {
	if replace := o.replace; replace != nil {
		o.replace = nil
		replace()
		return nil, errors.E(errors.NotFound, errors.Chunk, h.String(), "collected")
	}
	return o.Store.Get(ctx, h)
}

func TestAGetOvertakenByAPutGivesTheNewObject(t *testing.T) {
	o := &overtaken{}
	_, c := start(t, apitest.Options{Chunks: func(s chunk.Store) chunk.Store { o.Store = s; return o }})
	putWith(c, "a", random(apitest.ChunkSize), map[string]string{"x-amz-meta-old": "1"})
	want := random(apitest.ChunkSize - 7)
	o.replace = func() { put(t, c, "a", want) }
	r := get(c, "a")
	require.Equal(t, http.StatusOK, r.Status)
	require.Equal(t, want, r.Body)
	require.Empty(t, r.Header.Get("x-amz-meta-old"))
	require.Len(t, r.Header.Get("x-amz-request-id"), 16)
	o.replace = func() { c.Do(apitest.Request{Method: "DELETE", Bucket: bucketName, Key: "a"}) }
	require.Equal(t, "NoSuchKey", get(c, "a").Code)
}

// givingUp is a store whose sweeper ends every single upload before it is committed.
type givingUp struct{ meta.Store }

func (g givingUp) PutObject(ctx context.Context, p meta.Put) (meta.Version, error) {
	if p.Upload != uuid.Nil {
		if err := g.AbortUpload(ctx, meta.UploadRef{Bucket: p.Bucket, Key: p.Key, ID: p.Upload}); err != nil {
			return meta.Version{}, err
		}
	}
	return g.Store.PutObject(ctx, p)
}

func TestAPutThatWasGivenUpAsksForAnother(t *testing.T) {
	_, c := start(t, apitest.Options{Meta: func(s meta.Store) meta.Store { return givingUp{s} }})
	r, err := c.Try(apitest.Request{Method: "PUT", Bucket: bucketName, Key: "a", Body: random(2 * apitest.ChunkSize)})
	require.NoError(t, err)
	require.Equal(t, "ServiceUnavailable", r.Code)
	require.Equal(t, "1", r.Header.Get("Retry-After"))
	require.Equal(t, "NoSuchKey", get(c, "a").Code)
}
