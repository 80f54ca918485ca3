package cluster

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/cluster/local"
	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/httpjson"
	"deuxfleurs.fr/garage/tools/repo"
)

// archive writes an archive as "make packages" makes it, with one program, and returns its file name and checksum.
func (f *fixture) archive(dir, program string) (name, sum string) {
	f.Helper()
	const folder = "garage-0.0-linux-test"
	bin, err := deploy.Bin()
	require.NoError(f, err)
	in, err := os.Open(filepath.Join(bin, program))
	require.NoError(f, err)
	defer in.Close()
	about, err := in.Stat()
	require.NoError(f, err)
	out, err := os.Create(filepath.Join(dir, folder+".tar.gz"))
	require.NoError(f, err)
	hash := sha256.New()
	zip, err := gzip.NewWriterLevel(io.MultiWriter(out, hash), gzip.BestSpeed)
	require.NoError(f, err)
	archive := tar.NewWriter(zip)
	require.NoError(f, archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder + "/", Mode: 0o755}))
	require.NoError(f, archive.WriteHeader(&tar.Header{Name: folder + "/" + program, Mode: 0o755, Size: about.Size()}))
	_, err = io.Copy(archive, in)
	require.NoError(f, err)
	require.NoError(f, archive.Close())
	require.NoError(f, zip.Close())
	require.NoError(f, out.Close())
	return folder + ".tar.gz", hex.EncodeToString(hash.Sum(nil))
}

// asAnother writes a job file under another job's name, which runs beside the one of the file.
func (f *fixture) asAnother(dir, file, name, other string) string {
	f.Helper()
	root, err := repo.Root()
	require.NoError(f, err)
	text, err := os.ReadFile(filepath.Join(root, "nomad", file))
	require.NoError(f, err)
	changed := strings.Replace(string(text), fmt.Sprintf("job %q {", name), fmt.Sprintf("job %q {", other), 1)
	require.NotEqual(f, string(text), changed)
	path := filepath.Join(dir, other+".nomad.hcl")
	require.NoError(f, os.WriteFile(path, []byte(changed), 0o600))
	f.purge(other)
	return path
}

// A chunk-node whose program Nomad fetches, as operators have it, and checks.
func TestAChunkNodeFromAnArchive(t *testing.T) {
	f := setUp(t)
	dir := t.TempDir()
	name, sum := f.archive(dir, "chunk-node")
	files := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(files.Close)
	const other = "garage-chunk-node-archive"
	job := f.asAnother(dir, "chunk-node.nomad.hcl", local.JobChunkNode, other)
	env, err := f.cluster.Stack().Env()
	require.NoError(t, err)
	consul, offset := env["GARAGE_STACK_CONSUL"], f.cluster.Options().Offset
	ports, err := json.Marshal(map[string]int{"rpc": archivePort + offset, "admin": archivePort + 1 + offset})
	require.NoError(t, err)
	run := func(sum string) {
		f.run(job, map[string]string{
			"driver": "raw_exec", "artifact": files.URL + "/" + name + "?checksum=sha256:" + sum, "zones": `["zone-1"]`,
			"volume": "garage-cql", "data": "${meta.cql_data}", // which nothing else uses
			"address": "${meta.address}", "admin_address": "${meta.address}", "consul_address": "${meta.address}" + consul[strings.LastIndexByte(consul, ':'):],
			"ports": string(ports), "min_healthy_time": "1s", "env": `{"GARAGE_CHUNK_LEAVE_TIMEOUT":"1s","GARAGE_CHUNK_LEAVE_WITHOUT":"1s"}`,
		})
	}
	run(strings.Repeat("0", len(sum)))
	f.until("Nomad refuses other bytes", func() error {
		if events := f.events(other); !strings.Contains(events, "Failed Artifact Download") || !strings.Contains(events, "checksum") {
			return fmt.Errorf("%s", events)
		}
		return nil
	})
	run(sum)
	f.until("it can serve", func() error {
		err := httpjson.Call(f.ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.11:%d/healthz", archivePort+1+offset), nil, nil, nil)
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, f.events(other))
		}
		return err
	})
	f.until("Consul knows four chunk-nodes", func() error {
		if n := len(f.instances(local.JobChunkNode)); n != 4 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	out, err := f.nomad("job", "stop", "-detach", other)
	require.NoError(t, err, "%s", out)
	f.until("it has left Consul", func() error {
		if n := len(f.instances(local.JobChunkNode)); n != 3 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
}

// archivePort is, before the offset, the first of two that nothing else uses.
const archivePort = 3981
