package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
)

// statusTimeout bounds how long a scrape waits for a node's status.
const statusTimeout = 5 * time.Second

// RegisterPool registers the memory that bodies take.
func RegisterPool(r prometheus.Registerer, pool *buffer.Pool) {
	gauge := func(name, help string, value func() int) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: Namespace, Subsystem: "memory", Name: name, Help: help},
			func() float64 { return float64(value()) }))
	}
	gauge("used_bytes", "Memory that bodies on their way take now.", pool.Used)
	gauge("limit_bytes", "Memory that bodies on their way may take.", pool.Limit)
}

// RegisterNode registers what a chunk-node says about itself; it is asked at each scrape.
func RegisterNode(r prometheus.Registerer, status func(ctx context.Context) (chunk.NodeStatus, error)) {
	r.MustRegister(&nodeCollector{status: status})
}

type nodeCollector struct {
	status func(ctx context.Context) (chunk.NodeStatus, error)
}

// nodeMetric is one figure of a node's status.
type nodeMetric struct {
	desc  *prometheus.Desc
	value func(chunk.NodeStatus) float64
}

func nodeGauge(name, help string, value func(chunk.NodeStatus) float64) nodeMetric {
	return nodeMetric{nodeDesc(name, help), value}
}

func nodeDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(Namespace, "node", name), help, labels, nil)
}

var nodeMetrics = []nodeMetric{
	nodeGauge("chunks", "Chunks with at least one reference.", func(s chunk.NodeStatus) float64 { return float64(s.Chunks) }),
	nodeGauge("bytes", "Plain bytes of these chunks.", func(s chunk.NodeStatus) float64 { return float64(s.Bytes) }),
	nodeGauge("stored_bytes", "Bytes on disk of all chunks.", func(s chunk.NodeStatus) float64 { return float64(s.StoredBytes) }),
	nodeGauge("trash_bytes", "Bytes of chunks that long collection found unused and keeps for a time.", func(s chunk.NodeStatus) float64 { return float64(s.Trashed) }),
	nodeGauge("uncollected_chunks", "Chunks without reference that wait for collection.", func(s chunk.NodeStatus) float64 { return float64(s.Uncollected) }),
	nodeGauge("owed_chunks", "Chunks that other nodes lack and this one owes them.", func(s chunk.NodeStatus) float64 { return float64(s.Owed) }),
	nodeGauge("wanted_chunks", "Chunks of which the node lacks a good copy and looks for one.", func(s chunk.NodeStatus) float64 { return float64(s.Wanted) }),
	nodeGauge("foreign_chunks", "Chunks that belong to other nodes in the newest layout, and are to be handed over.", func(s chunk.NodeStatus) float64 { return float64(s.Foreign) }),
	nodeGauge("quarantined_chunks", "Bad copies found and not yet repaired.", func(s chunk.NodeStatus) float64 { return float64(s.Quarantined) }),
	nodeGauge("capacity_bytes", "Bytes that Garage may use.", func(s chunk.NodeStatus) float64 { return float64(s.Capacity) }),
	nodeGauge("free_bytes", "Bytes left of the capacity.", func(s chunk.NodeStatus) float64 { return float64(s.Free) }),
	nodeGauge("read_only", "1 if the node takes no chunks.", func(s chunk.NodeStatus) float64 { return truth(s.ReadOnly) }),
	nodeGauge("layout_number", "Number of the layout that the node has adopted.", func(s chunk.NodeStatus) float64 { return float64(s.Layout) }),
}

// What a node says about each of its disks and tasks.
var (
	diskCapacity = diskDesc("capacity_bytes", "Bytes that Garage may use on the disk.")
	diskFree     = diskDesc("free_bytes", "Bytes left of these.")
	diskFailed   = diskDesc("failed", "1 if the disk is out of use.")

	taskState    = nodeDesc("task_state", "1 for what the task is doing: idle, running, stopped by an operator, or stuck.", "task", "state")
	taskDone     = nodeDesc("task_done", "How much of its round the task has done: partitions of rebalance and repair, chunks of the others.", "task")
	taskExpected = nodeDesc("task_expected", "How much the round has; 0 if that is not known.", "task")
	taskBytes    = nodeDesc("task_bytes", "Bytes that the task has sent, fetched or read in its round.", "task")
	taskProblems = nodeDesc("task_problems", "Problems that the task has met in its round.", "task")
	taskRate     = nodeDesc("task_rate_bytes_per_second", "Bytes a second that the task may use; 0 if there is no limit.", "task")
	taskBegan    = nodeDesc("task_began_timestamp_seconds", "When the round began or, of an idle task, the last one; 0 if there was none.", "task")
	taskEnded    = nodeDesc("task_ended_timestamp_seconds", "When the last round ended; 0 while one goes on.", "task")

	nodeDescs = []*prometheus.Desc{diskCapacity, diskFree, diskFailed, taskState, taskDone, taskExpected, taskBytes, taskProblems, taskRate, taskBegan, taskEnded}
)

func diskDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(Namespace, "disk", name), help, []string{"disk"}, nil)
}

var taskNames = map[chunk.Task]string{chunk.Rebalance: "rebalance", chunk.Repair: "repair", chunk.Scrub: "scrub", chunk.Collection: "collection", chunk.LongCollection: "long_collection"}

var taskStates = map[chunk.TaskState]string{chunk.Idle: "idle", chunk.Running: "running", chunk.Stopped: "stopped", chunk.Stuck: "stuck"}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// Describe implements prometheus.Collector.
func (c *nodeCollector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range nodeMetrics {
		out <- m.desc
	}
	for _, d := range nodeDescs {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *nodeCollector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), statusTimeout)
	defer cancel()
	status, err := c.status(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(nodeMetrics[0].desc, err)
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for _, m := range nodeMetrics {
		gauge(m.desc, m.value(status))
	}
	for _, d := range status.Disks {
		gauge(diskCapacity, float64(d.Capacity), d.Path)
		gauge(diskFree, float64(d.Free), d.Path)
		gauge(diskFailed, truth(d.Failed != ""), d.Path)
	}
	for _, t := range status.Tasks {
		name := taskNames[t.Task]
		for state, text := range taskStates {
			gauge(taskState, truth(t.State == state), name, text)
		}
		gauge(taskDone, float64(t.Done), name)
		gauge(taskExpected, float64(t.Total), name)
		gauge(taskBytes, float64(t.Bytes), name)
		gauge(taskProblems, float64(t.Problems), name)
		gauge(taskRate, float64(t.Rate), name)
		gauge(taskBegan, timestamp(t.Began), name)
		gauge(taskEnded, timestamp(t.Ended), name)
	}
}

// timestamp is a time as Prometheus has it: seconds since 1970; zero for none.
func timestamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
