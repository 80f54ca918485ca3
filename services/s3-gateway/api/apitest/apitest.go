// Package apitest runs the S3 API in a test's process on stores in memory, and sends
// signed requests to it exactly as a test describes them.
//
// Start reading at Start, and Client.Do.
package apitest

import (
	"bytes"
	"context"
	"encoding/xml"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	chunkmemory "deuxfleurs.fr/garage/pkg/chunk/memory"
	"deuxfleurs.fr/garage/pkg/chunker"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/identity/keys"
	"deuxfleurs.fr/garage/pkg/meta"
	metamemory "deuxfleurs.fr/garage/pkg/meta/memory"
	"deuxfleurs.fr/garage/services/s3-gateway/api"
	"deuxfleurs.fr/garage/services/s3-gateway/body"
	"deuxfleurs.fr/garage/services/s3-gateway/checksum"
	"deuxfleurs.fr/garage/services/s3-gateway/sigv4/sigtest"
)

// Region is that of the gateway.
const Region = "garage"

// The keys that Start makes: the first may create buckets, the second may not.
const (
	AccessKey, Secret           = "GK0000000000000000000001", "secret-of-the-first-key"
	OtherAccessKey, OtherSecret = "GK0000000000000000000002", "secret-of-the-second-key"
	ChunkSize                   = chunker.MinSize
	defaultPool                 = 64 << 20
)

// Gateway is a running gateway with what it works on.
type Gateway struct {
	Meta   meta.Store
	Chunks chunk.Store
	Pool   *buffer.Pool
	Server *httptest.Server
	API    *api.API
}

// Options changes what Start makes. Zero fields are for most tests.
type Options struct {
	Meta   func(meta.Store) meta.Store   // wraps the store
	Chunks func(chunk.Store) chunk.Store // wraps the store
	Pool   int                           // bytes
	API    func(*api.Config)
	Bodies func(*body.Config)
	Clock  clock.Clock
	// Identities are asked for whoever is no key that Start makes.
	Identities identity.Source
}

// Start runs a gateway until the test ends.
func Start(t testing.TB, o Options) *Gateway {
	t.Helper()
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if o.Pool == 0 {
		o.Pool = defaultPool
	}
	store, err := metamemory.New(o.Clock, clock.SystemRandom)
	require.NoError(t, err)
	g := &Gateway{Meta: store, Chunks: chunkmemory.New(uuid.New()), Pool: buffer.NewPool(o.Pool, clock.System{})}
	if o.Meta != nil {
		g.Meta = o.Meta(g.Meta)
	}
	if o.Chunks != nil {
		g.Chunks = o.Chunks(g.Chunks)
	}
	ctx := context.Background()
	require.NoError(t, store.CreateKey(ctx, meta.Key{AccessKey: AccessKey, Secret: Secret, Name: "first", CreateBuckets: true}))
	require.NoError(t, store.CreateKey(ctx, meta.Key{AccessKey: OtherAccessKey, Secret: OtherSecret, Name: "second"}))

	cut, err := chunker.Fixed(ChunkSize)
	require.NoError(t, err)
	bodies := body.Config{Chunker: cut}
	if o.Bodies != nil {
		o.Bodies(&bodies)
	}
	cfg := api.Config{Region: Region, MaxRequests: 256, StepTimeout: 10 * time.Second, IdleTimeout: 30 * time.Second, MinRate: 1 << 10}
	if o.API != nil {
		o.API(&cfg)
	}
	var identities identity.Source = keys.New(store, o.Clock, 0)
	if o.Identities != nil {
		identities = identity.Combine(identities, o.Identities, o.Clock, 0)
	}
	log := slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	hashers := checksum.NewHashers()
	g.API, err = api.New(cfg, api.Deps{
		Meta: g.Meta, Pool: g.Pool, Identities: identities, Hashers: hashers,
		Bodies: body.New(bodies, body.Deps{Meta: g.Meta, Chunks: g.Chunks, Pool: g.Pool, Clock: o.Clock, Random: clock.SystemRandom, Log: log}),
		Clock:  o.Clock, Random: clock.SystemRandom, Log: log,
	})
	require.NoError(t, err)
	g.Server = httptest.NewServer(g.API.Handler())
	t.Cleanup(func() {
		g.Server.Close()
		hashers.Close()
	})
	return g
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// Client sends requests as one access key.
type Client struct {
	t      testing.TB
	URL    string
	Signer sigtest.Signer
	HTTP   *http.Client
	Now    func() time.Time
}

// Client signs as the first key.
func (g *Gateway) Client(t testing.TB) *Client { return g.As(t, AccessKey, Secret) }

// Other signs as the second key.
func (g *Gateway) Other(t testing.TB) *Client { return g.As(t, OtherAccessKey, OtherSecret) }

// As signs as any key.
func (g *Gateway) As(t testing.TB, accessKey, secret string) *Client {
	return &Client{
		t: t, URL: g.Server.URL, Signer: sigtest.Signer{AccessKey: accessKey, Secret: secret, Region: Region},
		HTTP: g.Server.Client(), Now: time.Now,
	}
}

// Request is one request. Zero fields are left out.
type Request struct {
	Method, Bucket, Key string
	Path                string // raw, instead of Bucket and Key
	Query               string // raw
	Header              map[string]string
	Host                string // instead of the server's
	Body                []byte
	Stream              io.Reader // instead of Body; Payload and Length must be set, or Length is negative for an unknown length
	Length              int64
	Payload             string // x-amz-content-sha256; empty: the hash of the body
	Anonymous           bool
	Presign             time.Duration       // put the signature into the query, valid so long
	Alter               func(*http.Request) // after signing
}

// Response is an answer, read to its end.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
	Err    error  // from reading the body
	Code   string // of an XML error
}

