package console

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/s3client"
)

// separate starts separate processes; a single one has no other node that could show what happens to it.
func separate(t *testing.T) *deploy.Deployment {
	t.Helper()
	require.Equal(t, deploy.Nodes, deploy.Kind(), "this needs several nodes: run it with -args -deployment nodes")
	return deploy.ForTest(t)
}

func TestANodeThatStopsShowsWithoutAReload(t *testing.T) {
	d := separate(t)
	data(t, d, "first")
	b := open(t, d.Admin, 1280)
	b.signIn(token(t, d))
	b.shows("all of it has 3 good copies", "3 of 3")
	eval[bool](b, "(window.sameDocument = true)")
	node, err := d.Process("chunk-node-2")
	require.NoError(t, err)
	require.NoError(t, node.Kill())
	stopped := time.Now()
	b.shows("2 of 3", "is missing")
	t.Logf("it showed after %v", time.Since(stopped))
	b.shot("node-stopped")
	b.visit("map")
	b.shows("fewer copies")
	b.shot("map-node-stopped")
	require.NoError(t, node.Start())
	b.visit("overview")
	b.shows("all of it has 3 good copies", "3 of 3")
	require.True(t, eval[bool](b, "window.sameDocument"), "the page was loaded again")
}

func TestACorruptedChunkIsFoundAndRepairedFromThePage(t *testing.T) {
	d := separate(t)
	client := data(t, d, "first")
	body := []byte(strings.Repeat("a body that is kept in files ", 60_000))
	resp, err := client.Do(t.Context(), s3client.Request{Method: "PUT", Bucket: "first", Key: "hurt", Body: body})
	require.NoError(t, err)
	require.Equal(t, 200, resp.Status)
	node, err := d.Process("chunk-node-1")
	require.NoError(t, err)
	blob := oneBlob(t, node.Data)
	b := open(t, d.Admin, 1280)
	b.signIn(token(t, d))
	b.visit("nodes")
	id := nodeID(t, node.Data)
	b.until("the node is there", fmt.Sprintf("document.querySelector('a[href=\"#/nodes/%s\"]')", id))
	require.NoError(t, os.WriteFile(blob, []byte("rubbish"), 0o600))
	b.visit("nodes/" + id)
	b.shows("Checksum problems")
	b.press("Check all checksums")
	b.shows("reads all its chunks again")
	b.visit("events")
	b.until("what was found and repaired is told", "(document.querySelector('main .tools button')?.click(), /repaired|replaced/i.test(document.querySelector('table')?.innerText || ''))")
	b.shot("repaired")
	require.Eventually(t, func() bool {
		info, err := os.Stat(blob)
		return err == nil && info.Size() > 1000
	}, patience, 50*time.Millisecond, "the file is whole again")
	b.visit("overview")
	b.shows("all of it has 3 good copies")
	resp, err = client.Do(t.Context(), s3client.Request{Method: "GET", Bucket: "first", Key: "hurt"})
	require.NoError(t, err)
	require.True(t, string(body) == string(resp.Body))
}

// oneBlob is the file of a chunk of a node, once there is one.
func oneBlob(t *testing.T, data string) string {
	t.Helper()
	var found string
	require.Eventually(t, func() bool {
		return filepath.WalkDir(data, func(path string, e os.DirEntry, err error) error {
			if err == nil && !e.IsDir() && strings.Contains(path, "/blobs/") {
				if info, err := e.Info(); err == nil && info.Size() > 1000 {
					found = path
					return filepath.SkipAll
				}
			}
			return nil
		}) == nil && found != ""
	}, patience, 50*time.Millisecond)
	return found
}

func TestWorkIsPausedAndSlowedDown(t *testing.T) {
	d := separate(t)
	b := open(t, d.Admin, 1280)
	b.signIn(token(t, d))
	b.visit("work")
	b.press("Pause scrub")
	b.shows("Scrub is paused until it is started again (3 nodes)")
	b.until("all nodes have stopped it", "[...document.querySelectorAll('section')].find(s => s.querySelector('h2')?.innerText === 'Scrub').innerText.match(/stopped/g)?.length === 3")
	b.press("Start scrub")
	b.until("none has stopped it", "!/stopped/.test([...document.querySelectorAll('section')].find(s => s.querySelector('h2')?.innerText === 'Scrub').innerText)")
	eval[bool](b, `(f => { f.rate.value = '7 MiB'; f.requestSubmit(); return true })([...document.querySelectorAll('section')].find(s => s.querySelector('h2')?.innerText === 'Scrub').querySelector('form'))`)
	b.shows("limited to 7.0 MiB a second", "7.0 MiB/s")
	b.shot("work")
}

// nodeID is the ID of the node in a data folder.
func nodeID(t *testing.T, data string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(data, "garage.json"))
	require.NoError(t, err)
	var info struct {
		NodeID string `json:"node_id"`
	}
	require.NoError(t, json.Unmarshal(text, &info))
	return info.NodeID
}
