package install

import (
	"context"
	"strings"
)

// DebianRoot makes a small Debian of that release, with the packages besides, in a folder, and returns the folder. Copy it; what is in it
// stays as it is.
func (i Installer) DebianRoot(ctx context.Context, release string, packages ...string) (string, error) {
	const debootstrap = "/usr/sbin/debootstrap"
	if err := i.Debian(ctx, Package{Name: "debootstrap", File: debootstrap}); err != nil {
		return "", err
	}
	include := strings.Join(packages, ",")
	id, err := identify(release + " " + include)
	if err != nil {
		return "", err
	}
	return i.cached(ctx, "debian-"+release+"-"+id, func(partial string) error {
		return i.run(ctx, "make a Debian "+release, "", nil, debootstrap, "--variant=minbase", "--include="+include, release, partial)
	})
}
