package collection

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/s3client"
	"deuxfleurs.fr/garage/tools/sigv4"
	"deuxfleurs.fr/garage/tools/systemtest/load"
)

// settings shorten the design's times.
var settings = []string{
	"GARAGE_CHUNK_GRACE=1s", "GARAGE_CHUNK_COLLECT_INTERVAL=100ms", "GARAGE_METADATA_SWEEP_INTERVAL=1s", "GARAGE_METADATA_SWEEP_PAUSE=10ms",
	"GARAGE_METADATA_SWEEP_GRACE=0s",
	"GARAGE_METADATA_SWEEP_IDLE=3s", "GARAGE_S3_PROGRESS=500ms",
}

const bucket = "collection"

type suite struct {
	t      *testing.T
	d      *deploy.Deployment
	client *s3client.Client
	// kept maps each key that must stay to its body.
	kept map[string][]byte
	// chunks is how many chunks the kept bodies are cut into.
	chunks int
}

func setUp(t *testing.T, more ...string) *suite {
	d := deploy.ForTest(t, append(slices.Clone(settings), more...)...)
	s := &suite{t: t, d: d, client: s3client.New(d.Endpoint, 8), kept: map[string][]byte{}}
	s.ok(s3client.Request{Method: "PUT", Bucket: bucket})
	for i, size := range []int{10, 5000, 40_000, 1 << 20, 3<<20 + 100_000} {
		s.keep(fmt.Sprint("kept ", i), random(size))
	}
	return s
}

func (s *suite) ok(r s3client.Request) *s3client.Response {
	s.t.Helper()
	resp, err := s.client.Do(s.t.Context(), r)
	require.NoError(s.t, err)
	require.Less(s.t, resp.Status, 300, "%s %s: %s %s", r.Method, r.Key, resp.Code, resp.Message)
	return resp
}

// inIndex is how many of the kept chunks are small enough to lie in the index and not in files.
const inIndex = 1

// blobFiles counts the files below folders of blobs.
func blobFiles(t *testing.T, dir string) (n int) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case os.IsNotExist(err):
			return nil // Collected while this looked.
		case err == nil && entry.Type().IsRegular() && strings.Contains(path, "/blobs/"):
			n++
		}
		return err
	}))
	return n
}

// inline is the largest body that is kept with the metadata, by default.
const inline = 4 << 10

func (s *suite) keep(key string, body []byte) {
	s.t.Helper()
	s.ok(s3client.Request{Method: "PUT", Bucket: bucket, Key: key, Body: body})
	s.kept[key] = body
	if len(body) > inline {
		s.chunks += (len(body) + 1<<20 - 1) / (1 << 20)
	}
}

// settled waits until every node holds the chunks of what is kept and no other, no upload is open, and then reads what is kept.
func (s *suite) settled() { s.t.Helper(); s.settledWith(0) }

// settledWith is settled with up to so many chunks more.
func (s *suite) settledWith(orphans int) {
	s.t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for {
		status := s.status()
		wrong := ""
		for _, n := range status.Nodes {
			if n.Chunks < s.chunks || n.Chunks > s.chunks+orphans || n.Uncollected > 0 {
				wrong += fmt.Sprintf(" %s has %d and %d to collect;", n.ID, n.Chunks, n.Uncollected)
			}
		}
		if orphans == 0 {
			for _, node := range s.d.ChunkNodes() {
				if n := blobFiles(s.t, node.Data); n != s.chunks-inIndex {
					wrong += fmt.Sprintf(" %d files of blobs in %s, instead of %d;", n, node.Data, s.chunks-inIndex)
				}
			}
		}
		if status.Uploads > 0 {
			wrong += fmt.Sprintf(" %d uploads are open;", status.Uploads)
		}
		if wrong == "" {
			break
		}
		require.True(s.t, time.Now().Before(deadline), "each node should hold %d chunks, but%s", s.chunks, wrong)
		time.Sleep(100 * time.Millisecond)
	}
	for key, body := range s.kept {
		resp := s.ok(s3client.Request{Method: "GET", Bucket: bucket, Key: key})
		require.True(s.t, string(body) == string(resp.Body), "%s: other bytes", key)
	}
}

// status is what the server says of itself.
type status struct {
	Uploads int
	Nodes   []node
}

type node struct {
	ID                  string
	Chunks, Uncollected int
	Trashed             int64 // bytes
}

func (s *suite) status() (answer status) {
	s.t.Helper()
	out, err := s.d.CLI(s.t.Context(), "status", "--json")
	require.NoError(s.t, err)
	require.NoError(s.t, json.Unmarshal(out, &answer), "%s", out)
	require.NotEmpty(s.t, answer.Nodes)
	return answer
}

func (s *suite) deleteTheRest() {
	s.t.Helper()
	for {
		var list struct {
			IsTruncated bool
			Contents    []struct{ Key string }
		}
		require.NoError(s.t, xml.Unmarshal(s.ok(s3client.Request{Method: "GET", Bucket: bucket, Query: "list-type=2"}).Body, &list))
		for _, c := range list.Contents {
			if s.kept[c.Key] == nil {
				s.ok(s3client.Request{Method: "DELETE", Bucket: bucket, Key: c.Key})
			}
		}
		if !list.IsTruncated {
			break
		}
	}
	var uploads struct {
		Upload []struct{ Key, UploadId string }
	}
	require.NoError(s.t, xml.Unmarshal(s.ok(s3client.Request{Method: "GET", Bucket: bucket, Query: "uploads="}).Body, &uploads))
	for _, u := range uploads.Upload {
		s.ok(s3client.Request{Method: "DELETE", Bucket: bucket, Key: u.Key, Query: "uploadId=" + sigv4.Escape(u.UploadId, false)})
	}
}

