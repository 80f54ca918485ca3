package metrics

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// rule is one of the alerts.
type rule struct {
	Alert       string
	Expr        string
	Labels      map[string]string
	Annotations map[string]string
}

func parseYAML(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, into))
}

func alerts(t *testing.T) []rule {
	t.Helper()
	var file struct{ Groups []struct{ Rules []rule } }
	parseYAML(t, filepath.Join(root(t), "nomad", "prometheus", "garage.rules.yml"), &file)
	var all []rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	require.NotEmpty(t, all)
	return all
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "promtool", args...)
	cmd.Dir = filepath.Join(root(t), "nomad", "prometheus")
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
		parseYAML(t, filepath.Join(root(t), "nomad", "prometheus", name), &file)
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
	text, err := os.ReadFile(filepath.Join(root(t), "nomad", "metrics.md"))
	require.NoError(t, err)
	for _, r := range alerts(t) {
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
