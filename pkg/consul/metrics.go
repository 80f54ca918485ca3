package consul

import (
	"maps"

	"github.com/prometheus/client_golang/prometheus"

	"deuxfleurs.fr/garage/pkg/telemetry"
)

var instancesDesc = prometheus.NewDesc(prometheus.BuildFQName(telemetry.Namespace, "consul", "instances"),
	"Instances of a service that Consul knows, by whether all their checks pass.", []string{"of", "healthy"}, nil)

// viewCollector tells how many instances of the services that are followed there are.
type viewCollector struct{ client *Client }

// Describe implements prometheus.Collector.
func (v *viewCollector) Describe(out chan<- *prometheus.Desc) { out <- instancesDesc }

// Collect implements prometheus.Collector.
func (v *viewCollector) Collect(out chan<- prometheus.Metric) {
	v.client.mu.Lock()
	watches := maps.Clone(v.client.watches)
	v.client.mu.Unlock()
	for service, w := range watches {
		view := w.View()
		if !view.Known {
			continue
		}
		healthy := 0
		for _, i := range view.Instances {
			if i.Healthy {
				healthy++
			}
		}
		out <- prometheus.MustNewConstMetric(instancesDesc, prometheus.GaugeValue, float64(healthy), service, "true")
		out <- prometheus.MustNewConstMetric(instancesDesc, prometheus.GaugeValue, float64(len(view.Instances)-healthy), service, "false")
	}
}
