package clients

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/clients"
	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/s3client"
)

var (
	endpoint s3client.Endpoint
	raw      *s3client.Client
	tools    clients.Tools
	counter  atomic.Int64
)

func TestMain(m *testing.M) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	var err error
	tools, err = clients.Install(ctx, os.Stdout)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	deploy.Main(m, func(d *deploy.Deployment) {
		endpoint, raw = d.Endpoint, s3client.New(d.Endpoint, 4)
	})
}

func bucketName() string {
	return fmt.Sprintf("clients-%d-%d", time.Now().UnixNano()%1e9, counter.Add(1))
}

// newBucket makes a bucket by hand, for clients that are not to make their own.
func newBucket(t *testing.T) string {
	t.Helper()
	name := bucketName()
	resp, err := raw.Do(t.Context(), s3client.Request{Method: "PUT", Bucket: name})
	require.NoError(t, err)
	require.Equal(t, 200, resp.Status, resp.Message)
	return name
}

// shell runs programs in a folder of their own with credentials in the environment.
type shell struct {
	t   *testing.T
	dir string
	env []string
}

func newShell(t *testing.T, env ...string) *shell {
	dir := t.TempDir()
	base := []string{
		"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME=" + dir, "LANG=C.UTF-8", "TMPDIR=" + dir,
		"AWS_ACCESS_KEY_ID=" + endpoint.AccessKey, "AWS_SECRET_ACCESS_KEY=" + endpoint.SecretKey,
		"AWS_REGION=" + endpoint.Region, "AWS_DEFAULT_REGION=" + endpoint.Region, "AWS_ENDPOINT_URL=" + endpoint.URL, "AWS_PAGER=",
	}
	return &shell{t, dir, append(base, env...)}
}

// run runs a program that must succeed within five minutes and returns what it printed.
func (s *shell) run(program string, args ...string) string {
	s.t.Helper()
	out, err := s.try(program, args...)
	require.NoError(s.t, err, "%s %s\n%s", filepath.Base(program), strings.Join(args, " "), out)
	return out
}

// fails runs a program that must fail and returns what it printed.
func (s *shell) fails(program string, args ...string) string {
	s.t.Helper()
	out, err := s.try(program, args...)
	require.Error(s.t, err, "%s %s\n%s", filepath.Base(program), strings.Join(args, " "), out)
	return out
}

func (s *shell) try(program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = s.dir, s.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *shell) path(name string) string { return filepath.Join(s.dir, name) }

// file writes a file of random bytes.
func (s *shell) file(name string, size int64) string {
	s.t.Helper()
	path := s.path(name)
	require.NoError(s.t, os.MkdirAll(filepath.Dir(path), 0o755))
	f, err := os.Create(path)
	require.NoError(s.t, err)
	defer f.Close()
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	_, err = io.CopyN(f, rand.NewChaCha8(seed), size)
	require.NoError(s.t, err)
	return path
}

var goRoot = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	return strings.TrimSpace(string(out)), err
})

// source returns a folder of Go's own sources.
func source(t *testing.T, name string) string {
	t.Helper()
	root, err := goRoot()
	require.NoError(t, err)
	return filepath.Join(root, "src", name)
}

// tree copies sources into the shell's folder and adds files that are hard to carry.
func (s *shell) tree(name, from string) string {
	s.t.Helper()
	path := s.path(name)
	require.NoError(s.t, os.CopyFS(path, os.DirFS(source(s.t, from))))
	for _, odd := range []string{"a b+c.txt", "ünï/cödé.txt", "per%25cent", "deep/er/and/deep/er/file", "quote'\"s", "日本語"} {
		s.file(filepath.Join(name, odd), 1234)
	}
	s.file(filepath.Join(name, "empty"), 0)
	s.file(filepath.Join(name, "large"), 20<<20+1)
	// S3 tells times in whole seconds: a file made in the second of its upload would look newer than its copy.
	past := time.Now().Add(-time.Hour)
	require.NoError(s.t, filepath.WalkDir(path, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(p, past, past)
	}))
	return path
}

// sum is the digest of a file.
func sum(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	require.NoError(t, err)
	return fmt.Sprintf("%x", h.Sum(nil))
}

// digest maps each file below a folder to its digest.
func digest(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		all[name] = sum(t, path)
		return err
	}))
	return all
}

// same checks that two folders hold the same files.
func same(t *testing.T, want, got string) {
	t.Helper()
	w, g := digest(t, want), digest(t, got)
	require.NotEmpty(t, w)
	for name := range w {
		require.Equal(t, w[name], g[name], name)
	}
	require.Equal(t, len(w), len(g), "files that were not there before")
}
