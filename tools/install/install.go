package install

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
	"syscall"
	"time"
)

// Installer installs what is missing.
type Installer struct {
	// Progress is told what is done and how long it took.
	Progress io.Writer
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
	dir := filepath.Join(base, "garage-tools")
	return dir, os.MkdirAll(filepath.Join(dir, "locks"), 0o755)
}

// cached returns the path of an artefact of the cache. If it is not there, build makes it at the path that it is given, which is
// put in place when build has succeeded.
func (i Installer) cached(ctx context.Context, name string, build func(partial string) error) (string, error) {
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	unlock, err := i.lock(ctx, name)
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(path); err == nil {
		return path, nil // Somebody else has made it meanwhile.
	}
	partial := path + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return "", err
	}
	if err := build(partial); err != nil {
		return "", err
	}
	return path, os.Rename(partial, path)
}

// lock waits for the lock of that name among all processes.
func (i Installer) lock(ctx context.Context, name string) (unlock func(), err error) {
	cache, err := Cache()
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(cache, "locks", name), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for said := false; ; {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil // Nothing was written to it: closing gives the lock back.
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", file.Name(), err), file.Close())
		}
		if !said {
			fmt.Fprintf(i.Progress, "another process installs %s: waiting for it …\n", name)
			said = true
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("waiting for %s: %w", file.Name(), ctx.Err()), file.Close())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// identify hashes the files, what else matters, and the platform, so that what was made from others is not taken for what is asked.
func identify(matters string, files ...string) (string, error) {
	h := sha256.New()
	h.Write([]byte(runtime.Version() + runtime.GOOS + runtime.GOARCH + matters))
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

func (i Installer) run(ctx context.Context, what, dir string, env []string, name string, args ...string) error {
	fmt.Fprintf(i.Progress, "%s …\n", what)
	start := time.Now()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("%s: %s: %w", what, filepath.Base(name), err), fmt.Errorf("%s", out))
	}
	fmt.Fprintf(i.Progress, "%s: done in %v\n", what, time.Since(start).Round(time.Second))
	return nil
}
