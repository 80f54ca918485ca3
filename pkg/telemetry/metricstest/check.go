package metricstest

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
)

// Recorder keeps what is registered, also what has no series yet. It is a prometheus.Registerer.
type Recorder struct {
	prometheus.Registerer
	all []prometheus.Collector
}

// NewRecorder makes an empty Recorder.
func NewRecorder() *Recorder { return &Recorder{Registerer: prometheus.NewRegistry()} }

// Register implements prometheus.Registerer.
func (r *Recorder) Register(c prometheus.Collector) error {
	if err := r.Registerer.Register(c); err != nil {
		return err
	}
	r.all = append(r.all, c)
	return nil
}

// MustRegister implements prometheus.Registerer.
func (r *Recorder) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		if err := r.Register(c); err != nil {
			panic(err)
		}
	}
}

// Check requires that everything that was registered is in the tables as it is, and that all rows of the tables whose names have the prefix
// were registered.
func Check(t testing.TB, prefix string, r *Recorder) {
	t.Helper()
	promised, registered := Table(t), map[string]bool{}
	for _, c := range r.all {
		for name, is := range describe(t, c) {
			registered[name] = true
			want, listed := promised[name]
			require.True(t, listed, "%s is not in nomad/metrics.md", name)
			require.Equal(t, want.Labels, is.Labels, "labels of %s", name)
			require.Equal(t, want.Meaning, is.Meaning, name)
			if is.Kind != "" {
				require.Equal(t, want.Kind, is.Kind, name)
			}
		}
	}
	for name := range promised {
		if strings.HasPrefix(name, prefix) {
			require.True(t, registered[name], "nomad/metrics.md has %s, which nobody counts", name)
		}
	}
}

var (
	descRow   = regexp.MustCompile(`^Desc\{fqName: "([^"]*)", help: "((?:[^"\\]|\\.)*)", (?:unit: "[^"]*", )?constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)
	constName = regexp.MustCompile(`([a-z_]+)="`)
)

// describe is what a collector has, as the tables have it. Kind is empty where it cannot be told without a series.
func describe(t testing.TB, c prometheus.Collector) map[string]Metric {
	t.Helper()
	all := map[string]Metric{}
	for _, d := range drain(c.Describe) {
		m := descRow.FindStringSubmatch(d.String())
		require.NotNil(t, m, "%v", d)
		is := Metric{Meaning: m[2], Kind: kindOf(t, c)}
		for _, l := range constName.FindAllStringSubmatch(m[3], -1) {
			is.Labels = append(is.Labels, l[1])
		}
		if m[4] != "" {
			is.Labels = append(is.Labels, strings.Split(m[4], ",")...)
		}
		slices.Sort(is.Labels)
		all[m[1]] = is
	}
	return all
}

// kindOf is the kind of a collector's metrics.
func kindOf(t testing.TB, c prometheus.Collector) string {
	t.Helper()
	switch c := c.(type) {
	case *prometheus.CounterVec:
		return "counter"
	case *prometheus.GaugeVec:
		return "gauge"
	case *prometheus.HistogramVec:
		return "histogram"
	case prometheus.Metric: // it has one series
		var is dto.Metric
		require.NoError(t, c.Write(&is))
		switch {
		case is.Counter != nil:
			return "counter"
		case is.Gauge != nil:
			return "gauge"
		case is.Histogram != nil:
			return "histogram"
		}
	}
	return ""
}

// drain is all that do sends.
func drain[T any](do func(chan<- T)) []T {
	sent := make(chan T)
	go func() { defer close(sent); do(sent) }()
	var all []T
	for one := range sent {
		all = append(all, one)
	}
	return all
}
