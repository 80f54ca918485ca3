package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Programs are Garage's.
var Programs = []string{"garage", "s3-gateway", "metadata", "chunk-node", "rebalancer"}

// installPrograms copies the programs into the data folder, into a folder whose name changes with them: so the jobs that run stay
// as they are while the programs are built again, and roll over to new ones at the next Up.
func (c *Cluster) installPrograms(ctx context.Context) (string, error) {
	hash := sha256.New()
	for _, name := range Programs {
		if err := hashFile(hash, filepath.Join(c.o.Bin, name)); err != nil {
			return "", fmt.Errorf("the programs are not built: %w", err)
		}
	}
	dir := filepath.Join(c.o.Data, "bin", hex.EncodeToString(hash.Sum(nil))[:12])
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	partial := dir + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return "", err
	}
	if err := os.MkdirAll(partial, 0o755); err != nil {
		return "", err
	}
	for _, name := range Programs {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		if err := copyFile(filepath.Join(c.o.Bin, name), filepath.Join(partial, name)); err != nil {
			return "", err
		}
	}
	return dir, os.Rename(partial, dir)
}

// dropPrograms removes the programs that no job runs any more.
func (c *Cluster) dropPrograms(bin string) error {
	entries, err := os.ReadDir(filepath.Dir(bin))
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if e.Name() != filepath.Base(bin) {
			errs = append(errs, os.RemoveAll(filepath.Join(filepath.Dir(bin), e.Name())))
		}
	}
	return errors.Join(errs...)
}

func hashFile(to io.Writer, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(to, file)
	return err
}

// copyFile makes a copy of a program.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}
