// Package s3client sends S3 requests exactly as a test or a benchmark describes them: it adds a signature and nothing else,
// follows no redirect, retries nothing unless it is told to and takes a key byte for byte.
package s3client

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"deuxfleurs.fr/garage/tools/sigv4"
)

// Endpoint is where an S3 service answers and who may use it.
type Endpoint struct {
	// URL has a scheme and a host and no path.
	URL                  string
	AccessKey, SecretKey string
	Region               string
}

// Request is one request. Its zero fields are left out.
type Request struct {
	Method, Bucket, Key string
	// Query is raw, already encoded as SigV4 does.
	Query  string
	Header map[string]string
	Body   []byte
	// Payload is what x-amz-content-sha256 says; empty means the hash of the body.
	Payload string
	// Stream replaces Body for long bodies; Payload must be set and Length be its length.
	Stream io.Reader
	Length int64
	// At is the time of the signature; zero means now.
	At time.Time
	// Anonymous sends the request without a signature.
	Anonymous bool
	// Alter, when set, changes the request after it was signed.
	Alter func(*http.Request)
}

// Response is an answer read to its end.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
	// Code, Message and RequestID come from an XML error body.
	Code, Message, RequestID string
}

// Client sends requests to one endpoint. It is safe for concurrent use.
type Client struct {
	Endpoint
	Signer *sigv4.Signer
	HTTP   *http.Client
}

// New returns a client that keeps up to conns idle connections.
func New(e Endpoint, conns int) *Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	return &Client{
		Endpoint: e,
		Signer:   &sigv4.Signer{AccessKey: e.AccessKey, SecretKey: e.SecretKey, Region: e.Region},
		HTTP: &http.Client{
			Transport: &http.Transport{
				DialContext: dialer.DialContext, MaxIdleConns: conns, MaxIdleConnsPerHost: conns,
				DisableCompression: true, WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Do sends the request and reads the whole answer. The error is about the connection; an S3 error is in the response.
func (c *Client) Do(ctx context.Context, r Request) (*Response, error) {
	resp, err := c.Open(ctx, r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	out := &Response{Status: resp.StatusCode, Header: resp.Header, Body: body}
	if err != nil {
		return out, fmt.Errorf("%s /%s/%s: read the answer (status %d): %w", r.Method, r.Bucket, r.Key, resp.StatusCode, err)
	}
	if resp.StatusCode >= 300 && len(body) > 0 {
		var e struct{ Code, Message, RequestId string }
		if xml.Unmarshal(body, &e) == nil {
			out.Code, out.Message, out.RequestID = e.Code, e.Message, e.RequestId
		}
	}
	return out, nil
}

// patience is how long [Client.Patiently] goes on.
const patience = time.Minute

// Patiently sends the request as S3 clients do: again, for up to a minute, while the answer is 503. A request that was repeated may
// have taken effect before its last answer. A body that is a stream cannot be sent again.
func (c *Client) Patiently(ctx context.Context, r Request) (resp *Response, repeated bool, err error) {
	for deadline := time.Now().Add(patience); ; repeated = true {
		resp, err = c.Do(ctx, r)
		if err != nil || resp.Status != http.StatusServiceUnavailable || r.Stream != nil || time.Now().After(deadline) {
			return resp, repeated, err
		}
		select {
		case <-ctx.Done():
			return resp, repeated, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Ready asks for the list of buckets; the error says why it was not given.
func (c *Client) Ready(ctx context.Context) error {
	resp, err := c.Do(ctx, Request{Method: "GET"})
	if err != nil {
		return err
	}
	if resp.Status != http.StatusOK {
		return fmt.Errorf("ListBuckets answered %d %s: %s", resp.Status, resp.Code, resp.Message)
	}
	return nil
}

// Open sends the request and leaves the body of the answer to the caller.
func (c *Client) Open(ctx context.Context, r Request) (*http.Response, error) {
	req, err := c.Build(r)
	if err != nil {
		return nil, err
	}
	resp, err := c.HTTP.Do(req.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("%s /%s/%s: %w", r.Method, r.Bucket, r.Key, err)
	}
	return resp, nil
}

// Build makes and signs the request without sending it.
func (c *Client) Build(r Request) (*http.Request, error) {
	req, err := sigv4.NewRequest(r.Method, c.URL, r.Bucket, r.Key, r.Query)
	if err != nil {
		return nil, err
	}
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	switch {
	case r.Stream != nil:
		req.Body, req.ContentLength = io.NopCloser(r.Stream), r.Length
	case r.Body != nil:
		SetBody(req, r.Body)
	}
	at := r.At
	if at.IsZero() {
		at = time.Now()
	}
	if !r.Anonymous {
		payload := r.Payload
		switch {
		case payload != "":
		case len(r.Body) == 0:
			payload = sigv4.Empty
		default:
			payload = sigv4.Hash(r.Body)
		}
		c.Signer.Sign(req, payload, at)
	}
	if r.Alter != nil {
		r.Alter(req)
	}
	return req, nil
}

// SetBody gives the request a body of known length.
func SetBody(req *http.Request, body []byte) {
	req.ContentLength = int64(len(body))
	if len(body) == 0 {
		req.Body = http.NoBody
		return
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
}
