package clients

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestS3cmd(t *testing.T) {
	s := newShell(t)
	host := strings.TrimPrefix(endpoint.URL, "http://")
	require.NoError(t, os.WriteFile(s.path(".s3cfg"), fmt.Appendf(nil,
		"[default]\naccess_key = %s\nsecret_key = %s\nhost_base = %s\nhost_bucket = %s\nuse_https = False\nbucket_location = %s\nmultipart_chunk_size_mb = 5\n",
		endpoint.AccessKey, endpoint.SecretKey, host, host, endpoint.Region), 0o600))
	s3cmd := func(args ...string) string {
		t.Helper()
		return s.run(tools.S3cmd, append([]string{"--config", s.path(".s3cfg"), "--no-progress"}, args...)...)
	}
	bucket := "s3://" + bucketName()
	s3cmd("mb", bucket)
	require.Contains(t, s3cmd("ls"), bucket)
	s.file("small", 1000)
	s.file("parts", 12<<20)
	for _, name := range []string{"small", "parts"} {
		s3cmd("put", name, bucket+"/dir/"+name)
		s3cmd("get", bucket+"/dir/"+name, "back-"+name)
		require.Equal(t, sum(t, s.path(name)), sum(t, s.path("back-"+name)))
	}
	require.Contains(t, s3cmd("info", bucket+"/dir/parts"), "12582912")
	s3cmd("cp", bucket+"/dir/small", bucket+"/copied")
	s3cmd("mv", bucket+"/copied", bucket+"/moved")
	require.Contains(t, s3cmd("ls", bucket), "/moved")
	require.Contains(t, s3cmd("du", bucket), "12584912")
	tree := s.tree("tree", "encoding/json")
	s3cmd("sync", "tree/", bucket+"/tree/")
	require.NoError(t, os.Mkdir(s.path("restored"), 0o755))
	s3cmd("sync", bucket+"/tree/", "restored/")
	same(t, tree, s.path("restored"))
	s3cmd("del", "--recursive", "--force", bucket)
	s3cmd("rb", bucket)
}

func newRclone(t *testing.T) (*shell, func(args ...string) string) {
	s := newShell(t, "RCLONE_CONFIG_G_TYPE=s3", "RCLONE_CONFIG_G_PROVIDER=Other", "RCLONE_CONFIG_G_ENV_AUTH=true",
		"RCLONE_CONFIG_G_ENDPOINT="+endpoint.URL, "RCLONE_CONFIG_G_REGION="+endpoint.Region, "RCLONE_CONFIG_G_FORCE_PATH_STYLE=true")
	return s, func(args ...string) string {
		t.Helper()
		return s.run(tools.Rclone, append([]string{"--config", s.path("none"), "--retries", "1", "--low-level-retries", "1"}, args...)...)
	}
}

func TestRcloneSync(t *testing.T) {
	s, rclone := newRclone(t)
	remote := "g:" + bucketName()
	rclone("mkdir", remote)
	tree := s.tree("tree", "encoding")
	rclone("sync", "tree", remote+"/tree")
	rclone("check", "tree", remote+"/tree")
	rclone("check", "--download", "tree", remote+"/tree")
	require.NoError(t, os.Remove(filepath.Join(tree, "empty")))
	require.NoError(t, os.WriteFile(filepath.Join(tree, "large"), []byte("short now"), 0o644))
	s.fails(tools.Rclone, "--config", s.path("none"), "check", "tree", remote+"/tree")
	rclone("sync", "tree", remote+"/tree")
	rclone("check", "--download", "tree", remote+"/tree")
	rclone("copy", remote+"/tree", "restored")
	same(t, tree, s.path("restored"))
	s.file("parts", 60<<20)
	rclone("copyto", "--s3-chunk-size", "5M", "--s3-upload-cutoff", "10M", "parts", remote+"/parts")
	rclone("moveto", remote+"/parts", remote+"/elsewhere/parts")
	rclone("copyto", remote+"/elsewhere/parts", "back")
	require.Equal(t, sum(t, s.path("parts")), sum(t, s.path("back")))
	require.Contains(t, rclone("lsf", remote), "elsewhere/")
	rclone("purge", remote)
}

