package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/telemetry/metricstest"
	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/systemtest/alerts"
)

// panel is a part of a dashboard.
type panel struct {
	ID         int
	Type       string
	Title      string
	Datasource *struct{ UID string }
	GridPos    struct{ H, W, X, Y int }
	Targets    []struct{ RefID, Expr string }
}

// dashboard is the one for Grafana.
type dashboard struct {
	Title         string
	UID           string
	SchemaVersion int
	Panels        []panel
	Templating    struct {
		List []struct{ Name, Type, Query string }
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "nomad", "grafana", "garage.json"))
	require.NoError(t, err)
	var d dashboard
	require.NoError(t, json.Unmarshal(text, &d))
	return d
}

func TestTheDashboardIsWellFormed(t *testing.T) {
	d := readDashboard(t)
	require.GreaterOrEqual(t, d.SchemaVersion, 36)
	require.Equal(t, "datasource", d.Templating.List[0].Name)
	require.Equal(t, "datasource", d.Templating.List[0].Type)
	var rows []string
	ids := map[int]bool{}
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		require.False(t, ids[p.ID], "two panels have the ID %d", p.ID)
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				require.Empty(t, taken[[2]int{x, y}], "%s covers another panel", p.Title)
				taken[[2]int{x, y}] = p.Title
			}
		}
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		require.Contains(t, []string{"timeseries", "stat"}, p.Type, p.Title)
		require.NotEmpty(t, p.Targets, p.Title)
		require.Equal(t, "${datasource}", p.Datasource.UID, p.Title)
	}
	require.Equal(t, []string{"Is the data safe?", "S3: rate, errors, duration", "Chunk-nodes", "Metadata", "Background work"}, rows)
}

// expressions are those of the dashboard and of the alerts, with what they are from.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			all[strings.ReplaceAll(target.Expr, "$__rate_interval", "30s")] = "panel " + p.Title
		}
	}
	rules, err := alerts.Read(root(t))
	require.NoError(t, err)
	for _, r := range rules {
		all[r.Expr] = "alert " + r.Alert
	}
	return all
}

// prometheus is a real one that scrapes the deployment.
type prometheus struct{ url string }

func startPrometheus(t *testing.T) prometheus {
	t.Helper()
	dir := t.TempDir()
	address, err := deploy.FreeAddress()
	require.NoError(t, err)
	var targets []string
	for _, p := range deployment.Processes() {
		targets = append(targets, fmt.Sprintf("%q", p.Admin))
	}
	config := fmt.Sprintf(`global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: garage
    authorization: {credentials: %s}
    static_configs: [{targets: [%s]}]
`, alerts.Path(root(t)), token(t), strings.Join(targets, ", "))
	path := filepath.Join(dir, "prometheus.yml")
	require.NoError(t, os.WriteFile(path, []byte(config), 0o600))
	log, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)
	// The context ends it if the test does not.
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "prometheus", "--config.file", path, "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", address)
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Log(string(text))
		}
		require.NoError(t, log.Close())
	})
	p := prometheus{"http://" + address}
	require.Eventually(t, func() bool {
		resp, err := http.Get(p.url + "/-/ready") //nolint:noctx // it has the deadline of Eventually
		return err == nil && resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	}, patience, 100*time.Millisecond)
	return p
}

// get asks Prometheus' API.
func (p prometheus) get(t *testing.T, path string, values url.Values, data any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+path+"?"+values.Encode(), nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
	require.Equal(t, "success", answer.Status, "%s: %s", values, answer.Error)
}

// up are the targets that were scraped well.
func (p prometheus) up(t *testing.T) int {
	t.Helper()
	var targets struct {
		ActiveTargets []struct{ Health, LastError string }
	}
	p.get(t, "/api/v1/targets", nil, &targets)
	n := 0
	for _, target := range targets.ActiveTargets {
		require.Empty(t, target.LastError)
		if target.Health == "up" {
			n++
		}
	}
	return n
}

var named = regexp.MustCompile(`\bgarage_[a-z0-9_]+\b`)

func TestDashboardAndAlertsAreEvaluatedOnScrapedMetrics(t *testing.T) {
	p := startPrometheus(t)
	load(t)
	require.Eventually(t, func() bool { return p.up(t) == len(deployment.Processes()) }, patience, 200*time.Millisecond)
	load(t)
	var names []string
	has := func(name string) bool { return slices.Contains(names, name) }
	require.Eventually(t, func() bool {
		p.get(t, "/api/v1/label/__name__/values", nil, &names)
		return has("garage_s3_requests_total") && has("garage_chunk_node_operations_total") && has("garage_cluster_nodes")
	}, patience, 200*time.Millisecond)

	promised := metricstest.Table(t)
	answered := 0
	for expr, from := range expressions(t) {
		var result struct{ Result []any }
		p.get(t, "/api/v1/query", url.Values{"query": {expr}}, &result)
		if len(result.Result) > 0 {
			answered++
		}
		for _, name := range named.FindAllString(expr, -1) {
			if has(name) {
				continue
			}
			// What exists only with other parts, or only when something went wrong, is at least promised.
			d, listed := promised[family(name)]
			if !listed {
				d, listed = promised[name]
			}
			require.True(t, listed, "%s is about %s, which no program has", from, name)
			remote := deploy.Kind() == deploy.Standalone && (strings.HasPrefix(name, "garage_grpc_client_") || strings.HasPrefix(name, "garage_chunk_cluster_"))
			require.True(t, d.Condition != "" || remote || len(d.Labels) > 0, "%s is about %s, which was not scraped", from, name)
		}
	}
	require.Greater(t, answered, 15, "the dashboard has something to show")

	var rules struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	require.Eventually(t, func() bool {
		p.get(t, "/api/v1/rules", nil, &rules)
		for _, r := range rules.Groups[0].Rules {
			if r.Health != "ok" {
				return false
			}
		}
		return true
	}, patience, 200*time.Millisecond, "%v", rules)
	written, err := alerts.Read(root(t))
	require.NoError(t, err)
	require.Len(t, rules.Groups[0].Rules, len(written))
}
