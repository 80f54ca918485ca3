package install

import (
	"context"
	"path/filepath"
)

// Maven fetches the libraries that a pom.xml names and returns the folder that holds them.
func (i Installer) Maven(ctx context.Context, name, pom string) (string, error) {
	id, err := identify("", pom)
	if err != nil {
		return "", err
	}
	return i.cached(ctx, name+"-"+id, func(partial string) error {
		return i.run(ctx, "fetch "+name+" from Maven", filepath.Dir(pom), nil,
			"mvn", "--batch-mode", "--quiet", "--file", pom, "dependency:copy-dependencies", "-DoutputDirectory="+partial)
	})
}
