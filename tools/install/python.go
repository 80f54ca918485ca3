package install

import (
	"context"
	"os"
	"path/filepath"
)

// Python installs what a requirements file names into a virtual environment and returns its folder.
func (i Installer) Python(ctx context.Context, what, requirements string) (string, error) {
	id, err := identify("", requirements)
	if err != nil {
		return "", err
	}
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	// A virtual environment knows its path, so it is made in place, and a file says that it is complete.
	venv := filepath.Join(cache, "python-"+id)
	_, err = i.cached(ctx, "python-"+id+"-complete", func(partial string) error {
		if err := os.RemoveAll(venv); err != nil {
			return err
		}
		if err := i.run(ctx, "make a Python environment", "", nil, "/usr/bin/python3", "-m", "venv", venv); err != nil {
			return err
		}
		pip := []string{"install", "--quiet", "--disable-pip-version-check", "-r", requirements}
		if err := i.run(ctx, "install "+what+" from PyPI", "", nil, filepath.Join(venv, "bin", "pip"), pip...); err != nil {
			return err
		}
		return os.WriteFile(partial, nil, 0o644)
	})
	return venv, err
}
