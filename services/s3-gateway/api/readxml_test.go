package api_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/services/s3-gateway/api"
	"deuxfleurs.fr/garage/services/s3-gateway/api/apitest"
)

// held is a body that begins, and goes on only when it is let go.
type held struct {
	io.Reader
	done <-chan struct{}
	rest io.Reader
}

func hold(size int64, done <-chan struct{}) *held {
	const begun = 128 << 10
	return &held{Reader: bytes.NewReader(make([]byte, begun)), done: done, rest: bytes.NewReader(make([]byte, size-begun))}
}

func (h *held) Read(p []byte) (int, error) {
	if n, err := h.Reader.Read(p); err == nil {
		return n, nil
	}
	<-h.done
	return h.rest.Read(p)
}

func completion(size int64, body io.Reader) apitest.Request {
	return apitest.Request{
		Method: "POST", Bucket: bucketName, Key: "a", Query: "uploadId=none",
		Payload: "UNSIGNED-PAYLOAD", Stream: body, Length: size,
	}
}

// TestLargeBodiesOfXMLAreBounded guards the memory of the gateway: no pool counts these bodies.
func TestLargeBodiesOfXMLAreBounded(t *testing.T) {
	_, c := start(t, apitest.Options{API: func(c *api.Config) { c.StepTimeout = time.Second }})
	const largest = 8 << 20
	done := make(chan struct{})
	ended := make(chan *apitest.Response)
	for range 8 {
		go func() {
			r, err := c.Try(completion(largest, hold(largest, done)))
			if err != nil {
				r = &apitest.Response{Code: err.Error()}
			}
			ended <- r
		}()
	}
	const size = 70 << 10
	another := func() string { return c.Do(completion(size, bytes.NewReader(make([]byte, size)))).Code }
	require.Eventually(t, func() bool { return another() == "SlowDown" }, time.Minute, time.Millisecond, "there is no more room")
	require.Equal(t, "MalformedXML", c.Do(completion(5, bytes.NewReader([]byte("small")))).Code, "a small body needs none")

	close(done)
	for range 8 {
		require.Equal(t, "MalformedXML", (<-ended).Code)
	}
	require.Equal(t, "MalformedXML", another(), "there is room again")
}

// TestNoBodyIsReadOfWhoMayNotCreateBuckets guards against reading what is refused anyway.
func TestNoBodyIsReadOfWhoMayNotCreateBuckets(t *testing.T) {
	g, c := start(t, apitest.Options{})
	const size = 1 << 20
	done := make(chan struct{})
	defer close(done)
	create := apitest.Request{Method: "PUT", Bucket: "music", Payload: "UNSIGNED-PAYLOAD", Stream: hold(size, done), Length: size}
	require.Equal(t, "AccessDenied", g.Other(t).Do(create).Code)

	create.Length = 65 << 10
	create.Stream = bytes.NewReader(make([]byte, create.Length))
	r := c.Do(create)
	require.Equal(t, "MaxMessageLengthExceeded", r.Code, "a location is short")
	require.Equal(t, http.StatusBadRequest, r.Status)
}
