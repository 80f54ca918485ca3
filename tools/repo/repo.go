// Package repo finds the repository that a tool runs in.
package repo

import (
	"errors"
	"os"
	"path/filepath"
)

// Root returns the top of the repository, found from the working folder upwards.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.work here or above: run this inside the repository")
		}
		dir = parent
	}
}
