package deploy

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"deuxfleurs.fr/garage/tools/repo"
)

// BinEnv names a folder with programs already built; without it they are built once per process.
const BinEnv = "GARAGE_TEST_BIN"

// Tags are the build tags of the Makefile.
const Tags = "grpcnotrace"

// Root returns the top of the repository, found from the working folder upwards.
func Root() (string, error) { return repo.Root() }

var buildOnce = sync.OnceValues(func() (string, error) { return BuildInto(context.Background(), "") })

// Bin returns the folder of the programs, building them when nobody has.
func Bin() (string, error) {
	if dir := os.Getenv(BinEnv); dir != "" {
		return dir, nil
	}
	return buildOnce()
}

// BuildInto builds every program of services/cmd into the folder; empty means var/test/bin.
func BuildInto(ctx context.Context, dir string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	if dir == "" {
		dir = filepath.Join(root, "var", "test", "bin")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", Tags, "-o", dir+"/", "./cmd/...")
	cmd.Dir = filepath.Join(root, "services")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return dir, nil
}