// Do sends a request and reads the answer.
func (c *Client) Do(r Request) *Response {
	c.t.Helper()
	resp, err := c.Try(r)
	require.NoError(c.t, err)
	return resp
}

// Try is Do for tests in which the connection may fail.
func (c *Client) Try(r Request) (*Response, error) {
	httpResp, err := c.HTTP.Do(c.Build(r))
	if err != nil {
		return nil, err
	}
	defer httpResp.Body.Close()
	out := &Response{Status: httpResp.StatusCode, Header: httpResp.Header}
	out.Body, out.Err = io.ReadAll(httpResp.Body)
	var e struct{ Code string }
	if out.Status >= 300 && xml.Unmarshal(out.Body, &e) == nil {
		out.Code = e.Code
	}
	return out, nil
}

// Build makes and signs a request.
func (c *Client) Build(r Request) *http.Request {
	c.t.Helper()
	path := r.Path
	if path == "" {
		path = "/"
		if r.Bucket != "" {
			path += r.Bucket
			if r.Key != "" {
				path += "/" + Escape(r.Key)
			}
		}
	}
	target := c.URL + path
	if r.Query != "" {
		target += "?" + r.Query
	}
	var content io.Reader = bytes.NewReader(r.Body)
	if r.Stream != nil {
		content = r.Stream
	}
	req, err := http.NewRequest(r.Method, target, content)
	require.NoError(c.t, err)
	req.URL.Opaque = "" // the path is sent as it stands in RawPath
	if r.Stream != nil {
		req.ContentLength = r.Length
	} else if len(r.Body) == 0 {
		req.Body = http.NoBody
	}
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	if r.Host != "" {
		req.Host = r.Host
	}
	payload := r.Payload
	if payload == "" {
		payload = sigtest.Hash(r.Body)
	}
	signer := c.Signer // a copy: a client may be used by several goroutines
	signer.Time = c.Now()
	switch {
	case r.Anonymous:
	case r.Presign > 0:
		signer.Presign(req, r.Presign)
	default:
		signer.Sign(req, payload)
	}
	if r.Alter != nil {
		r.Alter(req)
	}
	return req
}

// Escape percent-encodes a key for a path, byte for byte, but for slashes.
func Escape(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(key), "+", "%20"), "%2F", "/")
}
