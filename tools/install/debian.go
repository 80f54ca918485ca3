package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Package is a package of Debian.
type Package struct {
	Name string
	// File is a pattern of paths; the package is there if one exists.
	File string
	// Present tells whether the package is there, if no file can.
	Present func(ctx context.Context) bool
}

func (p Package) present(ctx context.Context) bool {
	if p.Present != nil {
		return p.Present(ctx)
	}
	found, err := filepath.Glob(p.File)
	return err == nil && len(found) > 0
}

// Debian installs the packages that are missing. A service in them is not started.
func (i Installer) Debian(ctx context.Context, packages ...Package) error {
	if len(missing(ctx, packages)) == 0 {
		return nil
	}
	unlock, err := i.lock(ctx, "debian")
	if err != nil {
		return err
	}
	defer unlock()
	names := missing(ctx, packages)
	if len(names) == 0 {
		return nil // Somebody else has installed them meanwhile.
	}
	apt, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("missing: the Debian packages %s; install them (apt-get install --no-install-recommends %s) or run this as root",
			strings.Join(names, ", "), strings.Join(names, " "))
	}
	if err := i.run(ctx, "refresh the package lists", "", nil, apt, "update", "-qq"); err != nil {
		return err
	}
	allow, err := denyServices()
	if err != nil {
		return err
	}
	args := append([]string{"install", "-y", "-qq", "--no-install-recommends"}, names...)
	err = i.run(ctx, "install "+strings.Join(names, ", ")+" from Debian", "", []string{"DEBIAN_FRONTEND=noninteractive"}, apt, args...)
	return errors.Join(err, allow())
}

func missing(ctx context.Context, packages []Package) []string {
	var names []string
	for _, p := range packages {
		if !p.present(ctx) {
			names = append(names, p.Name)
		}
	}
	return names
}

// denyServices keeps packages from starting their services, by the file that Debian asks, until allow is called.
func denyServices() (allow func() error, err error) {
	const policy = "/usr/sbin/policy-rc.d"
	file, err := os.OpenFile(policy, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return func() error { return nil }, nil // The machine has a policy of its own, as containers do.
	}
	if err != nil {
		return nil, fmt.Errorf("keep services from starting: %w", err)
	}
	_, err = file.WriteString("#!/bin/sh\nexit 101\n")
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(policy))
	}
	return func() error { return os.Remove(policy) }, nil
}
