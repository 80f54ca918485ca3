// Package alerts tests the alert rules of nomad/prometheus with promtool: each fires when it should, and not otherwise, and
// nomad/metrics.md says what to do about it. It also reads them, for tests on a real Prometheus.
package alerts

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"deuxfleurs.fr/garage/tools/install"
)

// Rule is an alert.
type Rule struct {
	Alert       string
	Expr        string
	Labels      map[string]string
	Annotations map[string]string
}

// Install installs prometheus and promtool, where they are missing.
func Install(ctx context.Context, progress io.Writer) error {
	return install.Installer{Progress: progress}.Debian(ctx, install.Package{Name: "prometheus", File: "/usr/bin/promtool"})
}

// Path is where the rules are in the repository at root.
func Path(root string) string { return filepath.Join(root, "nomad", "prometheus", "garage.rules.yml") }

// Read reads the rules of the repository at root.
func Read(root string) ([]Rule, error) {
	var file struct{ Groups []struct{ Rules []Rule } }
	if err := parse(Path(root), &file); err != nil {
		return nil, err
	}
	var all []Rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no rule in %s", Path(root))
	}
	return all, nil
}

func parse(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
