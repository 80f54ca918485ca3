package rebalancer

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"deuxfleurs.fr/garage/pkg/rpc"
	"deuxfleurs.fr/garage/pkg/telemetry"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(telemetry.Namespace, "cluster", name), help, labels, nil)
}

// What a rebalancer says about the cluster. All but the first two are the active one's alone, so that sums count once.
var (
	activeDesc  = describe("rebalancer_active", "1 for the rebalancer that is the active one.")
	leaderDesc  = describe("rebalancer_known", "1 if some rebalancer is known to be the active one.")
	nodesDesc   = describe("nodes", "Chunk-nodes by state: healthy, missing, draining, empty, new, leaving, lost, or unknown.", "state")
	layoutDesc  = describe("layout_number", "Number of the layout in force.")
	oldestDesc  = describe("oldest_layout_number", "Number of the oldest layout in force: below the other one while data is moved.")
	bucketsDesc = describe("buckets", "Buckets.")
	objectsDesc = describe("objects", "Objects of all buckets.")
	bytesDesc   = describe("object_bytes", "Plain bytes of these.")
	uploadsDesc = describe("uploads", "Multipart uploads that are open.")
	repairDesc  = describe("database_repair_timestamp_seconds", "When the machine of the metadata database was repaired last; 0: never.", "machine")

	clusterDescs = []*prometheus.Desc{activeDesc, leaderDesc, nodesDesc, layoutDesc, oldestDesc, bucketsDesc, objectsDesc, bytesDesc, uploadsDesc, repairDesc}
)

// collector asks at each scrape.
type collector struct{ service *Service }

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range clusterDescs {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.service
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.config.StatusTimeout)
	defer cancel()
	var status *adminv1.GetStatusResponse
	var err error
	if s.cluster == nil {
		gauge(activeDesc, 1)
		gauge(leaderDesc, 1)
		status = s.askAll(ctx, nil)
	} else {
		t, active := s.cluster.seat.get()
		gauge(activeDesc, truth(t != nil))
		gauge(leaderDesc, truth(t != nil || active != nil))
		if t == nil {
			return
		}
		status, err = s.clusterStatus(ctx, t, nil)
	}
	if err != nil {
		out <- prometheus.NewInvalidMetric(nodesDesc, err)
		return
	}
	states := map[string]int{}
	for _, name := range stateNames {
		states[name] = 0
	}
	for _, n := range status.GetNodes() {
		states[stateOf(n)]++
	}
	for name, n := range states {
		gauge(nodesDesc, float64(n), name)
	}
	gauge(layoutDesc, float64(status.GetLayout()))
	gauge(oldestDesc, float64(status.GetOldestLayout()))
	if !missed(status, adminv1.StatusPart_STATUS_PART_METADATA) { // else it is not known, and not 0
		gauge(bucketsDesc, float64(status.GetBuckets()))
		gauge(objectsDesc, float64(status.GetObjects()))
		gauge(bytesDesc, float64(status.GetBytes()))
		gauge(uploadsDesc, float64(status.GetUploads()))
	}
	for _, m := range status.GetDatabase() {
		repaired := 0.0
		if m.GetRepaired() != nil {
			repaired = float64(m.GetRepaired().GetSeconds())
		}
		gauge(repairDesc, repaired, m.GetMachine())
	}
}

// stateNames are the states as labels.
var stateNames = func() []string {
	names := []string{"unknown"}
	for state := range adminv1.NodeState_name {
		if state != int32(adminv1.NodeState_NODE_STATE_UNSPECIFIED) {
			names = append(names, rpc.EnumText(adminv1.NodeState(state)))
		}
	}
	return names
}()

// stateOf is the state of a node; without Consul a node is there or not.
func stateOf(n *adminv1.Node) string {
	switch {
	case n.GetState() != adminv1.NodeState_NODE_STATE_UNSPECIFIED:
		return rpc.EnumText(n.GetState())
	case n.GetAlive():
		return rpc.EnumText(adminv1.NodeState_NODE_STATE_HEALTHY)
	case n.GetPartitions() > 0:
		return rpc.EnumText(adminv1.NodeState_NODE_STATE_MISSING)
	}
	return "unknown"
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
