package parts

import (
	"context"
	"path/filepath"

	"deuxfleurs.fr/garage/tools/install"
)

// build builds a program from its module in tools/stack.
func (s *Stack) build(ctx context.Context, i install.Installer, program, pkg, tags string) (map[string]string, error) {
	path, err := i.Go(ctx, filepath.Join(s.root, "tools", "stack", program), program, pkg, tags)
	return map[string]string{program: path}, err
}
