package metrics

import (
	"bufio"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/telemetry/metricstest"
	"deuxfleurs.fr/garage/tools/deploy"
)

// exposed is a metric as a program has it.
type exposed struct {
	kind, help string
	labels     []string // of its first series; nil: none yet
	series     bool
}

var sample = regexp.MustCompile(`^(garage_[a-z0-9_]+)(?:\{(.*)\})? `)
var label = regexp.MustCompile(`([a-z_]+)="(?:[^"\\]|\\.)*"`)

// scrape reads the metrics of a process.
func scrape(t *testing.T, p *deploy.Process) map[string]exposed {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.Admin+"/metrics", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token(t))
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	return parse(t, resp.Body)
}

// parse reads Prometheus' text format as far as it is about Garage.
func parse(t *testing.T, r io.Reader) map[string]exposed {
	t.Helper()
	all := map[string]exposed{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		switch fields := strings.SplitN(line, " ", 4); {
		case len(fields) == 4 && fields[1] == "HELP" && strings.HasPrefix(fields[2], "garage_"):
			all[fields[2]] = exposed{help: fields[3]}
		case len(fields) == 4 && fields[1] == "TYPE" && strings.HasPrefix(fields[2], "garage_"):
			e := all[fields[2]]
			e.kind = fields[3]
			all[fields[2]] = e
		default:
			m := sample.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			name := m[1]
			if _, there := all[name]; !there {
				name = family(name)
			}
			e, there := all[name]
			require.True(t, there, "a series without a type: %s", line)
			if e.series {
				continue
			}
			e.series = true
			for _, l := range label.FindAllStringSubmatch(m[2], -1) {
				if l[1] != "le" {
					e.labels = append(e.labels, l[1])
				}
			}
			slices.Sort(e.labels)
			all[name] = e
		}
	}
	require.NoError(t, lines.Err())
	return all
}

// family is the metric that a series of a histogram belongs to.
func family(series string) string {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if name, cut := strings.CutSuffix(series, suffix); cut {
			return name
		}
	}
	return series
}

// program is the name of a process's program, as the table has it.
func program(p *deploy.Process) string {
	if strings.HasPrefix(p.Name, "chunk-node") {
		return "chunk-node"
	}
	return p.Name
}

func TestTheMetricsAreThoseOfTheTable(t *testing.T) {
	load(t)
	promised := metricstest.Table(t)
	missing := func(programs ...string) []string {
		var names []string
		seen := map[string]exposed{}
		for _, p := range deployment.Processes() {
			if deploy.Kind() != deploy.Standalone && !slices.Contains(programs, program(p)) {
				continue
			}
			scraped := scrape(t, p)
			maps.Copy(seen, scraped)
			for name, e := range scraped {
				d, listed := promised[name]
				require.True(t, listed, "%s of %s is not in nomad/metrics.md", name, p.Name)
				require.Equal(t, d.Kind, e.kind, name)
				require.Equal(t, d.Meaning, e.help, name)
				if e.series {
					require.Equal(t, d.Labels, e.labels, "labels of %s", name)
				}
				from := d.From[0] == "all" || deploy.Kind() == deploy.Standalone || slices.Contains(d.From, program(p))
				require.True(t, from, "%s is in %s, and nomad/metrics.md has it in %v", name, p.Name, d.From)
			}
		}
		for name, d := range promised {
			expected := d.Condition == "" || d.Condition == "access log" && slices.Contains(programs, "s3-gateway")
			if deploy.Kind() == deploy.Standalone && (strings.HasPrefix(name, "garage_grpc_client_") || strings.HasPrefix(name, "garage_chunk_cluster_")) {
				expected = false
			}
			for _, p := range programs {
				if _, there := seen[name]; !there && expected && (d.From[0] == "all" || slices.Contains(d.From, p)) {
					names = append(names, name)
				}
			}
		}
		return names
	}
	for _, p := range []string{"s3-gateway", "metadata", "chunk-node", "rebalancer"} {
		// What works in the background begins some time after the load.
		var lacks []string
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
			if lacks = missing(p); len(lacks) == 0 {
				break
			}
		}
		require.Empty(t, lacks, "%s lacks them", p)
	}
}
