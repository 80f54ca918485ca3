package metricstest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Metric is a row of a table.
type Metric struct {
	Kind      string   // counter, gauge or histogram
	Labels    []string // sorted
	From      []string // programs; "all"
	Condition string   // with what only; empty: always
	Meaning   string
}

var row = regexp.MustCompile("^\\| `(garage_[a-z0-9_]+)` \\| ([a-z]+) \\| (.*?) \\| ([^|]+?)(?: \\(([^)]+)\\))? \\| (.+) \\|$")

// Table is what nomad/metrics.md promises, by name.
func Table(t testing.TB) map[string]Metric {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "nomad", "metrics.md"))
	require.NoError(t, err)
	all := map[string]Metric{}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| `garage_") {
			continue
		}
		m := row.FindStringSubmatch(strings.TrimSpace(line))
		require.NotNil(t, m, "not a row of the table: %s", line)
		require.NotContains(t, all, m[1], "it is there twice")
		var labels []string
		for label := range strings.SplitSeq(strings.ReplaceAll(m[3], "`", ""), ", ") {
			if label != "" {
				labels = append(labels, label)
			}
		}
		slices.Sort(labels)
		all[m[1]] = Metric{Kind: m[2], Labels: labels, From: strings.Split(m[4], ", "), Condition: m[5], Meaning: m[6]}
	}
	require.NotEmpty(t, all)
	return all
}

// root is the top of the repository, above the folder in which a test runs.
func root(t testing.TB) string {
	t.Helper()
	for dir, err := os.Getwd(); ; dir = filepath.Dir(dir) {
		require.NoError(t, err)
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir
		}
		require.NotEqual(t, dir, filepath.Dir(dir), "the test does not run in the repository")
	}
}
