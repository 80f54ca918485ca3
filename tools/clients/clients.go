package clients

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"deuxfleurs.fr/garage/tools/deploy"
)

// Tools are the paths of the installed programs.
type Tools struct {
	// AWS1 is version 1 of the AWS CLI, from PyPI; AWS2 is version 2, from Debian.
	AWS1, AWS2 string
	S3cmd      string
	// Python has boto3.
	Python         string
	Rclone, Restic string
}

// Cache returns the folder for what is installed, and makes it.
func Cache() (string, error) {
	base := os.Getenv("XDG_CACHE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("no folder for the cache: %w (set XDG_CACHE_HOME)", err)
		}
		base = filepath.Join(home, ".cache")
	}
	dir := filepath.Join(base, "garage")
	return dir, os.MkdirAll(dir, 0o755)
}

// Install installs what is missing and returns where everything is. It says on progress what it does and how long it takes.
func Install(ctx context.Context, progress io.Writer) (Tools, error) {
	i, unlock, err := begin(progress)
	if err != nil {
		return Tools{}, err
	}
	defer unlock()
	err = i.debian(ctx, debianPackage{"awscli", "/usr/bin/aws"}, debianPackage{"s3cmd", "/usr/bin/s3cmd"},
		debianPackage{"fuse3", "/usr/bin/fusermount3"}, debianPackage{"python3-venv", ""})
	if err != nil {
		return Tools{}, err
	}
	tools := Tools{AWS2: "/usr/bin/aws", S3cmd: "/usr/bin/s3cmd"}
	venv, err := i.python(ctx)
	if err != nil {
		return Tools{}, err
	}
	tools.Python, tools.AWS1 = filepath.Join(venv, "bin", "python"), filepath.Join(venv, "bin", "aws")
	if tools.Restic, err = i.golang(ctx, "restic", "github.com/restic/restic/cmd/restic"); err != nil {
		return Tools{}, err
	}
	if tools.Rclone, err = i.golang(ctx, "rclone", "github.com/rclone/rclone"); err != nil {
		return Tools{}, err
	}
	return tools, nil
}

type installer struct {
	cache, source string
	progress      io.Writer
}

// Compiler installs a C compiler, which the race detector needs.
func Compiler(ctx context.Context, progress io.Writer) error {
	i, unlock, err := begin(progress)
	if err != nil {
		return err
	}
	defer unlock()
	return i.debian(ctx, debianPackage{"gcc", "/usr/bin/gcc"}, debianPackage{"libc6-dev", "/usr/include/stdlib.h"})
}

// begin takes the lock of the cache.
func begin(progress io.Writer) (installer, func(), error) {
	cache, err := Cache()
	if err != nil {
		return installer{}, nil, err
	}
	root, err := deploy.Root()
	if err != nil {
		return installer{}, nil, err
	}
	lock, err := os.OpenFile(filepath.Join(cache, "clients.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return installer{}, nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return installer{}, nil, errors.Join(fmt.Errorf("lock %s: %w", lock.Name(), err), lock.Close())
	}
	i := installer{cache: cache, source: filepath.Join(root, "tools", "clients"), progress: progress}
	return i, func() { _ = lock.Close() }, nil // Nothing was written to it: closing gives the lock back.
}

// debianPackage is a package and a file whose presence says that it is there.
type debianPackage struct{ name, file string }

func (i installer) debian(ctx context.Context, packages ...debianPackage) error {
	var missing []string
	for _, p := range packages {
		if p.file == "" {
			if exec.CommandContext(ctx, "/usr/bin/python3", "-c", "import ensurepip, venv").Run() != nil {
				missing = append(missing, p.name)
			}
			continue
		}
		if _, err := os.Stat(p.file); err != nil {
			missing = append(missing, p.name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	apt, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("missing for the tests: the Debian packages %s; install them (apt-get install --no-install-recommends %s) or run this as root",
			strings.Join(missing, ", "), strings.Join(missing, " "))
	}
	if err := i.run(ctx, "refresh the package lists", "", nil, apt, "update", "-qq"); err != nil {
		return err
	}
	args := append([]string{"install", "-y", "-qq", "--no-install-recommends"}, missing...)
	return i.run(ctx, "install "+strings.Join(missing, ", ")+" from Debian", "", []string{"DEBIAN_FRONTEND=noninteractive"}, apt, args...)
}

func (i installer) python(ctx context.Context) (string, error) {
	requirements := filepath.Join(i.source, "python", "requirements.txt")
	id, err := identify(requirements)
	if err != nil {
		return "", err
	}
	venv := filepath.Join(i.cache, "python-"+id)
	if _, err := os.Stat(filepath.Join(venv, "complete")); err == nil {
		return venv, nil
	}
	// A virtual environment knows its path, so it is made in place and marked when it is complete.
	if err := os.RemoveAll(venv); err != nil {
		return "", err
	}
	if err := i.run(ctx, "make a Python environment", "", nil, "/usr/bin/python3", "-m", "venv", venv); err != nil {
		return "", err
	}
	pip := []string{"install", "--quiet", "--disable-pip-version-check", "-r", requirements}
	if err := i.run(ctx, "install the AWS CLI 1 and boto3 from PyPI", "", nil, filepath.Join(venv, "bin", "pip"), pip...); err != nil {
		return "", err
	}
	return venv, os.WriteFile(filepath.Join(venv, "complete"), nil, 0o644)
}

// golang builds a program from the module of the same name in this folder.
func (i installer) golang(ctx context.Context, name, pkg string) (string, error) {
	module := filepath.Join(i.source, name)
	id, err := identify(filepath.Join(module, "go.mod"), filepath.Join(module, "go.sum"))
	if err != nil {
		return "", err
	}
	path := filepath.Join(i.cache, name+"-"+id)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	partial := path + ".partial"
	env := []string{"GOWORK=off", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly"}
	if err := i.run(ctx, "build "+name+" from its module", module, env, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", partial, pkg); err != nil {
		return "", err
	}
	return path, os.Rename(partial, path)
}

// identify hashes the files and the platform, so that what was made from others is not taken for what is asked.
func identify(files ...string) (string, error) {
	h := sha256.New()
	h.Write([]byte(runtime.Version() + runtime.GOOS + runtime.GOARCH))
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		h.Write(fmt.Appendf(nil, "\n%d\n", len(text)))
		h.Write(text)
	}
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}

func (i installer) run(ctx context.Context, what, dir string, env []string, name string, args ...string) error {
	fmt.Fprintf(i.progress, "%s …\n", what)
	start := time.Now()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("%s: %s: %w", what, filepath.Base(name), err), fmt.Errorf("%s", out))
	}
	fmt.Fprintf(i.progress, "%s: done in %v\n", what, time.Since(start).Round(time.Second))
	return nil
}