func TestDeletedAndReplacedChunksGo(t *testing.T) {
	s := setUp(t)
	for i := range 10 {
		s.ok(s3client.Request{Method: "PUT", Bucket: bucket, Key: "replaced", Body: random(200_000 * i)})
		s.ok(s3client.Request{Method: "PUT", Bucket: bucket, Key: fmt.Sprint("deleted ", i), Body: random(150_000 * i)})
	}
	// Equal bodies are one chunk, which stays as long as one of its objects does.
	shared := random(800_000)
	for i := range 4 {
		s.ok(s3client.Request{Method: "PUT", Bucket: bucket, Key: fmt.Sprint("shared ", i), Body: shared})
	}
	s.keep("the last that shares", shared)
	s.ok(s3client.Request{Method: "PUT", Bucket: bucket, Key: "a copy", Header: map[string]string{"X-Amz-Copy-Source": bucket + "/kept%204"}})
	s.deleteTheRest()
	s.settled()
}

// The gateway reads the list of a large object's chunks page by page while the client takes the body.
func TestAReaderOfAnObjectThatIsReplacedGetsAllItsBytes(t *testing.T) {
	const chunkSize, chunks = 256 << 10, 1600 // more than the gateway knows ahead
	s := setUp(t, "GARAGE_METADATA_SWEEP_GRACE=10s", "GARAGE_S3_CHUNK_SIZE=256KiB")
	body := bytes.Repeat(random(chunkSize), chunks)
	s.ok(s3client.Request{Method: "PUT", Bucket: bucket, Key: "large", Body: body, Payload: sigv4.Unsigned})
	resp, err := s.client.Open(t.Context(), s3client.Request{Method: "GET", Bucket: bucket, Key: "large"})
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	_, err = io.ReadFull(resp.Body, make([]byte, chunkSize))
	require.NoError(t, err)
	s.ok(s3client.Request{Method: "PUT", Bucket: bucket, Key: "large", Body: []byte("small")})
	before := s.status()
	require.Never(t, func() bool { return s.status().Nodes[0] != before.Nodes[0] }, 3*time.Second, 300*time.Millisecond, "nothing of it is let go")
	rest, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.True(t, bytes.Equal(body[chunkSize:], rest), "%d bytes of %d", len(rest), len(body)-chunkSize)
}

func TestWhatFailedRequestsStoredGoes(t *testing.T) {
	s := setUp(t)
	for range 5 {
		// A body that ends too early.
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.d.Endpoint.URL, "http://"))
		require.NoError(t, err)
		req, err := s.client.Build(s3client.Request{Method: "PUT", Bucket: bucket, Key: "cut", Payload: sigv4.Unsigned})
		require.NoError(t, err)
		req.Header.Set("Content-Length", "10000000")
		_, err = fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\n", sigv4.Path(req.URL), req.URL.Host)
		require.NoError(t, err)
		require.NoError(t, req.Header.Write(conn))
		_, err = conn.Write(append([]byte("\r\n"), random(5_000_000)...))
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		// A body that is not what was signed.
		resp, err := s.client.Do(t.Context(), s3client.Request{
			Method: "PUT", Bucket: bucket, Key: "wrong", Body: random(3_000_000), Payload: sigv4.Hash([]byte("other")),
		})
		require.NoError(t, err)
		require.Equal(t, 400, resp.Status)
		// A condition that is false.
		resp, err = s.client.Do(t.Context(), s3client.Request{
			Method: "PUT", Bucket: bucket, Key: "kept 3", Body: random(3_000_000), Header: map[string]string{"If-None-Match": "*"},
		})
		require.NoError(t, err)
		require.Equal(t, 412, resp.Status)
	}
	s.settled()
}

func TestWhatAbortedAndReplacedPartsStoredGoes(t *testing.T) {
	s := setUp(t)
	var begun struct{ UploadId string }
	require.NoError(t, xml.Unmarshal(s.ok(s3client.Request{Method: "POST", Bucket: bucket, Key: "parts", Query: "uploads="}).Body, &begun))
	for range 3 {
		s.ok(s3client.Request{
			Method: "PUT", Bucket: bucket, Key: "parts", Query: "partNumber=1&uploadId=" + sigv4.Escape(begun.UploadId, false), Body: random(5 << 20),
		})
	}
	s.deleteTheRest()
	s.settled()
}

// A chunk may reach the disk just before the row that tells of it reaches the metadata. What a crash leaves of these is for the search
// of a whole cluster's references, which is no part of this; it is no more than was on its way: four chunks of each worker.
func TestWhatACrashLeftGoes(t *testing.T) {
	const workers, kills, window = 5, 3, 4
	s := setUp(t)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	l := load.New(load.Config{Client: s.client, Bucket: bucket, Seed: rand.Uint64(), Workers: workers, Keys: 30})
	require.NoError(t, l.Prepare(ctx))
	for range kills {
		target, ended := l.Done()+100, make(chan struct{})
		go func() {
			defer close(ended)
			l.Run(ctx, 100_000, true)
		}()
		for l.Done() < target && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		require.NoError(t, s.d.KillAll())
		<-ended
		require.NoError(t, s.d.StartAll(ctx))
		s.client.HTTP.CloseIdleConnections()
	}
	s.deleteTheRest()
	s.settledWith(workers * kills * window)
}

func random(size int) []byte {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	body := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(body)
	return body
}
