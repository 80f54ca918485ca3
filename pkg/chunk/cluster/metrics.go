package cluster

import (
	"github.com/prometheus/client_golang/prometheus"

	"deuxfleurs.fr/garage/pkg/telemetry"
)

const subsystem = "chunk_cluster"

// metric is one of the Counts as Prometheus sees it.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(Counts) int64
}

func total(name, help string, of func(Counts) int64) metric {
	return metric{describe(name+"_total", help), prometheus.CounterValue, of}
}

func gauge(name, help string, of func(Counts) int64) metric {
	return metric{describe(name, help), prometheus.GaugeValue, of}
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(telemetry.Namespace, subsystem, name), help, labels, nil)
}

// collector gives the Counts and the health of the nodes to Prometheus.
type collector struct {
	store   func() *Store
	metrics []metric
	avoided *prometheus.Desc
	latency *prometheus.Desc
	window  *prometheus.Desc
	waiting *prometheus.Desc
	calls   *prometheus.Desc
	slots   *prometheus.Desc
	limit   *prometheus.Desc
}

// callNames are the label of how calls to a node ended.
var callNames = [callResults]string{callOK: "ok", callRefused: "refused", callFailed: "failed", callCanceled: "canceled"}

// Collector is the metrics of a store, to be registered once. It asks each time which store that is, for one that
// follows another; nil is none yet.
func Collector(store func() *Store) prometheus.Collector {
	return &collector{
		store: store,
		metrics: []metric{
			total("second_asked", "Reads that asked another node, because the first was slow or failed.", func(c Counts) int64 { return c.SecondAsked }),
			total("hedges_sent", "Of these, reads that did not wait for the first node to end.", func(c Counts) int64 { return c.Hedged }),
			total("hedges_won", "Of these, reads that the node asked last answered first.", func(c Counts) int64 { return c.HedgesWon }),
			total("bad_copies", "Bad copies of chunks found by reads.", func(c Counts) int64 { return c.BadCopies }),
			total("repaired", "Bad copies replaced by good ones.", func(c Counts) int64 { return c.Repaired }),
			total("owed", "Requests to a node to record that another lacks a chunk.", func(c Counts) int64 { return c.Owed }),
			total("forgotten", "Nodes that lack a chunk without any other having recorded it.", func(c Counts) int64 { return c.Forgotten }),
			total("fed", "Chunks copied from one owner to another to refer to them.", func(c Counts) int64 { return c.Fed }),
			total("stood_in", "Requests to a node to stand in for an owner that is away.", func(c Counts) int64 { return c.StoodIn }),
			gauge("late_writes", "Writes that go on after they were answered.", func(c Counts) int64 { return c.Late }),
			gauge("late_bytes", "Bytes that these hold.", func(c Counts) int64 { return c.LateBytes }),
		},
		avoided: describe("node_avoided", "1 for a node that failed so often that it is asked last.", "node", "zone"),
		latency: describe("node_read_seconds", "How long a read from the node is expected to take.", "node", "zone"),
		window:  describe("node_window_bytes", "Bytes that may be on their way to the node at the same time.", "node", "zone"),
		waiting: describe("node_waiting_writes", "Writes that wait for room to be sent to the node.", "node", "zone"),
		calls:   describe("node_calls_total", "Calls to the node that ended: ok is an acknowledgement or the bytes, refused another answer, failed none, canceled that it was not needed any more.", "node", "zone", "result"),
		slots:   describe("operations_in_progress", "Operations that have begun and are not answered."),
		limit:   describe("operations_limit", "Operations that may be so at the same time; more wait."),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		out <- m.desc
	}
	out <- c.avoided
	out <- c.latency
	out <- c.window
	out <- c.waiting
	out <- c.calls
	out <- c.slots
	out <- c.limit
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.store()
	if s == nil {
		return
	}
	counts := s.Counts()
	for _, m := range c.metrics {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(m.of(counts)))
	}
	out <- prometheus.MustNewConstMetric(c.slots, prometheus.GaugeValue, float64(len(s.slots)))
	out <- prometheus.MustNewConstMetric(c.limit, prometheus.GaugeValue, float64(cap(s.slots)))
	for _, n := range s.Nodes() {
		avoided := 0.0
		if n.Avoided {
			avoided = 1
		}
		out <- prometheus.MustNewConstMetric(c.avoided, prometheus.GaugeValue, avoided, n.ID.String(), n.Zone)
		out <- prometheus.MustNewConstMetric(c.latency, prometheus.GaugeValue, n.Latency.Seconds(), n.ID.String(), n.Zone)
		out <- prometheus.MustNewConstMetric(c.window, prometheus.GaugeValue, float64(n.Window), n.ID.String(), n.Zone)
		out <- prometheus.MustNewConstMetric(c.waiting, prometheus.GaugeValue, float64(n.Waiting), n.ID.String(), n.Zone)
		for result, name := range callNames {
			out <- prometheus.MustNewConstMetric(c.calls, prometheus.CounterValue, float64(n.Calls[result]), n.ID.String(), n.Zone, name)
		}
	}
}
