package packages

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/repo"
)

// The release that is tested, and the one after it.
const (
	version     = "v7.0.0"
	nextVersion = "v7.1.0-2-gabcdef0"
	commit      = "0123456789abcdef0123456789abcdef01234567"
	commitTime  = "1700000000"
)

// work is a folder for the tests of this package.
var work string

// packagesOf are the packages of the release.
var packagesOf = "dist"

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "garage-packages-")
		if err == nil {
			work, packagesOf = dir, filepath.Join(dir, packagesOf)
			err = build("first", packagesOf, version)
		}
		code := 1
		if err == nil {
			code = m.Run()
		}
		if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

// build makes the packages of a copy of this checkout, in a folder of that name.
func build(folder, out, version string, settings ...string) error {
	root, err := repo.Root()
	if err != nil {
		return err
	}
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	names, err := list.Output()
	if err != nil {
		return fmt.Errorf("list the files of %s: %w", root, err)
	}
	checkout := filepath.Join(work, folder)
	for name := range strings.SplitSeq(strings.TrimRight(string(names), "\x00"), "\x00") {
		if err := copyFile(filepath.Join(root, name), filepath.Join(checkout, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err // One that was removed and is not committed yet does not exist.
		}
	}
	args := append([]string{"packages", "DIST=" + out, "VERSION=" + version, "COMMIT=" + commit, "SOURCE_DATE_EPOCH=" + commitTime}, settings...)
	cmd := exec.Command("make", args...)
	cmd.Dir, cmd.Env = checkout, append(os.Environ(), "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	about, err := os.Stat(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, content, about.Mode().Perm())
}

// file is the path of the only file of a folder that the pattern names.
func file(t *testing.T, folder, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(folder, pattern))
	require.NoError(t, err)
	require.Len(t, found, 1, "%s in %s", pattern, folder)
	return found[0]
}

// The second build is in another folder, deeper in the tree, by a user with another mask, in another part of the world.
func TestTwoBuildsOfTheSameFilesAreTheSame(t *testing.T) {
	t.Setenv("TZ", "Asia/Kathmandu")
	t.Setenv("LC_ALL", "C.UTF-8")
	mask := syscall.Umask(0o027)
	defer syscall.Umask(mask)
	again := filepath.Join(t.TempDir(), "again")
	require.NoError(t, build("some/where/else", again, version))
	first, err := os.ReadFile(filepath.Join(packagesOf, "SHA256SUMS"))
	require.NoError(t, err)
	second, err := os.ReadFile(filepath.Join(again, "SHA256SUMS"))
	require.NoError(t, err)
	require.Equal(t, string(first), string(second))
}

func TestTheChecksumsAreThoseOfAllFiles(t *testing.T) {
	cmd := exec.Command("sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
	cmd.Dir = packagesOf
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	sums, err := os.ReadFile(filepath.Join(packagesOf, "SHA256SUMS"))
	require.NoError(t, err)
	entries, err := os.ReadDir(packagesOf)
	require.NoError(t, err)
	require.Len(t, entries, 3*3+2, "an archive, a Debian package and a list of parts for each platform; an image; checksums")
	for _, e := range entries {
		if e.Name() != "SHA256SUMS" {
			require.Contains(t, string(sums), "  "+e.Name()+"\n")
		}
	}
}

// unpack unpacks an archive of the programs, made for that platform, and returns the folder of them.
func unpack(t *testing.T, platform string) string {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Open(file(t, packagesOf, "garage-"+version+"-"+platform+".tar.gz"))
	require.NoError(t, err)
	defer f.Close()
	untar(t, f, dir)
	return filepath.Join(dir, "garage-"+version+"-"+platform)
}

// untar unpacks a tar.gz with owners and modes.
func untar(t *testing.T, from io.Reader, dir string) {
	t.Helper()
	zip, err := gzip.NewReader(from)
	require.NoError(t, err)
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		require.True(t, filepath.IsLocal(filepath.FromSlash(h.Name)), h.Name)
		if h.Typeflag == tar.TypeDir {
			require.NoError(t, os.MkdirAll(path, 0o755))
		} else {
			require.Equal(t, byte(tar.TypeReg), h.Typeflag)
			f, err := os.Create(path)
			require.NoError(t, err)
			_, err = io.Copy(f, r)
			require.NoError(t, err)
			require.NoError(t, f.Close())
		}
		require.NoError(t, os.Chown(path, h.Uid, h.Gid))
		require.NoError(t, os.Chmod(path, h.FileInfo().Mode().Perm()))
	}
}

// Where templates are linked, the linker keeps every exported method of every type, in case one calls it by its name.
func TestTheProgramsHaveNoCodeThatNothingCalls(t *testing.T) {
	dir := unpack(t, "linux-amd64")
	for _, name := range []string{"garage", "s3-gateway", "metadata", "chunk-node", "rebalancer"} {
		program, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Contains(t, string(program), "net/http.(*conn).serve", "the names of functions can be read")
		require.NotContains(t, string(program), "text/template.(*state).evalField", name)
		info, err := buildinfo.Read(bytes.NewReader(program))
		require.NoError(t, err)
		require.Contains(t, info.Settings, debug.BuildSetting{Key: "-tags", Value: deploy.Tags}, "as the other tests have it")
	}
}

func TestTheListOfPartsHasWhatIsInThePrograms(t *testing.T) {
	for _, platform := range []string{"linux-amd64", "linux-arm64", "linux-armv7"} {
		text, err := os.ReadFile(file(t, packagesOf, "*-"+platform+".cdx.json"))
		require.NoError(t, err)
		var list struct {
			BOMFormat  string `json:"bomFormat"`
			Components []struct {
				Type, Name, Version string
				Licenses            []struct{ Expression string }
			}
			Dependencies []struct {
				Ref       string
				DependsOn []string
			}
		}
		require.NoError(t, json.Unmarshal(text, &list))
		require.Equal(t, "CycloneDX", list.BOMFormat)
		licences, err := os.ReadFile(filepath.Join(unpack(t, platform), "THIRD-PARTY-LICENCES.txt"))
		require.NoError(t, err)
		versions := map[string]string{}
		for _, c := range list.Components {
			require.NotContains(t, []string{"", "(devel)"}, c.Version, c.Name)
			versions[c.Name] = c.Version
			if c.Type != "library" {
				continue
			}
			require.Len(t, c.Licenses, 1, c.Name)
			if !strings.HasPrefix(c.Name, "deuxfleurs.fr/garage/") {
				require.Contains(t, string(licences), "\n"+c.Name+" "+c.Version+": "+c.Licenses[0].Expression+"\n")
			}
		}
		for _, name := range []string{"std", "google.golang.org/grpc", "github.com/cockroachdb/pebble/v2", "github.com/scylladb/gocql", "s3-gateway"} {
			if name != "github.com/scylladb/gocql" || platform != "linux-armv7" { // the driver of the database is not for 32 bits
				require.Contains(t, versions, name, platform)
			}
		}
		require.Equal(t, version, versions["garage"])
		require.NotContains(t, versions, "github.com/gocql/gocql", "which is replaced")
		require.Len(t, list.Dependencies, 6, "the release, and five programs")
	}
}

func sum(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	require.NoError(t, err)
	return hex.EncodeToString(h.Sum(nil))
}