func TestRcloneMount(t *testing.T) {
	s, rclone := newRclone(t)
	remote := "g:" + bucketName()
	rclone("mkdir", remote)
	tree := s.tree("tree", "encoding/json")
	rclone("sync", "tree", remote)
	require.NoError(t, os.Mkdir(s.path("mounted"), 0o755))

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	mount := exec.CommandContext(ctx, tools.Rclone, "--config", s.path("none"), "mount", remote, "mounted", "--vfs-cache-mode", "writes", "--vfs-write-back", "0s",
		"--cache-dir", s.path("cache"), "-v", "--log-file", s.path("mount.log"))
	mount.Dir, mount.Env = s.dir, s.env
	require.NoError(t, mount.Start())
	ended := make(chan error, 1)
	go func() { ended <- mount.Wait() }()
	defer func() {
		require.NoError(t, mount.Process.Signal(syscall.SIGTERM))
		<-ended
	}()
	for !mounted(t, s.path("mounted")) {
		select {
		case err := <-ended:
			log, _ := os.ReadFile(s.path("mount.log"))
			ended <- err
			t.Fatalf("rclone mount ended: %v\n%s", err, log)
		case <-ctx.Done():
			t.Fatal("rclone did not mount in time")
		case <-time.After(50 * time.Millisecond):
		}
	}
	same(t, tree, s.path("mounted"))
	fresh := s.file("fresh", 8<<20+3)
	s.run("/bin/cp", "fresh", "mounted/dir of fresh")
	require.Eventually(t, func() bool {
		return strings.Contains(rclone("lsf", remote), "dir of fresh")
	}, time.Minute, 100*time.Millisecond)
	rclone("copyto", remote+"/dir of fresh", "back")
	require.Equal(t, sum(t, fresh), sum(t, s.path("back")))
	require.NoError(t, os.Remove(s.path("mounted/dir of fresh")))
	require.NotContains(t, rclone("lsf", remote), "dir of fresh")
}

// mounted says whether a file system is mounted on the folder.
func mounted(t *testing.T, dir string) bool {
	t.Helper()
	f, err := os.Open("/proc/mounts")
	require.NoError(t, err)
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[1] == dir {
			return true
		}
	}
	return false
}

func TestRestic(t *testing.T) {
	s := newShell(t, "RESTIC_PASSWORD=correct horse", "RESTIC_REPOSITORY=s3:"+endpoint.URL+"/"+bucketName()+"/repository")
	restic := func(args ...string) string {
		t.Helper()
		return s.run(tools.Restic, append([]string{"--cache-dir", s.path("cache")}, args...)...)
	}
	restic("init")
	tree := s.tree("tree", "cmd/compile")
	restic("backup", "tree")
	restic("check", "--read-data")
	require.NoError(t, os.RemoveAll(filepath.Join(tree, "internal", "ssa")))
	s.file("tree/new file", 3<<20)
	restic("backup", "tree")
	require.Len(t, strings.Split(strings.TrimSpace(restic("list", "snapshots", "--quiet")), "\n"), 2)
	restic("forget", "--keep-last", "1", "--prune")
	restic("check", "--read-data")
	restic("restore", "latest", "--target", "restored")
	same(t, tree, s.path("restored/tree"))
	require.NotContains(t, restic("list", "locks"), "lock")
}

func TestBoto3(t *testing.T) {
	s := newShell(t, "BUCKET="+bucketName())
	script, err := filepath.Abs("testdata/boto3_suite.py")
	require.NoError(t, err)
	out := s.run(tools.Python, script)
	require.Contains(t, out, "all well")
}
