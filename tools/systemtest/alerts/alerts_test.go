package alerts

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/repo"
)

func TestMain(m *testing.M) {
	if err := Install(context.Background(), os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// folder is where the rules are.
func folder(t *testing.T) string {
	t.Helper()
	root, err := repo.Root()
	require.NoError(t, err)
	return filepath.Dir(Path(root))
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "promtool", args...)
	cmd.Dir = folder(t)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "promtool %s:\n%s", strings.Join(args, " "), out)
}

var alertTests = []string{"garage.rules.test.yml", "garage.rules.days.test.yml"}

func TestAlertsFireWhenTheyShould(t *testing.T) {
	promtool(t, "check", "rules", "garage.rules.yml")
	promtool(t, append([]string{"test", "rules"}, alertTests...)...)
}

func TestEachAlertIsTestedBothWaysAndHasARunbook(t *testing.T) {
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, name := range alertTests {
		var file struct {
			Tests []struct {
				PromQL []struct {
					Expr    string
					Samples []any `yaml:"exp_samples"`
				} `yaml:"promql_expr_test"`
			}
		}
		require.NoError(t, parse(filepath.Join(folder(t), name), &file))
		for _, test := range file.Tests {
			for _, q := range test.PromQL {
				if len(q.Samples) > 0 {
					fires[q.Expr] = true
				} else {
					quiet[q.Expr] = true
				}
			}
		}
	}
	root, err := repo.Root()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, "nomad", "metrics.md"))
	require.NoError(t, err)
	rules, err := Read(root)
	require.NoError(t, err)
	for _, r := range rules {
		expr := `count(ALERTS{alertname="` + r.Alert + `",alertstate="firing"})`
		require.True(t, fires[expr], "no test in which %s fires", r.Alert)
		require.True(t, quiet[expr], "no test in which %s does not fire", r.Alert)
		require.Contains(t, []string{"critical", "warning"}, r.Labels["severity"], r.Alert)
		require.NotEmpty(t, r.Annotations["summary"], r.Alert)
		require.Equal(t, "nomad/metrics.md#"+strings.ToLower(r.Alert), r.Annotations["runbook"])
		require.Contains(t, string(text), "\n### "+r.Alert+"\n\n", "what to do about it")
	}
}

func TestTheConfigurationOfPrometheusIsValid(t *testing.T) {
	promtool(t, "check", "config", "--syntax-only", "prometheus.yml")
}
