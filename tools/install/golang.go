package install

import (
	"context"
	"path/filepath"
)

// Go builds a program from the module in the folder, whose go.sum pins everything, and returns its path.
func (i Installer) Go(ctx context.Context, module, program, pkg, tags string) (string, error) {
	id, err := identify(tags, filepath.Join(module, "go.mod"), filepath.Join(module, "go.sum"))
	if err != nil {
		return "", err
	}
	return i.cached(ctx, program+"-"+id, func(partial string) error {
		env := []string{"GOWORK=off", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly"}
		return i.run(ctx, "build "+program+" from its module", module, env, "go", "build", "-ldflags=-s -w", "-tags="+tags, "-o", partial, pkg)
	})
}
