package collection

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/datafolder"
	chunknode "deuxfleurs.fr/garage/services/chunk-node"
	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/s3client"
	"deuxfleurs.fr/garage/tools/sigv4"
)

func TestWhatMetadataDoesNotKnowGoesAndUploadsUnderWayStay(t *testing.T) {
	s := setUp(t, "GARAGE_CHUNK_LONG_COLLECTION_INTERVAL=0s", "GARAGE_DEBUG_LONG_COLLECTION_WAIT=2s", "GARAGE_CHUNK_TRASH=1s",
		"GARAGE_S3_IDLE_TIMEOUT=10m")
	for _, p := range s.d.ChunkNodes() {
		s.stray(p)
	}
	require.NoError(t, s.d.Wait(t.Context()))
	s.client.HTTP.CloseIdleConnections()
	body := random(40_000)
	require.Eventually(t, func() bool { // the gateway finds the nodes again
		resp, err := s.client.Do(t.Context(), s3client.Request{Method: "PUT", Bucket: bucket, Key: "found again", Body: body})
		return err == nil && resp.Status == 200
	}, 2*time.Minute, 200*time.Millisecond)
	s.kept["found again"] = body
	s.chunks++

	var begun struct{ UploadId string }
	require.NoError(t, xml.Unmarshal(s.ok(s3client.Request{Method: "POST", Bucket: bucket, Key: "parts", Query: "uploads="}).Body, &begun))
	upload := "uploadId=" + sigv4.Escape(begun.UploadId, false)
	part := random(5 << 20)
	etag := s.ok(s3client.Request{Method: "PUT", Bucket: bucket, Key: "parts", Query: "partNumber=1&" + upload, Body: part}).Header.Get("ETag")
	slow, answer := random(2<<20), make(chan *s3client.Response, 1)
	arrives, sends := io.Pipe()
	go func() {
		resp, err := s.client.Do(t.Context(), s3client.Request{Method: "PUT", Bucket: bucket, Key: "slow", Payload: sigv4.Unsigned,
			Stream: arrives, Length: int64(len(slow))})
		if err != nil {
			resp = &s3client.Response{Message: err.Error()}
		}
		answer <- resp
	}()
	t.Cleanup(func() { require.NoError(t, sends.Close()) })
	_, err := sends.Write(slow[:1<<20+1000])
	require.NoError(t, err)
	const stray, under = 1, 5 + 1 // chunks of the part, and that of the slow upload which has arrived
	s.holds(stray + under)

	// The nodes first find it, then ask, as it is a great part of the little that they have.
	require.Eventually(t, func() bool {
		out, err := s.d.CLI(t.Context(), "collect", "--long")
		return err != nil && bytes.Contains(out, []byte("--confirm"))
	}, 2*time.Minute, 500*time.Millisecond)
	s.holds(stray + under)
	require.Eventually(t, func() bool { // each node when its own wait is over, and it has asked
		_, err := s.d.CLI(t.Context(), "collect", "--long", "--confirm", "100")
		return err == nil && s.held(under)
	}, 2*time.Minute, 500*time.Millisecond)

	empty := func(n node) bool { return n.Trashed == 0 }
	require.Never(t, func() bool { return slices.ContainsFunc(s.status().Nodes, empty) }, 3*time.Second, 300*time.Millisecond, "time alone empties no trash")
	require.Eventually(t, func() bool {
		_, err := s.d.CLI(t.Context(), "collect", "--long")
		return err == nil && !slices.ContainsFunc(s.status().Nodes, func(n node) bool { return !empty(n) })
	}, 2*time.Minute, 500*time.Millisecond, "a round that has asked does")

	_, err = sends.Write(slow[1<<20+1000:])
	require.NoError(t, err)
	resp := <-answer
	require.Equal(t, 200, resp.Status, resp.Message)
	s.ok(s3client.Request{Method: "POST", Bucket: bucket, Key: "parts", Query: upload, Body: []byte(`<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>` +
		etag + `</ETag></Part></CompleteMultipartUpload>`)})
	s.kept["parts"], s.kept["slow"] = part, slow
	s.chunks += under + 1
	s.settled()
}

// stray gives a node a chunk with a reference of which metadata knows nothing, while it does not run.
func (s *suite) stray(p *deploy.Process) {
	s.t.Helper()
	require.NoError(s.t, p.Kill())
	var info datafolder.Info
	text, err := os.ReadFile(filepath.Join(p.Data, "garage.json"))
	require.NoError(s.t, err)
	require.NoError(s.t, json.Unmarshal(text, &info))
	node, err := chunknode.New(chunknode.DefaultConfig(), chunknode.Deps{Folder: p.Data, NodeID: info.NodeID, ClusterID: info.ClusterID, Version: "test",
		Clock: clock.System{}, Random: clock.SystemRandom, Pool: buffer.NewPool(64<<20, clock.System{}), Logger: slog.New(slog.DiscardHandler)})
	require.NoError(s.t, err)
	data := buffer.FromBytes(bytes.Repeat([]byte("stray"), 20_000))
	outcome, err := node.Node().Put(s.t.Context(), chunk.HashOf(data), data, chunk.Ref{Attempt: uuid.New()})
	require.NoError(s.t, err)
	require.Equal(s.t, chunk.Stored, outcome)
	require.NoError(s.t, node.Close())
	require.NoError(s.t, p.Start())
}

// holds waits until each node holds so many chunks more than those of what is kept.
func (s *suite) holds(more int) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return s.held(more) }, 2*time.Minute, 200*time.Millisecond, "each node should hold %d chunks and %d more", s.chunks, more)
}

func (s *suite) held(more int) bool {
	for _, n := range s.status().Nodes {
		if n.Chunks != s.chunks+more {
			return false
		}
	}
	return true
}
