// Package metrics tests what Garage tells about itself, on real processes: the metrics are those of nomad/metrics.md, a real Prometheus
// evaluates every expression of the dashboard and of the alerts on them, the alerts fire when they should (promtool), a request
// is one trace through all services, and the access log is written as described.
//
// It needs prometheus and promtool; the part of tools/testrun installs them from Debian.
package metrics
