package install

import (
	"context"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// NPM fetches a package of npm, whose integrity is pinned as npm writes it (sha512-…), and returns its folder. No script of it runs.
func (i Installer) NPM(ctx context.Context, name, version, integrity string) (string, error) {
	present := func(context.Context) bool { _, err := exec.LookPath("npm"); return err == nil }
	if err := i.Debian(ctx, Package{Name: "npm", Present: present}); err != nil {
		return "", err
	}
	id, err := identify(name + version + integrity)
	if err != nil {
		return "", err
	}
	return i.cached(ctx, filepath.Base(name)+"-"+id, func(partial string) error {
		if err := os.MkdirAll(partial, 0o755); err != nil {
			return err
		}
		if err := i.run(ctx, "fetch "+name+" from npm", partial, nil, "npm", "pack", "--silent", "--ignore-scripts", name+"@"+version); err != nil {
			return err
		}
		packed, err := filepath.Glob(filepath.Join(partial, "*.tgz"))
		if err != nil || len(packed) != 1 {
			return fmt.Errorf("npm pack %s: %d archives, want one (%w)", name, len(packed), err)
		}
		content, err := os.ReadFile(packed[0])
		if err != nil {
			return err
		}
		sum := sha512.Sum512(content)
		if got := "sha512-" + base64.StdEncoding.EncodeToString(sum[:]); got != integrity {
			return fmt.Errorf("%s@%s is not what was pinned: its integrity is %s", name, version, got)
		}
		return i.run(ctx, "unpack "+name, partial, nil, "tar", "-xzf", packed[0], "--strip-components=1")
	})
}
